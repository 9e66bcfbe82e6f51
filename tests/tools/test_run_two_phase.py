"""Boxes in, a segmenter and its retention rate out, through the command line."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mmengine.config import Config
from tiny_labeler import shrink
from tiny_segmenter import shrink_segmenter
from tiny_training import cpu_environment

from mal_mm.phase2.custom_data import set_num_classes
from mal_mm.samples import make_shapes

EPOCHS = 3
# what is there while a step is at work -> the step
AT_WORK = {
    'labeler': 'labeler/last_checkpoint',
    'labeling': 'pseudo_masks.json.parts/job.json',
    'segmenter': 'segmenter/last_checkpoint',
    'evaluation': 'evaluation/*/*.log',
}


@pytest.fixture(scope='module')
def tool_path(repo_root) -> Path:
    return repo_root / 'tools' / 'run_two_phase.py'


@pytest.fixture(scope='module')
def tool(tool_path):
    spec = importlib.util.spec_from_file_location(tool_path.stem, tool_path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def command(tmp_path_factory, repo_root, tool_path) -> list[str]:
    """The command on a sample set with tiny recipes, without a work dir."""
    folder = tmp_path_factory.mktemp('two_phase')
    root = folder / 'shapes'
    make_shapes(root, num_images=4, num_unseen=2, size=64)
    labeler = Config.fromfile(repo_root / 'configs' / 'mal' / 'vit_mae_base.py')
    shrink(labeler, root, folder, batch_size=4).train_cfg.max_epochs = EPOCHS
    path = repo_root / 'configs' / 'phase2' / 'solov2_r50_fpn_3x_coco_mal.py'
    segmenter = shrink_segmenter(Config.fromfile(path), root, 'train_gt.json', folder)
    set_num_classes(segmenter.model, 80)  # as in the recipe: the tool has to see to it
    segmenter.train_cfg.max_epochs = EPOCHS
    segmenter.default_hooks.checkpoint.interval = 1
    # the one thing of chance that a resumed training does not repeat
    for transform in segmenter.train_dataloader.dataset.pipeline:
        if transform.type == 'RandomFlip':
            transform.prob = 0.0
    words = ['--ann', root / 'train.json', '--img-root', root]
    words += ['--val-ann', root / 'unseen_gt.json', '--val-img-root', root]
    for name, cfg in (('labeler', labeler), ('segmenter', segmenter)):
        for key in ('work_dir', 'experiment_name', 'log_level'):
            cfg.pop(key, None)
        cfg.dump(folder / f'{name}.py')
        words += [f'--{name}', folder / f'{name}.py']
    return [sys.executable, str(tool_path), *map(str, words)]


def finish(command: list[str], work_dir: Path, *words: object) -> dict:
    """Run to the end; returns the summary."""
    done = subprocess.run(
        [*command, '--work-dir', str(work_dir), *map(str, words)],
        capture_output=True,
        text=True,
        env=cpu_environment(),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads((work_dir / 'summary.json').read_text())


def kill_in(step: str, command: list[str], work_dir: Path, number: int) -> int:
    """Send a signal to the run, and to it alone, once the step is at work; its exit status."""
    process = subprocess.Popen(
        [*command, '--work-dir', str(work_dir)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=cpu_environment(),
    )
    deadline = time.monotonic() + 300
    while not list(work_dir.glob(AT_WORK[step])):
        assert process.poll() is None and time.monotonic() < deadline, f'{step} was not reached'
        time.sleep(0.002)
    process.send_signal(number)
    return process.wait()


@pytest.mark.long
def test_run_killed_in_each_phase_ends_as_the_unbroken_one(command, tmp_path):
    gt = Path(command[command.index('--ann') + 1]).with_name('train_gt.json')
    whole = finish(command, tmp_path / 'whole', '--gt-ann', gt)
    assert [step['status'] for step in whole['steps'].values()] == 8 * ['done']
    assert whole['numbers'].keys() > {'ap', 'masks', 'retention'}
    assert whole['numbers']['ap'].keys() == {'mal', 'gt'}
    assert 'retention' in (tmp_path / 'whole' / 'index.html').read_text()

    killed = tmp_path / 'killed'
    for step in AT_WORK:
        assert kill_in(step, command, killed, signal.SIGKILL) == -signal.SIGKILL
        state = json.loads((killed / 'state.json').read_text())
        assert state['steps'][step]['status'] == 'running'
    resumed = finish(command, killed)
    attempts = {name: step['attempts'] for name, step in resumed['steps'].items()}
    assert attempts == {**dict.fromkeys(AT_WORK, 2), 'report': 1}
    for name in ('labeler', 'segmenter'):
        assert 'resumed epoch: 1' in (killed / 'logs' / f'{name}.log').read_text()
        assert resumed['numbers'][name]['losses']
        assert resumed['numbers'][name] == whole['numbers'][name]
    assert resumed['numbers']['labeling'] == whole['numbers']['labeling']
    assert resumed['numbers']['ap']['mal'] == whole['numbers']['ap']['mal']


@pytest.mark.long
def test_sigterm_stops_the_step_and_the_state_says_so(command, tmp_path):
    assert kill_in('labeler', command, tmp_path, signal.SIGTERM) == 130
    state = json.loads((tmp_path / 'state.json').read_text())
    assert state['steps']['labeler']['status'] == 'stopped'
    assert state['steps']['labeling']['status'] == 'waiting'


@pytest.mark.long
def test_ranks_share_the_work_and_skipped_boxes_are_no_failure(command, tmp_path):
    words = command.copy()
    place = words.index('--ann') + 1
    content = json.loads(Path(words[place]).read_text())
    content['images'].append({**content['images'][0], 'id': 99, 'file_name': 'missing.png'})
    content['annotations'].append({**content['annotations'][0], 'id': 999, 'image_id': 99})
    boxes = tmp_path / 'boxes.json'
    boxes.write_text(json.dumps(content))
    words[place] = str(boxes)
    numbers = finish(words, tmp_path / 'run', '--gpus', 2)['numbers']
    assert sum(numbers['labeling']['skipped'].values()) == 1
    assert numbers['labeling']['masks'] == len(content['annotations']) - 1
    assert 'ap' in numbers


def test_dry_run_prints_the_commands_and_changes_nothing(tool, command, tmp_path, capsys):
    words = [*command[2:], '--work-dir', str(tmp_path / 'run'), '--dry-run']
    assert tool.main([*words, '--label-options', '--flip', '--margin', '0.3', '0.6']) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(':')[0] for line in said[::2]] == [
        '# 1. labeler',
        '# 2. labeling',
        '# 3. report',
        '# 4. segmenter',
        '# 5. evaluation',
    ]
    assert said[3].endswith('--flip --margin 0.3 0.6')
    assert f'$(cat {tmp_path}/run/labeler/last_checkpoint)' in said[3]
    assert not (tmp_path / 'run').exists()


def test_mistakes_are_told_in_a_line_and_have_status_2(tool, command, capsys):
    for words, reason in (
        (['--gt-ann', 'no.json', '--gpus', '0'], '--gpus must be at least 1'),
        (['--label-options', '--out', 'x.json'], '--label-options must not hold --out'),
    ):
        assert tool.main([*command[2:], *words]) == 2
        said = capsys.readouterr().err
        assert said.startswith('run_two_phase: ') and reason in said and said.count('\n') == 1
    with pytest.raises(SystemExit) as error:
        tool.main([*command[2:], '--label-options', '--flop'])
    assert error.value.code == 2
