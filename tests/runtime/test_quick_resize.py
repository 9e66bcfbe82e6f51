"""torch's quick resize without torch."""

from __future__ import annotations

import numpy as np
import pytest

from mal_mm.geometry import crop_window
from mal_mm.samples.shapes import draw_scene
from mal_mm_runtime.quick_resize import resize_quick
from mal_mm_runtime.windows import cut_window

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    'window',
    [
        (10, 20, 40, 90),  # both sides enlarged
        (0, 0, 256, 256),  # shrunk
        (30, 0, 94, 200),  # one side as it is
        (100, 100, 103, 101),
        (-20, -7, 300, 250),  # beyond the image
    ],
)
def test_crops_are_those_of_torch_pixel_for_pixel(window):
    image, _ = draw_scene(256, 0, 'train', 0)
    expected = crop_window(image, window, 64, exact=False)
    np.testing.assert_array_equal(resize_quick(cut_window(image, window), 64), expected)


def test_noise_comes_out_the_same():
    random = np.random.default_rng(0)
    for height, width in ((7, 3), (65, 63), (300, 500)):
        image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = crop_window(image, (0, 0, width, height), 64, exact=False)
        np.testing.assert_array_equal(resize_quick(image, 64), expected)
