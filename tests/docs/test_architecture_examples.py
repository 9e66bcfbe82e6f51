"""The three extensions of docs/architecture.md, run as they stand there."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from pages import ROOT, code_blocks
from sharp_labeler import blotches, sharp_model
from tiny_labeler import model_config, random_inputs

from mal_mm.labeling import LabelingEngine


@pytest.fixture(scope='module')
def example():
    """example('text') -> names that the block with the text defines."""

    def run(text: str) -> dict:
        blocks = code_blocks(ROOT / 'docs' / 'architecture.md', 'python')
        (block,) = (block for block in blocks if text in block)
        names: dict = {'__name__': 'example'}
        exec(compile(block, 'architecture.md', 'exec'), names)
        return names

    return run


def test_the_encoder_of_the_page_trains_in_a_labeler(example):
    kind = example('class ResNetEncoder')['ResNetEncoder']
    try:
        config = model_config()
        config['network']['encoder'] = {'type': 'ResNetEncoder', 'depth': 18}
        labeler = MODELS.build(config)
        inputs = random_inputs(N=2)
        assert labeler.student.encode(inputs['images']).shape == (2, 256, 2, 2)
        losses = labeler.loss(inputs, [])
        sum(losses[name] for name in losses if name.startswith('loss')).backward()
        assert all(torch.isfinite(p.grad).all() for p in labeler.student.encoder.parameters())
        frozen = kind(depth=18, frozen=True).train()
        assert not frozen.training and not any(p.requires_grad for p in frozen.parameters())
    finally:
        MODELS._module_dict.pop('ResNetEncoder')


def test_the_stage_of_the_page_changes_masks_and_the_head_of_the_run(example):
    engine_class = example('class SmoothingEngine')['SmoothingEngine']
    region = np.zeros((9, 12), dtype=bool)
    region[2:7, 1:6] = region[4, 6:] = True  # a square with a spike
    smooth = example('class SmoothingEngine')['smooth_outline'](region, 1)
    assert smooth[4, 3] and not smooth[:, 7:].any()

    options = {'crop_size': 32, 'mask_threshold': 0.5}
    model, image, boxes = sharp_model(), blotches(), [[5, 5, 60, 50]]
    (plain,), (smoothed,) = (
        engine.label(engine.make_crops(image, boxes))
        for engine in (LabelingEngine(model, **options), engine_class(model, 1, **options))
    )
    assert not (smoothed.mask & ~plain.mask).any()
    assert 0 < smoothed.area < plain.area
    assert 'smooth_radius' in engine_class.OPTIONS


def test_the_format_of_the_page_lists_masks_and_what_it_left_out(example, tmp_path):
    findings = pytest.importorskip('mal_mm.convert').Findings()
    data = {
        'images': [{'id': 1, 'file_name': 'a.jpg'}],
        'categories': [{'id': 7, 'name': 'cat'}],
        'annotations': [
            {
                'id': 1,
                'image_id': 1,
                'category_id': 7,
                'segmentation': [[0, 0, 4, 0, 4, 4]],
                'area': 8,
                'mal_quality': 0.5,
            },
            {'id': 2, 'image_id': 1, 'category_id': 7},
        ],
    }
    example('def write_area_table')['write_area_table'](data, tmp_path / 'out.csv', None, findings)
    rows = list(csv.reader(io.StringIO((tmp_path / 'out.csv').read_text())))
    assert rows == [['image', 'class', 'area', 'quality'], ['a.jpg', 'cat', '8', '0.5']]
    assert findings.lost == {'annotation without a mask': ['2']}
