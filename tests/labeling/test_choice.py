"""The measure that chooses between labelings, on pictures where the better mask is known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mal_mm.labeling.choice import mask_fit, mean_fit


def annotation(mask: np.ndarray, box: list[float], number: int = 1, image_id: int = 1) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    rle['counts'] = rle['counts'].decode()
    return dict(
        id=number, image_id=image_id, category_id=1, bbox=box, segmentation=rle, mal_quality=0.5
    )


@pytest.fixture
def disc() -> tuple[np.ndarray, np.ndarray]:
    """A red disc of radius 30 around (60, 50) on grey, and its mask."""
    y, x = np.mgrid[:100, :120]
    mask = (x - 60) ** 2 + (y - 50) ** 2 < 30**2
    image = np.full((100, 120, 3), 128, dtype=np.uint8)
    image[mask] = 220, 30, 30
    return image, mask


BOX = [31, 21, 59, 59]


def test_the_true_mask_fits_nearly_perfectly(disc):
    image, mask = disc
    assert mask_fit(annotation(mask, BOX), image) > 0.9


def test_worse_masks_fit_worse(disc):
    image, mask = disc
    box_filled = np.zeros_like(mask)
    box_filled[21:80, 31:90] = True
    shifted = np.roll(mask, 8, axis=1)
    half = mask.copy()
    half[:, 60:] = False
    true = mask_fit(annotation(mask, BOX), image)
    fits = [mask_fit(annotation(each, BOX), image) for each in (box_filled, shifted, half)]
    assert max(fits) < true - 0.1
    # half of the disc reaches three sides of four, and half of the box
    assert fits[2] < 0.6
    assert mask_fit(annotation(np.zeros_like(mask), BOX), image) == 0


def test_a_mask_of_the_colours_around_it_does_not_fit(disc):
    _, mask = disc
    flat = np.full((100, 120, 3), 128, dtype=np.uint8)
    assert mask_fit(annotation(mask, BOX), flat) < 0.05


def test_the_mean_leaves_out_what_has_no_mask_or_no_image(disc, tmp_path):
    image, mask = disc
    Image.fromarray(image).save(tmp_path / 'a.png')
    good = annotation(mask, BOX)
    skipped = {**annotation(mask, BOX, 2), 'mal_skipped': 'why'}
    skipped.pop('mal_quality')
    gone = annotation(mask, BOX, 3, image_id=2)
    size = dict(width=120, height=100)
    data = dict(
        images=[dict(id=1, file_name='a.png', **size), dict(id=2, file_name='b.png', **size)],
        annotations=[good, skipped, gone],
        categories=[dict(id=1, name='disc')],
    )
    assert mean_fit(data, tmp_path) == pytest.approx(mask_fit(good, image))
    assert mean_fit({**data, 'annotations': [skipped]}, tmp_path) == 0


def test_of_many_masks_some_spread_over_the_file_are_looked_at(disc, tmp_path):
    image, mask = disc
    Image.fromarray(image).save(tmp_path / 'a.png')
    bad = np.zeros_like(mask)
    bad[21:80, 31:90] = True
    # every second one is bad, in the second half of the file all are
    masks = [mask if n % 2 and n < 20 else bad for n in range(40)]
    data = dict(
        images=[dict(id=1, file_name='a.png', width=120, height=100)],
        annotations=[annotation(each, BOX, n + 1) for n, each in enumerate(masks)],
        categories=[dict(id=1, name='disc')],
    )
    low, high = (mask_fit(annotation(each, BOX), image) for each in (bad, mask))
    assert mean_fit(data, tmp_path, most=40) == pytest.approx((30 * low + 10 * high) / 40)
    # places 0, 14, 28
    assert mean_fit(data, tmp_path, most=3) == pytest.approx(low)
