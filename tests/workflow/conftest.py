from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from mmengine.config import Config
from tiny_labeler import shrink

from mal_mm.samples import make_shapes
from mal_mm.workflow import Options


@pytest.fixture(scope='session')
def recipes(tmp_path_factory, repo_root) -> Path:
    """A sample set, labeler.py and segmenter.py beside it."""
    root = tmp_path_factory.mktemp('recipes')
    make_shapes(root, num_images=2, num_unseen=1, size=64)
    cfg = Config.fromfile(repo_root / 'configs' / 'mal' / 'vit_mae_base.py')
    shrink(cfg, root, root / 'unused').dump(root / 'labeler_recipe.py')
    path = repo_root / 'configs' / 'phase2' / 'solov2_r50_fpn_3x_coco_mal.py'
    Config.fromfile(path).dump(root / 'segmenter_recipe.py')
    return root


@pytest.fixture
def options(recipes, tmp_path):
    """options(**changes) -> Options of a run in an empty folder."""

    def make(**changes: object) -> Options:
        given = dict(
            ann=recipes / 'train.json',
            img_root=recipes,
            labeler=str(recipes / 'labeler_recipe.py'),
            segmenter=str(recipes / 'segmenter_recipe.py'),
            work_dir=tmp_path / 'run',
        )
        return Options(**{**given, **changes})

    return make


@pytest.fixture
def human(recipes) -> dict[str, Path]:
    """The options that name human masks."""
    return dict(
        val_ann=recipes / 'unseen_gt.json',
        val_img_root=recipes,
        gt_ann=recipes / 'train_gt.json',
    )


@pytest.fixture
def rewrite(tmp_path):
    """rewrite(path, change) -> copy of a JSON file that `change` has changed in place."""

    def make(path: Path, change) -> Path:
        content = json.loads(path.read_text())
        change(content)
        copy = tmp_path / f'changed_{path.name}'
        copy.write_text(json.dumps(content))
        return copy

    return make


@pytest.fixture(autouse=True)
def heed_ctrl_c():
    """Tests that a shell has started in the background would ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
