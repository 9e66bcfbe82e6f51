import argparse
import json
import socket
import subprocess
import sys
from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch
import warm_processes
from tiny_training import TINY, cpu_environment, logged_losses, run, state_dict

from mal_mm.launcher import load_config


def by_script(tools: Path, config: Path) -> None:
    run('bash', tools / 'dist_train.sh', config, 2, '--work-dir', 'two', cwd=config.parent)


def by_variables(tools: Path, config: Path) -> None:
    """What torchrun tells its processes, without a torchrun that imports for seconds."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        port = str(listener.getsockname()[1])
    common = {'WORLD_SIZE': '2', 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': port}
    command = [sys.executable, tools / 'train.py', config, '--work-dir', 'two']
    ranks = [
        warm_processes.start(
            [*command, '--launcher', 'pytorch'],
            config.parent,
            cpu_environment(**common, RANK=rank, LOCAL_RANK=rank),
        )
        for rank in '01'
    ]
    assert [rank.wait() for rank in ranks] == [0, 0], [rank.said() for rank in ranks]


@pytest.mark.parametrize(
    'start_two', [by_variables, pytest.param(by_script, marks=pytest.mark.slow)]
)
def test_two_cpu_ranks_train_like_one_rank_with_twice_the_batch(repo_root, tiny_config, start_two):
    folder = tiny_config.parent
    start_two(repo_root / 'tools', tiny_config)
    one = (repo_root / 'tools/train.py', tiny_config, '--work-dir', 'one')
    run(sys.executable, *one, '--cfg-options', 'train_dataloader.batch_size=4', cwd=folder)
    two_ranks, one_rank = logged_losses(folder / 'two'), logged_losses(folder / 'one')
    assert one_rank.shape == (4, 2)
    assert np.ptp(one_rank[:, 0]) > 1e-2  # the weights move, so the gradients are compared too
    np.testing.assert_allclose(two_ranks, one_rank, rtol=0, atol=1e-4)

    states = [state_dict(folder / name / 'epoch_2.pth') for name in ('one', 'two')]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_mmdets_own_train_tool_runs_configs_copied_into_an_empty_folder(tiny_config):
    tool = Path(mmdet.__file__).parent / '.mim' / 'tools' / 'train.py'
    folder = tiny_config.parent
    run(sys.executable, tool, tiny_config, '--work-dir', 'out', cwd=folder)
    assert np.isfinite(logged_losses(folder / 'out')).all()


@pytest.mark.slow
def test_a_config_inherited_through_mal_mm_trains(repo_root, data_dir, tmp_path):
    config = tmp_path / 'tiny.py'
    config.write_text(TINY.format(base='mal_mm::mal/vit_mae_base.py', data=f'{data_dir}/'))
    tool = repo_root / 'tools' / 'train.py'
    run(sys.executable, tool, config, '--work-dir', 'out', '--amp', cwd=tmp_path)
    assert np.isfinite(logged_losses(tmp_path / 'out')).all()


@pytest.mark.parametrize(
    ('name', 'sentence'),
    [
        ('missing.py', r"config 'missing\.py' does not exist \(from /"),
        ('mal_mm::mal/missing.py', r"mal_mm has no config 'mal/missing\.py'; it has: mal/"),
    ],
)
def test_a_missing_config_is_named(name, sentence):
    args = argparse.Namespace(config=name, local_rank=0)
    with pytest.raises(FileNotFoundError, match=sentence):
        load_config(args)


def test_a_missing_config_ends_the_tool_in_one_sentence(repo_root, tmp_path):
    done = subprocess.run(
        [sys.executable, str(repo_root / 'tools' / 'train.py'), 'missing.py'],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("train: config 'missing.py' does not exist")
    assert 'Traceback' not in done.stderr


def test_own_data_takes_four_words(repo_root, tiny_config, data_dir):
    """What README shows: boxes to learn from, masks to judge by, any config."""
    content = json.loads((data_dir / 'train.json').read_text())
    for annotation in content['annotations']:
        x, y, w, h = annotation['bbox']
        annotation.update(
            segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]], area=w * h, iscrowd=0
        )
    folder = tiny_config.parent
    (folder / 'val.json').write_text(json.dumps(content))
    (folder / 'mine.py').write_text(
        tiny_config.read_text().replace(f'{data_dir}/', 'nowhere/')
        + "\nval_dataloader = None\nmodel['test_cfg'] = dict(crop_size=64)\n"
    )
    words = ['--ann', data_dir / 'train.json', '--img-root', data_dir]
    words += ['--val-ann', 'val.json', '--val-img-root', data_dir, '--work-dir', 'out']
    words += ['--cfg-options', 'train_cfg.max_epochs=1']
    done = run(sys.executable, '-m', 'mal_mm_cli', 'train', 'mine.py', *words, cwd=folder)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    said = [*lines, *done.stderr.splitlines()]
    assert lines[-1].startswith('trained 4 iterations; ')
    assert Path(lines[-1].split('; ')[1]).is_file()
    assert any(line.startswith('validation: mal/mIoU ') for line in lines)
    assert len(said) < 20, said  # no dump of the config, no third party's words
    log = next((folder / 'out').glob('*/*.log')).read_text()
    assert 'Config:' in log and 'Hooks will be executed' in log
