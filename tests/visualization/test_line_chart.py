"""Where the points and ticks of a chart lie."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mal_mm.visualization.line_chart import line_chart
from mal_mm.visualization.pages import nice_top, short_number

pytestmark = pytest.mark.slow  # nothing here depends on the stack


def test_points_lie_between_the_ticks_that_enclose_them():
    chart = line_chart('loss', {'a': {10: 0.0, 20: 4.0}, 'b': {5: 2.0, 15: math.nan}})
    assert chart['x_ticks'] == [(46, '0'), (123.5, '5'), (201, '10'), (278.5, '15'), (356, '20')]
    assert [text for _, text in chart['y_ticks']] == ['0', '1', '2', '3', '4']
    one, other = chart['lines']
    assert (one['name'], one['raw'], one['points']) == ('a', None, '201.0,224.0 356.0,14.0')
    assert other['points'] == '123.5,119.0'  # half way up


def test_long_curves_are_thinned_smoothed_and_keep_their_ends():
    values = np.random.default_rng(0).normal(size=5000)
    chart = line_chart('loss', {'a': dict(enumerate(values))})
    (line,) = chart['lines']
    assert len(line['points'].split()) == len(line['raw'].split()) == 300
    assert line['raw'].split()[0].startswith('46.0,')
    heights = [float(point.split(',')[1]) for point in line['points'].split()]
    assert np.ptp(heights) < 30  # of 210: the mean of 249 points


@pytest.mark.parametrize('curve', [{}, {1: math.nan}, {1: math.inf}])
def test_without_a_finite_value_there_is_no_chart(curve):
    assert line_chart('loss', {'a': curve}) is None


@pytest.mark.parametrize('value', [0.0, 1e-9, -3.0, 123456.0])
def test_one_value_alone_has_an_axis(value):
    chart = line_chart('loss', {'a': {0: value}})
    assert len(chart['y_ticks']) >= 2
    assert len({place for place, _ in chart['y_ticks']}) == len(chart['y_ticks'])


def test_axes_end_at_round_numbers():
    assert [nice_top(n) for n in (0, 1, 2, 3, 8, 10, 11, 178, 17266)] == [
        *(2, 2, 2, 4, 10, 10, 20, 200, 20000)
    ]
    assert [short_number(n) for n in (0, 0.25, 950, 1500, -40000, 2e6)] == [
        *('0', '0.25', '950', '1.5k', '-40k', '2M')
    ]
