"""Labelers as ONNX files."""

from __future__ import annotations

import json
from itertools import islice, pairwise

import numpy as np
import pytest
from mmengine.config import Config
from tiny_labeler import TINY_ARCHS, model_config

from mal_mm.apis import MaskLabeler
from mal_mm.export import ExportError, check_export, drawn_boxes, export_labeler
from mal_mm.runtime import OnnxLabeler
from mal_mm_cli.main import main

pytest.importorskip('onnxruntime', reason='comparing needs onnxruntime')
pytestmark = pytest.mark.slow

DECODER = {'type': 'AttentionDecoder', 'channels': 4}


@pytest.mark.parametrize('kind', ['instant', 'trained'])
def test_the_export_draws_the_masks_of_its_labeler(kind, request):
    config, checkpoint, path = request.getfixturevalue(kind)
    result = check_export(MaskLabeler(config, checkpoint, device='cpu'), path, drawn_boxes(), 7)
    assert result.num_boxes == 7
    assert result.difference < 1e-3 and result.iou > 0.999 and result.good


def test_windows_of_a_swin_are_joined_for_any_number_of_crops(tmp_path):
    encoder = {'type': 'SwinEncoder', 'arch': dict(TINY_ARCHS['SwinEncoder'])}
    network = {'type': 'MaskNetwork', 'encoder': encoder, 'decoder': DECODER}
    model = model_config(network=network, test_cfg={'crop_size': 128, 'mask_threshold': 0.5})
    labeler = MaskLabeler(Config(dict(model=model)), device='cpu')
    export_labeler(labeler, tmp_path / 'swin.onnx')
    assert check_export(labeler, tmp_path / 'swin.onnx', drawn_boxes(), 3).difference < 1e-3


@pytest.mark.parametrize('kind', ['instant', 'trained'])
def test_masks_do_not_depend_on_how_many_are_drawn_at_once(kind, request):
    path = request.getfixturevalue(kind)[2]
    image, boxes = next(drawn_boxes())
    one, many = (OnnxLabeler(path, batch_size=size).label(image, boxes) for size in (1, 8))
    for a, b in zip(one, many, strict=True):
        np.testing.assert_array_equal(a.mask, b.mask)
        assert a.quality == pytest.approx(b.quality, abs=1e-4)
    assert sum(mask.area for mask in one) > 0


def test_qualities_and_rles_are_those_of_the_labeler(trained):
    config, checkpoint, path = trained
    (image, boxes), *_ = islice(drawn_boxes(), 1)
    found = OnnxLabeler(path).label(image, boxes)
    expected = MaskLabeler(config, checkpoint, device='cpu').label(image, boxes)
    for a, b in zip(found, expected, strict=True):
        assert a.quality == pytest.approx(b.quality, abs=1e-3)
        assert abs(a.area - b.area) <= 0.001 * b.area + 1
    assert [a.rle for a in found if a.area == 0] == [b.rle for b in expected if b.area == 0]


def test_each_object_size_is_decoded_at_its_own_scale(trained):
    """Boxes of 20, 60 and 120 px; the areas alone, on one and the same crop, change the logits."""
    engine = OnnxLabeler(trained[2]).engine
    image, boxes = next(drawn_boxes())
    crop = engine.make_crops(image, boxes[:1])[0]
    logits = [
        engine.logits(crop.pixels[None], crop.crop_box[None], np.float32([side**2]))
        for side in (20, 31.9, 32, 60, 96, 120)
    ]
    same = [np.array_equal(a, b) for a, b in pairwise(logits)]
    assert same == [True, False, True, False, True]


def test_the_command_says_how_far_both_agree(instant, tmp_path, capsys):
    config, _, _ = instant
    out = tmp_path / 'labeler.onnx'
    assert main(['export', str(config), str(out), '--boxes', '3']) == 0
    said = capsys.readouterr().out
    assert 'opset 17' in said and 'compared with torch on 3 boxes' in said
    info = OnnxLabeler(out).info
    assert info['config'] == 'instant.py' and info['engine']['crop_size'] == 64


def test_a_refinement_that_stays_in_torch_is_refused(trained, tmp_path):
    config, checkpoint, _ = trained
    labeler = MaskLabeler(config, checkpoint, device='cpu', refine='mean-field')
    with pytest.raises(ExportError, match=r"'mean-field' cannot be exported.*test_cfg\.refine"):
        export_labeler(labeler, tmp_path / 'out.onnx')
    assert list(tmp_path.iterdir()) == []


def test_other_onnx_files_are_refused(instant, tmp_path):
    import onnx

    model = onnx.load(instant[2])
    onnx.helper.set_model_props(model, {'mal_mm': json.dumps({'format': 99})})
    onnx.save(model, tmp_path / 'newer.onnx')
    with pytest.raises(ValueError, match='has format 99'):
        OnnxLabeler(tmp_path / 'newer.onnx')
    onnx.helper.set_model_props(model, {})
    del model.metadata_props[:]
    onnx.save(model, tmp_path / 'other.onnx')
    with pytest.raises(ValueError, match=r'other\.onnx: is an ONNX file of another program'):
        OnnxLabeler(tmp_path / 'other.onnx')
    (tmp_path / 'cut.onnx').write_bytes(instant[2].read_bytes()[:999])
    with pytest.raises(ValueError, match=r'cut\.onnx: ONNX Runtime cannot load it'):
        OnnxLabeler(tmp_path / 'cut.onnx')
