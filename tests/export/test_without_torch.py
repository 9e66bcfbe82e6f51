"""mal_mm_runtime where there is neither torch nor mmdet."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys

import cv2
import pytest

from mal_mm.apis import MaskLabeler
from mal_mm.export import drawn_boxes
from mal_mm.formats.rle import segmentation_to_rle

pytestmark = pytest.mark.slow

ALLOWED = {'numpy', 'cv2', 'PIL', 'onnxruntime'}
BLOCKED = ('torch', 'mmdet', 'mmengine', 'mmcv', 'mmpretrain', 'pycocotools', 'kornia', 'mal_mm')
RUN = f"""
import runpy, sys
for name in {BLOCKED}:
    sys.modules[name] = None
sys.argv[0] = 'mal_mm_runtime'
runpy.run_module('mal_mm_runtime', run_name='__main__')
"""


@pytest.fixture
def data(tmp_path):
    """A file with good and bad boxes, and an image that is missing."""
    image, boxes = next(drawn_boxes())
    (tmp_path / 'sub folder').mkdir()
    cv2.imwrite(str(tmp_path / 'sub folder' / 'ä.png'), image[..., ::-1])
    xywh = [[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in boxes.tolist()[:3]]
    bad = [[5, 5, 0, 3], [999, 0, 5, 5], None]
    annotations = [
        dict(id=n, image_id=7, category_id=1, bbox=box, note='kept')
        for n, box in enumerate([*xywh, *bad])
    ]
    annotations.append(dict(id=90, image_id=8, category_id=1, bbox=[0, 0, 5, 5]))
    annotations.append(dict(id=91, image_id=9, category_id=1, bbox=[0, 0, 5, 5]))
    content = dict(
        images=[
            dict(id=7, file_name='sub folder/ä.png', width=320, height=320),
            dict(id=8, file_name='../secret.png', width=320, height=320),
        ],
        annotations=annotations,
        categories=[dict(id=1, name='thing')],
    )
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    return tmp_path, image, boxes[:3]


def label(folder, labeler, repo_root):
    command = [sys.executable, '-c', RUN, str(labeler), '--threads', '1']
    command += ['--ann', 'boxes.json', '--img-root', '.', '--out', 'masks.json']
    environment = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join([str(repo_root), os.environ.get('PYTHONPATH', '')]),
    }
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_file_is_labelled_and_bad_boxes_are_kept_with_the_reason(instant, data, repo_root):
    folder, image, boxes = data
    config, _, path = instant
    done = label(folder, path, repo_root)
    assert done.returncode == 3, done.stderr
    assert '3 of 8 annotations labelled' in done.stdout
    written = json.loads((folder / 'masks.json').read_text())
    expected = MaskLabeler(config, device='cpu').label(image, boxes)
    good, skipped = written['annotations'][:3], written['annotations'][3:]
    for annotation, mask in zip(good, expected, strict=True):
        assert segmentation_to_rle(annotation['segmentation'], 320, 320)
        assert annotation['area'] == pytest.approx(mask.area, rel=0.002)
        assert annotation['mal_quality'] == pytest.approx(mask.quality, abs=2e-3)
        assert annotation['note'] == 'kept'
    reasons = [annotation['mal_skipped'] for annotation in skipped]
    for reason, word in zip(
        reasons,
        ('a width and a height', 'wholly outside its 320 x 320', 'finite', 'leaves', 'not among'),
        strict=True,
    ):
        assert word in reason
    assert not [path.name for path in folder.iterdir() if path.name.startswith('.')]


def test_a_missing_labeler_is_one_sentence(data, repo_root):
    pytest.importorskip('onnxruntime')
    done = label(data[0], 'none.onnx', repo_root)
    assert done.returncode == 1
    assert done.stderr == 'mal_mm_runtime: none.onnx: no such file; `mal-mm export` writes it\n'


def test_the_package_imports_nothing_else(repo_root):
    for path in (repo_root / 'mal_mm_runtime').glob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = {node.module.split('.')[0]}
            else:
                continue
            foreign = names - ALLOWED - set(sys.stdlib_module_names)
            assert not foreign, f'{path.name} imports {foreign}'
