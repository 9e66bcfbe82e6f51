import json

import numpy as np
import pytest

from mal_mm.evaluation.run_log import read_curves
from mal_mm.visualization.line_chart import smooth
from mal_mm.visualization.training_curves import plot_runs


def train(step, **values):
    return {**values, 'epoch': 1, 'iter': step, 'step': step}


def write_log(work_dir, time, rows, tail=''):
    file = work_dir / time / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text(''.join(f'{json.dumps(row)}\n' for row in rows) + tail)
    return file


def test_a_run_is_read_by_iteration(tmp_path):
    write_log(tmp_path, '20260101_000000', [train(10, loss=3.0, lr=1), train(20, loss=2.5)])
    curves = read_curves(tmp_path)
    assert curves['loss'] == {10: 3.0, 20: 2.5}
    assert curves['lr'] == {10: 1}


def test_validation_lies_at_the_iteration_before_it(tmp_path):
    # mmengine gives the epoch as `step` of the scores
    rows = [train(10, loss=3.0), {'mal/mIoU': 0.5, 'step': 1}]
    rows += [train(20, loss=2.0), {'mal/mIoU': 0.75, 'step': 2}]
    write_log(tmp_path, '20260101_000000', rows)
    assert read_curves(tmp_path)['mal/mIoU'] == {10: 0.5, 20: 0.75}


def test_a_resumed_run_goes_on_from_where_it_resumed(tmp_path):
    # killed after 40, resumed at 20; written in another order than that of the times
    write_log(tmp_path, '20260102_000000', [train(30, loss=2.0), train(35, loss=1.0)])
    first = [train(step, loss=9.0) for step in (10, 20, 30, 40)]
    write_log(tmp_path, '20260101_000000', [*first, {'mal/mIoU': 0.1, 'step': 4}])
    write_log(tmp_path, '20260103_000000', [])  # died before its first line
    curves = read_curves(tmp_path)
    assert curves['loss'] == {10: 9.0, 20: 9.0, 30: 2.0, 35: 1.0}
    assert 'mal/mIoU' not in curves


def test_a_line_that_is_just_being_written_is_left_out(tmp_path):
    write_log(tmp_path, '20260101_000000', [train(10, loss=3.0)], tail='{"loss": 2.')
    assert read_curves(tmp_path)['loss'] == {10: 3.0}


def test_a_broken_line_is_named(tmp_path):
    log = write_log(tmp_path, '20260101_000000', [train(10, loss=3.0)], tail='{"loss\n{}\n')
    with pytest.raises(ValueError, match=f'{log}: line 2 is not JSON'):
        read_curves(tmp_path)


@pytest.mark.parametrize('name', ['empty', 'missing'])
def test_a_folder_without_scalars_is_named(tmp_path, name):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match=f'{tmp_path / name}: no scalars found'):
        read_curves(tmp_path / name)


def test_the_running_mean_shrinks_towards_the_ends():
    assert smooth(np.array([1.0, 2, 6, 7]), 3).tolist() == [1.5, 3, 5, 6.5]
    assert smooth(np.array([1.0, 2, 6, 7]), 1).tolist() == [1, 2, 6, 7]


def test_each_key_has_a_panel_with_the_curves_of_the_runs_that_have_it():
    long = {step: float(step % 7) for step in range(1, 101)}
    runs = {
        'a': {'loss_mil': long, 'box_fill': {1: 0.5}, 'time': {1: 1.0}},
        'b': {'loss_mil': {10: 1.0, 20: 3.0}},
    }
    figure = plot_runs(runs)
    assert [axes.get_ylabel() for axes in figure.axes] == ['loss_mil', 'box_fill']
    assert figure.axes[-1].get_xlabel() == 'iteration'
    raw, mean, other = figure.axes[0].lines
    assert raw.get_ydata().tolist() == list(long.values())
    np.testing.assert_array_equal(mean.get_ydata(), smooth(np.array(list(long.values())), 5))
    assert (other.get_xdata().tolist(), other.get_ydata().tolist()) == ([10, 20], [1, 3])
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ['a (mean of 5)', 'b']
    assert len(figure.axes[1].lines) == 1


def test_the_keys_that_were_asked_for_are_drawn_in_order():
    runs = {'a': {'loss_mil': {1: 1.0}, 'time': {1: 1.0}, 'lr': {1: 1.0}}}
    figure = plot_runs(runs, ['lr', 'loss_mil'])
    assert [axes.get_ylabel() for axes in figure.axes] == ['lr', 'loss_mil']


def test_keys_that_no_run_has_are_refused_with_those_that_there_are():
    runs = {'a': {'loss_mask': {1: 1.0}}, 'b': {'lr': {1: 1.0}}}
    with pytest.raises(ValueError, match='no run has loss_foo; there are loss_mask, lr'):
        plot_runs(runs, ['lr', 'loss_foo'])
    with pytest.raises(ValueError, match=r'no run has loss_mil, .*; there are loss_mask, lr'):
        plot_runs(runs)
