"""Clustering score: how well an encoder's features part objects from their surroundings."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from pycocotools import mask as mask_utils
from torch import Tensor
from tqdm import tqdm

from mal_mm.formats import AnnotationError, annotation_to_rle, index_images, split_usable
from mal_mm.formats.paths import image_file_name, resolve_under
from mal_mm.labeling import LabelingEngine
from mal_mm.labeling.crop import Crop
from mal_mm.labeling.image_io import read_image

FOREGROUND, BACKGROUND, IGNORED = 1, 0, -1
_CLASSES = (BACKGROUND, FOREGROUND)


def clustering_score(features: Tensor, labels: Tensor) -> Tensor:
    """Mean squared distance of the features to the centre of their class, on the unit sphere.

    Source: MAL, arXiv 2301.03992, Eq. (6): S = 1/N sum_i |f_i/|f_i| - f'_c(i)/|f'_c(i)||^2, where
    f'_c is the mean of the features of a crop's foreground or background. Lower is better.

    Args:
        features: (N, C, h, w) feature maps.
        labels: (N, h, w) FOREGROUND, BACKGROUND or IGNORED.

    Returns:
        (N,) float32 in [0, 4]; NaN for a crop without foreground or without background, since one
        cluster tells nothing about the parting of two.

    Raises:
        ValueError: the shapes do not fit.
    """
    N, _, h, w = features.shape
    if labels.shape != (N, h, w):
        raise ValueError(
            f'`labels` must be {(N, h, w)} as the features are, got {tuple(labels.shape)}'
        )
    features = features.float()
    directions = F.normalize(features, dim=1)
    total = features.new_zeros(N)
    counts = []
    for label in _CLASSES:
        members = (labels == label).float()
        count = members.sum((1, 2))
        centres = (features * members[:, None]).sum((2, 3)) / count.clamp(min=1)[:, None]
        distances = (directions - F.normalize(centres, dim=1)[..., None, None]).square().sum(1)
        total += (distances * members).sum((1, 2))
        counts.append(count)
    background, foreground = counts
    scores = total / (background + foreground)
    return scores.where((background > 0) & (foreground > 0), torch.nan)


def cell_labels(mask: np.ndarray, window: np.ndarray, size_hw: tuple[int, int]) -> Tensor:
    """Give each cell of a crop's feature map the class that most of its pixels have.

    Cells that lie mostly outside the image are ignored: the crop shows other parts of the image
    there. The paper does not say how it decides.

    Args:
        mask: (H, W) bool, image frame.
        window: (4,) int window of the crop, may reach outside.
        size_hw: cells of the feature map.

    Returns:
        (h, w) int8: FOREGROUND where the mask covers more than half of the cell, IGNORED where
        the image covers less than half, otherwise BACKGROUND.
    """
    x0, y0, x1, y1 = (int(v) for v in window)
    height, width = mask.shape
    rows, columns = slice(max(y0, 0), min(y1, height)), slice(max(x0, 0), min(x1, width))
    seen = mask[rows, columns]
    planes = torch.zeros(2, y1 - y0, x1 - x0)  # share of the mask, share of the image
    top, left = rows.start - y0, columns.start - x0
    place = slice(top, top + seen.shape[0]), slice(left, left + seen.shape[1])
    planes[(0, *place)] = torch.from_numpy(np.ascontiguousarray(seen)).float()
    planes[(1, *place)] = 1
    mask_share, image_share = F.interpolate(planes[None], size_hw, mode='area')[0]
    labels = (mask_share > 0.5).to(torch.int8)
    return labels.masked_fill_(image_share < 0.5, IGNORED)


def score_file(
    engine: LabelingEngine,
    data: dict,
    img_root: str | Path,
    path: str | Path = 'annotations',
    max_instances: int | None = None,
    progress: bool = False,
) -> dict:
    """Clustering score of a labeler's encoder over the human masks of a COCO-style file.

    Source: MAL, arXiv 2301.03992, Table 6. Crops are those of labeling, the features the last map
    of the teacher's encoder, and S the mean over crops, each counting the same.

    Args:
        engine: makes the crops and holds the labeler.
        data: what `read_coco` gives.
        img_root: folder that `file_name`s are relative to.
        path: the annotation file's name, for errors.
        max_instances: so many instances, spread evenly over the file; None takes all.
        progress: show a bar.

    Returns:
        dict(clustering_score, standard_error, crop_size, scored, one_class, left_out), fit for
        JSON: `one_class` counts crops whose cells are all foreground or all background, `left_out`
        lists {annotation_id, reason} of what has no usable box, mask or image. Crowds are not
        instances and are passed over.

    Raises:
        AnnotationError: ids are ambiguous, or no crop could be scored.
        ValueError: `max_instances` is below 1.
    """
    if max_instances is not None and max_instances < 1:
        raise ValueError(f'`max_instances` must be at least 1, got {max_instances}')
    annotations = data['annotations']
    usable, skips = split_usable(data, path)
    usable = [place for place in usable if not annotations[place].get('iscrowd')]
    if max_instances is not None and max_instances < len(usable):
        spread = np.linspace(0, len(usable) - 1, max_instances).round().astype(int)
        usable = [usable[i] for i in spread]
    left_out = [dict(annotation_id=s.annotation_id, reason=s.reason) for s in skips]
    pairs = _crops_and_masks(
        engine,
        [annotations[i] for i in usable],
        index_images(data, path),
        Path(img_root),
        left_out,
    )
    scores: list[float] = []
    with tqdm(
        total=len(usable), desc='crops', unit=' crops', disable=None if progress else True
    ) as bar:
        while batch := list(itertools.islice(pairs, engine.batch_size)):
            scores += _score_batch(engine, batch).tolist()
            bar.update(len(batch))
    parted = np.array([score for score in scores if np.isfinite(score)])
    if not parted.size:
        first = f'; the first one left out: {left_out[0]["reason"]}' if left_out else ''
        raise AnnotationError(
            f'{path}: no crop with both foreground and background among its '
            f'{len(annotations)} annotations; give a file with human masks{first}'
        )
    error = parted.std(ddof=1) / parted.size**0.5 if parted.size > 1 else None
    return dict(
        clustering_score=float(parted.mean()),
        standard_error=None if error is None else float(error),
        crop_size=engine.crop_size,
        scored=int(parted.size),
        one_class=len(scores) - int(parted.size),
        left_out=left_out,
    )


def _crops_and_masks(
    engine: LabelingEngine, annotations: list[dict], images: dict, img_root: Path, left_out: list
) -> Iterator[tuple[Crop, np.ndarray]]:
    """Crop and (H, W) human mask of each annotation, image by image; the rest to `left_out`."""
    by_image: dict[object, list[dict]] = defaultdict(list)
    for annotation in annotations:
        by_image[annotation['image_id']].append(annotation)
    for image_id, members in by_image.items():
        record = images[image_id]
        try:
            pixels = read_image(resolve_under(img_root, image_file_name(record)))
        except (OSError, ValueError) as error:
            left_out += [dict(annotation_id=a.get('id'), reason=str(error)) for a in members]
            continue
        for annotation in members:
            try:
                mask = _human_mask(annotation, record, pixels)
            except AnnotationError as error:
                left_out.append(dict(annotation_id=annotation.get('id'), reason=str(error)))
                continue
            x, y, w, h = annotation['bbox']
            (crop,) = engine.make_crops(pixels, np.array([[x, y, x + w, y + h]]))
            yield crop, mask


def _human_mask(annotation: dict, record: dict, pixels: np.ndarray) -> np.ndarray:
    rle = annotation_to_rle(annotation, record.get('height'), record.get('width'))
    if rle is None:
        raise AnnotationError('has no mask')
    if tuple(rle['size']) != pixels.shape[:2]:
        raise AnnotationError(
            f'the mask is {rle["size"][0]} x {rle["size"][1]} (height x width), the picture '
            f'{pixels.shape[0]} x {pixels.shape[1]}'
        )
    return mask_utils.decode(rle).astype(bool)


@torch.inference_mode()
def _score_batch(engine: LabelingEngine, batch: list[tuple[Crop, np.ndarray]]) -> Tensor:
    preprocessor = engine.labeler.data_preprocessor
    pixels = torch.from_numpy(np.stack([crop.pixels for crop, _ in batch])).permute(0, 3, 1, 2)
    features = engine.labeler.teacher.encoder(
        preprocessor.normalise(pixels.to(preprocessor.device))
    )
    size_hw = tuple(features.shape[-2:])
    labels = torch.stack([cell_labels(mask, crop.window, size_hw) for crop, mask in batch])
    return clustering_score(features, labels.to(features.device))
