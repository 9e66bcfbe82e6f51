import numpy as np
import pytest

from mal_mm_runtime.hole_carving import carve_holes

GREEN, BLUE, RED, YELLOW = (40, 150, 60), (60, 80, 200), (200, 60, 50), (220, 200, 60)
ROWS, COLUMNS = np.mgrid[:120, :120]


def disc(radius, row=60, column=60):
    return (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius * abs(radius)


def paint(*layers, ground=GREEN):
    """Layers (where, colour) over the ground, with noise."""
    image = np.empty((120, 120, 3))
    image[:] = ground
    for where, colour in layers:
        image[where] = colour
    noise = np.random.default_rng(0).normal(0, 8, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


CHECKS = (ROWS // 8 + COLUMNS // 8) % 2 == 0


@pytest.mark.parametrize(
    'ground', [[], [(CHECKS, BLUE)], [(ROWS < 60, BLUE)]], ids=['plain', 'checks', 'halves']
)
@pytest.mark.parametrize('stripes', [False, True])
def test_the_hole_of_a_filled_ring_is_cut_out(ground, stripes):
    ring = disc(40) & ~disc(20)
    stripe = [(ring & (COLUMNS % 10 < 5), YELLOW)] if stripes else []
    image = paint(*ground, (ring, RED), *stripe)
    carved = carve_holes(disc(41), image)
    assert iou(disc(41), ring) < 0.75
    assert iou(carved, ring) > 0.92


def test_a_large_image_gives_the_same_holes():
    ring = disc(40) & ~disc(20)
    large = np.ones((5, 5, 1), dtype=np.uint8)
    carved = carve_holes(np.kron(disc(41), large[..., 0] > 0), np.kron(paint((ring, RED)), large))
    assert carved.shape == (600, 600)
    assert iou(carved[2::5, 2::5], ring) > 0.92


@pytest.mark.parametrize(
    'layers',
    [
        [(disc(40), RED)],
        [(disc(40), RED), (disc(12), YELLOW)],  # a colour of its own
        [(disc(40), RED), (disc(4), GREEN)],  # small
        [(disc(40), RED), (disc(20, column=85), GREEN)],  # a bay, not a hole
        [],  # an object that looks like the surroundings all over
    ],
    ids=['solid', 'own colour', 'small', 'bay', 'camouflage'],
)
def test_nothing_else_is_cut_out(layers):
    mask = disc(40)
    np.testing.assert_array_equal(carve_holes(mask, paint(*layers)), mask)


def test_holes_at_the_image_border_are_enclosed_by_it():
    ring = disc(50, row=0) & ~disc(25, row=0)
    assert iou(carve_holes(disc(50, row=0), paint((ring, RED))), ring) > 0.92


@pytest.mark.parametrize('radius', [-1, 2, 999])  # empty, tiny, all
def test_masks_without_samples_stay(radius):
    np.testing.assert_array_equal(carve_holes(disc(radius), paint()), disc(radius))
