"""The steps as small real commands: what is done, done again, refused."""

from __future__ import annotations

import json
import shlex
import signal

import pytest

from mal_mm.workflow import RefusedError, TwoPhaseRun
from mal_mm.workflow.steps import OUTPUTS, Step

pytestmark = pytest.mark.slow  # nothing here depends on the stack

LABELING = dict(
    annotations=5,
    images=2,
    masks=3,
    passed=0,
    empty=0,
    ignored=0,
    quality_histogram=[0] * 10,
    skipped=[dict(annotation_id=n, reason='image <b>.png is missing') for n in (1, 2)],
)

IOUS = {kind: {'mean_iou': 0.5} for kind in ('masks', 'inscribed_ellipse', 'box_fill')}
# as little of recipes as a run looks at, since nothing is trained here
HOOKS = """
default_hooks = dict(checkpoint=dict(type='CheckpointHook'))
train_cfg = dict(max_epochs=1)
optim_wrapper = dict()
"""
LABELER = """
model = dict(type='MaskAutoLabeler')
train_dataloader = dict(dataset=dict(type='RoIDataset', dataset=dict()))
"""
SEGMENTER = """
model = dict(mask_head=dict(num_classes=80))
train_dataloader = dict(dataset=dict())
val_dataloader = dict(dataset=dict())
test_dataloader = dict(dataset=dict())
val_evaluator = dict(type='CocoMetric')
test_evaluator = dict(type='CocoMetric')
"""


@pytest.fixture(scope='module')
def small_recipes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('small')
    names = {}
    for name, text in (('labeler', LABELER), ('segmenter', SEGMENTER)):
        path = folder / f'{name}.py'
        path.write_text(text + HOOKS)
        names[name] = str(path)
    return names


@pytest.fixture
def start(options, tools_dir, small_recipes):
    """start(scripts, **options) -> a run whose steps are these shell scripts, by name.

    What a script needs not say: every step makes its decisive output.
    """

    def make(scripts: dict[str, str] | None = None, **changes: object) -> TwoPhaseRun:
        given = options(**small_recipes, **changes)
        run = TwoPhaseRun(given, tools_dir)
        folder = shlex.quote(str(given.work_dir))
        made = {
            'labeling': f"echo '{json.dumps(LABELING)}' > labeling.json; ",
            'masks': f"echo '{json.dumps(IOUS)}' > masks.json; ",
        }

        def small(step: Step) -> Step:
            output = OUTPUTS[step.name][0]
            command = (
                f'cd {folder}; {made.get(step.name, "")}'
                f'{"touch" if "." in output else "mkdir -p"} {output}\n'
                f'echo {step.name} >> order\n{(scripts or {}).get(step.name, "")}'
            )
            return Step(
                step.name,
                step.title,
                lambda: ['sh', '-c', command],
                step.depends,
                step.accepts,
            )

        run.steps = [small(step) for step in run.steps]
        return run

    return make


@pytest.fixture(scope='session')
def tools_dir(repo_root):
    return repo_root / 'tools'


@pytest.fixture
def order(tmp_path):
    """order() -> the steps that ran since it was asked last."""

    def read() -> list[str]:
        file = tmp_path / 'run' / 'order'
        names = file.read_text().split() if file.exists() else []
        file.unlink(missing_ok=True)
        return names

    return read


def state(tmp_path) -> dict:
    return json.loads((tmp_path / 'run' / 'state.json').read_text())


def test_boxes_some_of_which_cannot_be_labelled_go_through(start, order, tmp_path, capsys):
    assert start({'labeling': 'exit 3'}).run() == 0
    assert order() == ['labeler', 'labeling', 'report', 'segmenter']
    steps = state(tmp_path)['steps']
    assert {step['status'] for step in steps.values()} == {'done'}
    assert steps['labeling']['exit_status'] == 3
    said = capsys.readouterr().out
    assert '3 of 5 boxes have a mask\nnot labelled: 2 x image <b>.png is missing\nno AP' in said
    summary = json.loads((tmp_path / 'run' / 'summary.json').read_text())
    assert summary['numbers']['labeling']['skipped'] == {'image <b>.png is missing': 2}
    page = (tmp_path / 'run' / 'index.html').read_text()
    assert 'image &lt;b&gt;.png is missing' in page and 'No AP' in page
    assert 'http' not in page.replace('http-equiv', '')

    # again: there is nothing to do
    assert start({'labeling': 'exit 3'}).run() == 0
    assert order() == []


