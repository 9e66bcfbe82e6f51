"""The commands of README.md, run as they stand there.

They find small configs under the names that they use, and a small data set under the names of
their files.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from pages import ROOT, commands
from pycocotools import mask as coco_mask
from tiny_instant import instant_config, write_encoder
from tiny_segmenter import shrink_segmenter
from tiny_training import TINY, write_boxes

from mal_mm.compat import config_bases
from mal_mm_cli.main import main

pytestmark = pytest.mark.slow


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """train.json, val.json and images/, as the README's reader has them."""
    images = tmp_path / 'images'
    images.mkdir()
    write_boxes(images)
    shutil.move(images / 'train.json', tmp_path / 'train.json')
    data = json.loads((tmp_path / 'train.json').read_text())
    for each in data['annotations']:
        x, y, w, h = each['bbox']
        each['segmentation'] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    (tmp_path / 'val.json').write_text(json.dumps(data))

    configs = tmp_path / 'configs'
    for name in ('mal', 'phase2'):
        (configs / name).mkdir(parents=True)
    labeler = TINY.format(base=ROOT / 'configs' / 'mal' / 'vit_mae_base.py', data='unused/')
    labeler = labeler.replace('max_epochs=2', 'max_epochs=10')
    (configs / 'mal' / 'vit_mae_base.py').write_text(labeler)
    encoder = write_encoder(tmp_path / 'encoder.pth')
    instant = {'custom_imports': {'imports': ['mal_mm']}, 'model': instant_config(encoder)}
    Config(instant).dump(configs / 'mal' / 'instant_dinov2_small.py')
    shutil.copy(ROOT / 'configs' / 'mal' / 'small_set.py', configs / 'mal')
    shutil.copytree(ROOT / 'configs' / 'mal' / '_base_', configs / 'mal' / '_base_')
    name = 'solov2_r50_fpn_3x_coco_mal.py'
    segmenter = Config.fromfile(ROOT / 'configs' / 'phase2' / name)
    shrink_segmenter(segmenter, tmp_path, 'masks.json', tmp_path, 'val.json')
    segmenter.pop('work_dir')
    segmenter.dump(configs / 'phase2' / name)
    monkeypatch.setattr(config_bases, 'config_root', lambda: configs)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    return tmp_path


def test_the_commands_of_the_readme_lead_from_boxes_to_a_segmenter(workplace, capsys):
    typed = [words[1:] for words in commands(ROOT / 'README.md') if words[0] == 'mal-mm']
    assert [words[0] for words in typed] == ['label', 'train', 'generate', 'train']

    assert main(typed[0]) == 0
    annotations = json.loads(Path('train.json').read_text())['annotations']
    masks = json.loads(Path('masks.json').read_text())['annotations']
    assert [each['bbox'] for each in masks] == [each['bbox'] for each in annotations]
    assert all(coco_mask.area(each['segmentation']) > 0 for each in masks)
    assert Path('report', 'index.html').is_file()

    Path('masks.json').unlink()
    for words in typed[1:]:
        assert main(words) == 0
    assert Path('work_dirs', 'labeler', 'epoch_10.pth').is_file()
    masks = json.loads(Path('masks.json').read_text())['annotations']
    assert all('mal_quality' in each for each in masks)
    assert 'validation: coco/segm_mAP' in capsys.readouterr().out
