"""Sample set `shapes`: drawn images with exact masks, any number of them.

Textured objects of five families lie on a textured ground and hide each other. Colour and texture
of an object differ from the ground's, by a random amount: some stand out, some hardly do, and the
two colours of a texture often reach into the other's range. A threshold does not solve it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from .coco_writer import SplitWriter
from .outlines import FAMILIES, draw_outline
from .textures import random_texture

CATEGORIES = tuple(FAMILIES)
SPLITS = ('train', 'unseen')
MIN_SIZE, MAX_SIZE = 64, 4096

MAX_OBJECTS = 8
MIN_SIDE = 14
# Longest side of an object: 0.7 of the image's, at most 256 px, so that larger images hold small
# objects too.
MAX_SIDE_SHARE, MAX_SIDE = 0.7, 256
# An object is placed only where it leaves this much visible of itself and of every earlier one
# (share of its whole area, pixels). So no annotation has to be dropped afterwards, and nothing
# visible is left without one.
MIN_VISIBLE_SHARE, MIN_VISIBLE_PIXELS = 0.35, 40
PLACEMENT_TRIES = 6


def make_shapes(
    out_dir: str | Path,
    num_images: int = 200,
    num_unseen: int = 50,
    size: int = 256,
    seed: int = 0,
    jpeg: bool = False,
    progress: bool = False,
) -> dict[str, Path]:
    """Write drawn images, their boxes and their masks.

    The same arguments give the same bytes (with the same NumPy and OpenCV). Image k of a split
    depends on `seed`, `size` and k alone, so a larger set begins with the smaller one. An object's
    mask holds the pixels it covers by half or more and that no later object covers so; its box
    is the box of that visible part.

    Args:
        out_dir: gets {train,unseen}/NNNNNN.png (or .jpg; RGB, 8 bits) and {train,train_gt,unseen,
            unseen_gt}.json. Files of the same names are replaced; others are left alone.
        num_images: images to train on, >= 1.
        num_unseen: images to test on, >= 0.
        size: side of the square images in pixels, 64 to 4096. Objects of more than 96^2 px need
            140 or more.
        seed: any whole number >= 0.
        jpeg: write JPEG of quality 95 instead of PNG; the masks are the same.
        progress: show a progress bar.

    Returns:
        JSON files by name: 'train' and 'unseen' hold boxes only, 'train_gt' and 'unseen_gt'
        the same annotations with exact masks.

    Raises:
        ValueError: an argument is out of range.
    """
    for name, value, low, high in (
        ('num_images', num_images, 1, 999_999),
        ('num_unseen', num_unseen, 0, 999_999),
        ('size', size, MIN_SIZE, MAX_SIZE),
        ('seed', seed, 0, 2**63 - 1),
    ):
        if not low <= value <= high:
            raise ValueError(f'`{name}` must be between {low} and {high}, got {value}')
    suffix = '.jpg' if jpeg else '.png'
    params = (cv2.IMWRITE_JPEG_QUALITY, 95) if jpeg else (cv2.IMWRITE_PNG_COMPRESSION, 3)

    paths: dict[str, Path] = {}
    total = num_images + num_unseen
    with tqdm(total=total, unit='image', disable=not progress) as bar:
        for split, number in zip(SPLITS, (num_images, num_unseen), strict=True):
            writer = SplitWriter(
                Path(out_dir),
                split,
                description='Drawn shapes with textures, occlusions and exact masks',
                categories=CATEGORIES,
                info={'contributor': 'mal_mm', 'seed': seed, 'size': size, 'jpeg': jpeg},
            )
            for index in range(number):
                image, instances = draw_scene(size, seed, split, index)
                writer.add_image(f'{index:06d}{suffix}', image, instances, params)
                bar.update()
            paths |= writer.write()
    return paths


def draw_scene(
    size: int, seed: int, split: str, index: int
) -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
    """Draw one image.

    Args:
        size: side in pixels.
        seed, split, index: the image's identity; equal ones give equal images.

    Returns:
        image: (size, size, 3) uint8, RGB.
        instances: (category id, (size, size) bool mask of the visible pixels), at least one,
            the farthest first. The masks do not overlap.
    """
    rng = np.random.default_rng((seed, size, SPLITS.index(split), index))
    ground = _muted(rng, rng.uniform(40, 215, (1, 3)))[0]
    canvas = random_texture(rng, size, size, *_colour_pair(rng, ground))

    owner = np.zeros((size, size), np.uint8)  # 0: ground, n: the n-th object
    areas: list[int] = []
    categories: list[int] = []
    for family, window, cover in _placements(rng, size, owner, areas):
        categories.append(CATEGORIES.index(family) + 1)
        view = canvas[window]
        colours = _colour_pair(rng, _contrasting_colour(rng, ground))
        view += cover[..., None] * (
            random_texture(rng, cover.shape[0], cover.shape[1], *colours) - view
        )

    canvas += np.float32(rng.uniform(1, 5)) * rng.standard_normal(canvas.shape, np.float32)
    image = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    return image, [(category, owner == n) for n, category in enumerate(categories, start=1)]


def _placements(
    rng: np.random.Generator, size: int, owner: np.ndarray, areas: list[int]
) -> Iterator[tuple[str, tuple[slice, slice], np.ndarray]]:
    """Place objects, nearest last; notes them in `owner` and their whole areas in `areas`.

    Yields family, window of the image that the object touches, its coverage there in [0, 1].
    """
    wanted = rng.integers(2, MAX_OBJECTS + 1)
    for drawn in count():
        # No image stays empty: on, beyond the wanted number, while nothing could be placed.
        if drawn >= wanted and areas:
            return
        family = CATEGORIES[rng.integers(len(CATEGORIES))]
        # Even on a logarithmic scale: at 256 px 40 % of the boxes come out small, 14 % large.
        longest = min(MAX_SIDE_SHARE * size, MAX_SIDE)
        cover = draw_outline(rng, family, np.exp(rng.uniform(np.log(MIN_SIDE), np.log(longest))))
        whole = int((cover >= 0.5).sum())
        for _ in range(PLACEMENT_TRIES):
            # The centre lies in the image, so the border cuts some objects.
            window, inner = _clip(rng.uniform(0, size, 2), cover.shape, size)
            inside = cover[inner] >= 0.5
            if not _enough(int(inside.sum()), whole):
                continue
            hidden = np.bincount(owner[window][inside], minlength=len(areas) + 1)[1:]
            visible = np.bincount(owner.ravel(), minlength=len(areas) + 1)[1:]
            if all(map(_enough, visible - hidden, areas)):
                areas.append(whole)
                owner[window][inside] = len(areas)
                yield family, window, cover[inner]
                break


def _enough(visible: int, whole: int) -> bool:
    return visible >= max(MIN_VISIBLE_SHARE * whole, MIN_VISIBLE_PIXELS)


def _clip(
    centre: np.ndarray, shape: tuple[int, int], size: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    # A patch of `shape` around a centre (y, x): its window of the image and of the patch.
    window, inner = [], []
    for middle, length in zip(centre, shape, strict=True):
        start = round(middle - length / 2)
        low, high = max(start, 0), min(start + length, size)
        window.append(slice(low, high))
        inner.append(slice(low - start, high - start))
    return (window[0], window[1]), (inner[0], inner[1])


def _colour_pair(rng: np.random.Generator, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # two RGB colours 20 to 110 grey levels apart, on either side of `middle`
    direction = rng.standard_normal(3)
    half = direction / np.linalg.norm(direction) * rng.uniform(10, 55)
    return np.clip(middle - half, 5, 250), np.clip(middle + half, 5, 250)


def _contrasting_colour(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    # Of 16 colours the one whose distance to the ground's is nearest to a random contrast.
    candidates = _muted(rng, rng.uniform(20, 235, (16, 3)))
    distances = np.linalg.norm(candidates - ground, axis=1)
    return candidates[np.abs(distances - rng.uniform(30, 130)).argmin()]


def _muted(rng: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    # (n, 3) RGB colours drawn towards grey by random shares: photographs are rarely saturated
    grey = colours.mean(axis=1, keepdims=True)
    return grey + rng.uniform(0.3, 1.0, (len(colours), 1)) * (colours - grey)