def test_failing_step_ends_the_run_and_is_done_again(start, order, tmp_path, capsys):
    failing = {'segmenter': 'echo why it failed; exit 7'}
    assert start(failing).run() == 7
    assert order() == ['labeler', 'labeling', 'report', 'segmenter']
    said = capsys.readouterr().err
    assert 'why it failed' in said and "'segmenter' ended with exit status 7" in said
    assert str(tmp_path / 'run' / 'logs' / 'segmenter.log') in said
    assert state(tmp_path)['steps']['segmenter']['status'] == 'failed'
    assert 'failed' in (tmp_path / 'run' / 'index.html').read_text()

    assert start().run() == 0
    assert order() == ['segmenter']
    assert state(tmp_path)['steps']['segmenter']['attempts'] == 2


def test_interrupted_step_is_said_to_be_stopped_and_goes_on(start, order, tmp_path, capsys):
    # Ctrl-C reaches the run, not the step
    assert start({'labeler': 'kill -INT $PPID; sleep 60'}).run() == 130
    assert 'interrupted in labeler' in capsys.readouterr().err
    assert state(tmp_path)['steps']['labeler']['status'] == 'stopped'
    assert order() == ['labeler']
    assert start().run() == 0
    assert order() == ['labeler', 'labeling', 'report', 'segmenter']


def test_step_whose_output_was_deleted_is_done_again(start, order, tmp_path):
    assert start().run() == 0
    order()
    (tmp_path / 'run' / 'pseudo_masks.json').unlink()
    assert start().run() == 0
    assert order() == ['labeling']


def test_other_arguments_are_refused_by_name(start, order, tmp_path, rewrite, recipes, human):
    assert start().run() == 0
    order()
    other = rewrite(recipes / 'train.json', lambda content: content['annotations'].pop())
    with pytest.raises(RefusedError, match=r'ann was .*train\.json .*changed_train') as error:
        start(ann=other).run()
    assert 'do the steps anew that this changes (labeler, labeling, report, segmenter)' in str(
        error.value
    )
    with pytest.raises(RefusedError, match=r"label_options was \[\], is now \['--flip'\]"):
        start(label_options=('--flip',)).run()
    assert order() == []

    # GPUs are no argument: they may be others the next time
    assert start(gpus=2).run() == 0
    assert order() == []


def test_restart_changed_keeps_what_other_arguments_do_not_concern(start, order, human, tmp_path):
    assert start(**human).run() == 0
    assert len(order()) == 8
    kept = (tmp_path / 'run' / 'labeler.py').stat().st_mtime_ns
    changed = dict(segmenter_options={'train_cfg.max_epochs': 3}, **human)
    assert start(**changed).run(restart='changed') == 0
    assert order() == ['segmenter', 'evaluation', 'segmenter_gt', 'evaluation_gt']
    assert 'max_epochs=3' in (tmp_path / 'run' / 'segmenter.py').read_text()
    assert (tmp_path / 'run' / 'labeler.py').stat().st_mtime_ns == kept


def test_restart_does_all_anew(start, order):
    assert start().run() == 0
    assert start().run(restart='all') == 0
    assert order() == 2 * ['labeler', 'labeling', 'report', 'segmenter']


def test_foreign_folder_is_left_alone(start, tmp_path):
    precious = tmp_path / 'run' / 'labeler' / 'epoch_10.pth'
    precious.parent.mkdir(parents=True)
    precious.touch()
    for restart in (None, 'all'):
        with pytest.raises(RefusedError, match='holds labeler, but no state'):
            start().run(restart)
    assert precious.exists()


def test_second_run_is_kept_out(start, tmp_path, monkeypatch):
    from mal_mm.workflow import two_phase_run as module
    from mal_mm.workflow.state import only_one

    folder = tmp_path / 'run'
    folder.mkdir()
    monkeypatch.setattr(module, 'only_one', lambda work_dir: only_one(work_dir, patience=0))
    with only_one(folder), pytest.raises(RefusedError, match='another run'):
        start().run()


def test_config_that_the_user_has_changed_between_is_kept(start, tmp_path):
    assert start({'labeling': 'exit 9'}).run() == 9
    config = tmp_path / 'run' / 'segmenter.py'
    config.write_text(config.read_text() + '\nmine = 1\n')
    assert start().run() == 0
    assert 'mine = 1' in config.read_text()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
