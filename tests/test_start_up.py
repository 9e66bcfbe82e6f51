"""What is imported when: commands start at once, and all of ours is found all the same."""

from __future__ import annotations

import ast
import importlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mal_mm.checkpoints.local_file import default_hub
from mal_mm.datasets import RoICrop
from mal_mm.models import untrained_labeler
from mal_mm.samples import make_shapes
from mal_mm.workflow import labeling_checks

HEAVY = ('torch', 'mmcv', 'mmdet', 'mmpretrain', 'kornia', 'scipy', 'skimage', 'transformers')
SEGMENTER = 'mal_mm::phase2/solov2_r50_fpn_3x_coco_mal.py'
LABELER = 'mal_mm::mal/vit_mae_base.py'
INSTANT = 'mal_mm::mal/instant_dinov2_small.py'
# command and exit status; in a folder with a sample set, and without any weights
LIGHT = {
    'samples shapes more --num-images 1 --num-unseen 1 --size 64': 0,
    'convert coco train_gt.json --to yolo yolo': 0,
    'evaluate train_gt.json train_gt.json': 0,
    'report train_gt.json --img-root . --out page': 0,
    'zoo': 0,
    'zoo instant-dinov2-small': 1,
    'reproduce table 1': 0,
    'reproduce table 1 --work-dirs .': 0,
    'reproduce ablation --list': 0,
    'plot no_run': 1,
    'retention no_run no_run': 1,
    'label --ann broken.json --img-root . --out out.json': 1,
    'label --ann train.json --img-root . --out out.json': 1,
    f'generate {INSTANT} --ann train.json --img-root . --out out.json': 1,
    f'generate {LABELER} no.pth --ann train.json --img-root . --out out.json': 1,
    f'train {LABELER}': 1,
    f'train {LABELER} --ann broken.json --img-root .': 1,
    f'train {LABELER} --cfg-options model.misspelt.width=1': 1,
    f'train {LABELER} --ann train.json --img-root . --resume no.pth': 1,
    f'test {LABELER} no.pth': 1,
    f'two-phase --ann no.json --img-root . --labeler {LABELER} --segmenter {LABELER}': 2,
    f'export {INSTANT} out.onnx': 1,
    'import nvlabs no.ckpt out.pth': 1,
    'import maskdino no.pth out.pth': 1,
    'import dinov2 out.pth': 1,
    'reproduce predictions no_run no_run --images train/000000.png --out compared': 1,
    f'reproduce attention {LABELER} no.pth --image train/000000.png --box 1 1 20 20': 1,
    f'reproduce clustering {LABELER} --ann no.json --img-root .': 1,
    f'evaluate-detector {LABELER} no.pth --detections d --gt train_gt.json --img-root .': 1,
}
# these say what they miss as soon as the config is read, which inherits from `mmdet::`
SEGMENTERS = {f'train {SEGMENTER}': 1, f'test {SEGMENTER} file.pth': 1}


def run(script: str, *words: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', script, *words],
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_commands_without_a_model_import_none(tmp_path, monkeypatch):
    script = """
import contextlib, io, json, os, sys
import mal_mm
commands, segmenters, heavy = map(json.loads, sys.argv[1:])
found = {'import mal_mm': [0, [name for name in (*heavy, 'mmengine') if name in sys.modules]]}
from mal_mm_cli.main import main
for command in (*commands, *segmenters):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main(command.split())
    found[command] = [status, [name for name in heavy if name in sys.modules]]
print(json.dumps(found))
"""
    make_shapes(tmp_path, num_images=1, num_unseen=1, size=64)
    (tmp_path / 'broken.json').write_text('{"images": [')
    (tmp_path / 'file.pth').touch()
    for variable in ('XDG_CACHE_HOME', 'TORCH_HOME'):
        monkeypatch.setenv(variable, str(tmp_path / 'cache'))
    words = [json.dumps(each) for each in ([*LIGHT], [*SEGMENTERS], HEAVY)]
    found = json.loads(run(script, *words, cwd=tmp_path).splitlines()[-1])
    # stock mmdet imports mmcv, and with it torch, as soon as its version is asked for
    for command in SEGMENTERS:
        found[command][1] = []
    expected = {'import mal_mm': 0, **LIGHT, **SEGMENTERS}
    assert found == {command: [status, []] for command, status in expected.items()}


def registered(root: Path) -> list[tuple[str, str]]:
    """(registry, name) of each class of ours, as its source has it."""
    return [
        (decorator.func.value.id, node.name)
        for path in root.rglob('*.py')
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.func.attr == 'register_module'
    ]


def test_all_of_ours_is_found_after_import_mal_mm_alone(repo_root):
    script = """
import json, pickle, sys
import mal_mm
crop = pickle.loads(bytes.fromhex(sys.argv[2]))
assert type(crop).__name__ == 'RoICrop', crop
import mmdet.registry
assert 'mal_mm.models' not in sys.modules and 'mmdet.models' not in sys.modules
import mal_mm.registry
for registry, name in json.loads(sys.argv[1]):
    for place in (mmdet.registry, mal_mm.registry):
        found = getattr(place, registry).get(name)
        assert found is not None, (place, registry, name)
        assert found.__module__.startswith('mal_mm.'), found
print(mal_mm.models.MaskDINO.__name__)
"""
    names = registered(repo_root / 'mal_mm')
    assert len(names) >= 45
    # what a worker process of a data loader gets
    transform = pickle.dumps(RoICrop(crop_size=32)).hex()
    assert run(script, json.dumps(names), transform).splitlines()[-1] == 'MaskDINO'


@pytest.mark.parametrize('room', ['apis', 'evaluation', 'labeling', 'workflow'])
def test_names_that_are_imported_late_are_there(room):
    package = importlib.import_module(f'mal_mm.{room}')
    for name in package.__all__:
        assert getattr(package, name).__name__ in (name, 'Options')
    with pytest.raises(AttributeError):
        _ = package.NoSuchName


@pytest.mark.parametrize('kind', ['InstantLabeler', 'PromptedLabeler', 'MaskAutoLabeler'])
def test_labelers_that_need_no_training_are_known_as_their_classes_are(kind):
    asked = untrained_labeler.is_untrained({'type': kind})
    assert labeling_checks.is_untrained({'type': kind}) == asked
    assert labeling_checks.is_untrained({'type': f'mmdet.{kind}'}) == asked


@pytest.mark.parametrize(
    'environment',
    [{}, {'XDG_CACHE_HOME': '/c'}, {'TORCH_HOME': '~/t'}, {'TORCH_HOME': '', 'HOME': '/h'}],
)
def test_torch_hubs_folder_is_known_without_torch(environment, monkeypatch):
    for variable in ('XDG_CACHE_HOME', 'TORCH_HOME', 'TORCH_HUB'):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(torch.hub, '_hub_dir', None)
    import os

    assert default_hub(os.environ) == Path(torch.hub.get_dir())
