from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from tiny_training import TINY, write_boxes


@pytest.fixture(scope='session', autouse=True)
def folder_of_the_tools(repo_root):
    """Python looks beside a script for what it imports; some tests load tools as modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'path', [str(repo_root / 'tools'), *sys.path])
        yield


@pytest.fixture(scope='session')
def data_dir(tmp_path_factory) -> Path:
    """Four images with two boxes each: four iterations of two boxes an epoch."""
    folder = tmp_path_factory.mktemp('data')
    write_boxes(folder)
    return folder


@pytest.fixture
def tiny_config(repo_root, data_dir, tmp_path) -> Path:
    """configs/mal copied into an otherwise empty folder, with a tiny model beside it."""
    shutil.copytree(repo_root / 'configs' / 'mal', tmp_path / 'mal')
    config = tmp_path / 'tiny.py'
    config.write_text(TINY.format(base='mal/vit_mae_base.py', data=f'{data_dir}/'))
    return config
