import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

from mal_mm.evaluation import box_fill_rle, inscribed_ellipse_rle
from mal_mm.formats import check_rle

SIDES = st.one_of(st.floats(0.05, 25), st.integers(1, 25))
STARTS = st.one_of(st.floats(-15, 25), st.integers(-15, 25))


def picture(rle):
    return [''.join('.#'[v] for v in row) for row in mask_utils.decode(rle)]


def test_box_fill_is_the_pixels_of_a_whole_numbered_box():
    assert picture(box_fill_rle([1, 1, 3, 2], 4, 5)) == [
        '.....',
        '.###.',
        '.###.',
        '.....',
    ]


def test_a_pixel_is_filled_when_its_centre_is_in_the_box():
    # Columns' centres 0.5, 1.5, 2.5, 3.5 in [0.5, 2.5): the first two. Rows' in [0.6, 3.4): 1, 2.
    assert picture(box_fill_rle([0.5, 0.6, 2, 2.8], 4, 4)) == [
        '....',
        '##..',
        '##..',
        '....',
    ]


def test_boxes_beyond_the_image_are_cut_at_its_border():
    assert picture(box_fill_rle([-2, 1, 4, 100], 3, 4)) == ['....', '##..', '##..']
    assert picture(box_fill_rle([-9, -9, 99, 99], 2, 2)) == ['##', '##']
    assert picture(inscribed_ellipse_rle([-99, -99, 200, 200], 2, 2)) == ['##', '##']


def test_boxes_between_pixel_centres_or_outside_fill_nothing():
    for box in ([1.6, 1.6, 0.5, 0.5], [9, 0, 3, 3], [-5, 0, 3, 3], [1, 1, 0, 2], [1, 1, 2, 0]):
        for draw in (box_fill_rle, inscribed_ellipse_rle):
            rle = draw(box, 4, 5)
            assert mask_utils.area(rle) == 0
            assert check_rle(rle).tolist() == [20]


def test_ellipse_in_a_square_of_four_loses_its_corners():
    # Radius 2: the corner centres lie sqrt(1.5^2 + 1.5^2) = 2.12 away, their neighbours 1.58.
    assert picture(inscribed_ellipse_rle([1, 0, 4, 4], 4, 6)) == [
        '..##..',
        '.####.',
        '.####.',
        '..##..',
    ]


def test_ellipse_in_a_flat_box_follows_its_two_radii():
    # Radii 3 and 1, centre (3, 1): at both rows (y / 1)^2 = 0.25, so |x| < 3 sqrt(0.75) = 2.598:
    # centres at 0.5, 1.5 and 2.5 from the middle, all in.
    assert picture(inscribed_ellipse_rle([0, 0, 6, 2], 2, 6)) == ['######', '######']
    # Radius 4: |x| < 4 sqrt(0.75) = 3.46 leaves out the outermost centres at 3.5.
    assert picture(inscribed_ellipse_rle([0, 0, 8, 2], 2, 8)) == ['.######.', '.######.']


def test_a_box_of_one_pixel_is_its_own_ellipse():
    assert picture(inscribed_ellipse_rle([2, 1, 1, 1], 3, 4)) == ['....', '..#.', '....']


def test_a_centre_on_the_outline_is_outside_the_ellipse():
    # Radius 1 around (1.5, 1.5): the four neighbours' centres lie exactly on it.
    assert mask_utils.area(inscribed_ellipse_rle([0.5, 0.5, 2, 2], 4, 4)) == 1


@settings(max_examples=150, deadline=None)
@given(STARTS, STARTS, SIDES, SIDES)
def test_floors_agree_with_the_definition_at_every_pixel(x, y, w, h):
    height, width = 17, 13
    rows, columns = np.mgrid[:height, :width] + 0.5
    in_box = (columns >= x) & (columns < x + w) & (rows >= y) & (rows < y + h)
    assert np.array_equal(mask_utils.decode(box_fill_rle([x, y, w, h], height, width)), in_box)

    distance = ((columns - x - w / 2) / (w / 2)) ** 2 + ((rows - y - h / 2) / (h / 2)) ** 2
    ellipse = mask_utils.decode(inscribed_ellipse_rle([x, y, w, h], height, width))
    clear = abs(distance - 1) > 1e-9  # on the outline itself rounding decides
    assert np.array_equal(ellipse[clear], (distance < 1)[clear])


@settings(max_examples=50, deadline=None)
@given(STARTS, STARTS, SIDES, SIDES)
def test_floors_have_no_empty_runs(x, y, w, h):
    for draw in (box_fill_rle, inscribed_ellipse_rle):
        assert check_rle(draw([x, y, w, h], 9, 11))[1:].all()
