"""Checkpoints that would run code, given to train.py and test.py."""

from __future__ import annotations

import sys

import pytest
import torch
import warm_processes
from mmengine.config import Config
from tiny_segmenter import shrink_segmenter
from tiny_training import cpu_environment

from mal_mm.samples import make_shapes


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return exec, (f'open({self.path!r}, "w").close()',)


@pytest.fixture
def hostile(tmp_path):
    path = tmp_path / 'hostile.pth'
    content = {'state_dict': {'weight': torch.zeros(1)}, 'meta': Hostile(tmp_path / 'PWNED')}
    torch.save(content, path)
    return path


@pytest.fixture(scope='module')
def segmenter(tmp_path_factory, repo_root):
    folder = tmp_path_factory.mktemp('segmenter')
    make_shapes(folder, num_images=2, num_unseen=1, size=64)
    path = repo_root / 'configs' / 'phase2' / 'solov2_r50_fpn_3x_coco_mal.py'
    cfg = shrink_segmenter(Config.fromfile(path), folder, 'train_gt.json', folder)
    cfg.mal_ann_file = 'train_gt.json'
    cfg.dump(folder / 'segmenter.py')
    return folder / 'segmenter.py'


def check(hostile, tool, repo_root, *words) -> None:
    command = [sys.executable, repo_root / 'tools' / tool, *words]
    done = warm_processes.run(command, hostile.parent, cpu_environment())
    assert done.returncode == 1, done.stderr
    assert not (hostile.parent / 'PWNED').exists()
    assert 'Traceback' not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f'{tool.removesuffix(".py")}: {hostile}: holds ')
    assert f'MAL_TRUST_CHECKPOINT={hostile}' in last


def test_train_resume_and_test_refuse_it_in_a_sentence(hostile, repo_root, tiny_config, segmenter):
    check(hostile, 'train.py', repo_root, tiny_config, '--resume', hostile)
    check(hostile, 'test.py', repo_root, segmenter, hostile)


@pytest.mark.slow
def test_train_load_from_refuses_it_in_a_sentence(hostile, repo_root, tiny_config):
    words = [tiny_config, '--cfg-options', f'load_from={hostile}']
    check(hostile, 'train.py', repo_root, *words)
