"""Two exported labelers, written once."""

from __future__ import annotations

import pytest


@pytest.fixture(scope='session')
def instant(tmp_path_factory):
    """(config, checkpoint None, ONNX file) of a tiny labeler that is not trained."""
    from tiny_instant import write_encoder, write_instant_config

    folder = tmp_path_factory.mktemp('instant')
    config = write_instant_config(folder / 'instant.py', write_encoder(folder / 'encoder.pth'))
    return _export(config, None, folder / 'instant.onnx')


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
    """The same of one that could be trained: three object sizes, mirrored, teacher and student."""
    from mmengine.config import Config
    from sharp_labeler import write_sharp_labeler

    folder = tmp_path_factory.mktemp('trained')
    config, checkpoint = write_sharp_labeler(folder)
    changed = Config.fromfile(config)
    changed.model.test_cfg.update(crop_size=64, flip=True, network='both', margin=[0.3, 0.6])
    changed.dump(config)
    return _export(config, checkpoint, folder / 'trained.onnx')


def _export(config, checkpoint, out):
    pytest.importorskip('onnx', reason='exporting needs onnx')
    pytest.importorskip('onnxruntime', reason='comparing needs onnxruntime')
    from mal_mm.apis import MaskLabeler
    from mal_mm.export import export_labeler

    export_labeler(MaskLabeler(config, checkpoint, device='cpu'), out)
    return config, checkpoint, out
