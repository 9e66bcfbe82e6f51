"""tools/import_maskdino_checkpoint.py, there and back."""

from __future__ import annotations

import runpy
import sys

import maskdino_mini as mini
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from mal_mm.checkpoints.loading import load_checkpoint, read_state_dict
from mal_mm.checkpoints.maskdino import export_state_dict


@pytest.fixture
def tool(repo_root, monkeypatch):
    """tool(*arguments) -> exit status, in this process."""

    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, 'argv', ['import_maskdino_checkpoint', *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(
                str(repo_root / 'tools' / 'import_maskdino_checkpoint.py'), run_name='__main__'
            )
        return end.value.code

    return call


@pytest.fixture(scope='module')
def official(tmp_path_factory):
    """The mini model behind a tiny Swin, as the authors would store it."""
    swin = MODELS.build(
        dict(
            type='SwinTransformer',
            embed_dims=16,
            depths=(1, 1, 1, 1),
            num_heads=(1, 1, 2, 2),
            window_size=2,
        )
    )
    backbone = {f'backbone.{key}': value for key, value in swin.state_dict().items()}
    path = tmp_path_factory.mktemp('official') / 'in.pth'
    torch.save({'model': export_state_dict(backbone | mini.state()), 'iteration': 3}, path)
    return path


def test_imported_model_is_built_from_the_written_config_and_exported_back(
    tool, official, tmp_path, capsys
):
    out, config, back = (tmp_path / name for name in ('mal.pth', 'mal.py', 'back.pth'))
    assert tool(official, out, '--config-out', config, '--num-queries', 20) == 0
    assert 'SwinTransformer, 4 levels (1 extra), feature_order low2high' in capsys.readouterr().out
    model = MODELS.build(Config.fromfile(config).model).eval()
    load_checkpoint(model, out)
    mini.assert_near(
        model.panoptic_head.pixel_decoder(mini.backbone_maps())[0],
        mini.tensor('encoder', 'out_mask_features'),
    )
    with torch.no_grad():
        assert model(torch.rand(1, 3, 96, 128)).boxes[-1].shape == (1, 20, 4)

    assert tool('--export', out, back) == 0
    expected, exported = (read_state_dict(path) for path in (official, back))
    assert exported.keys() == expected.keys()
    assert all(torch.equal(exported[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    'arguments, complaint',
    [
        (['{mini}', '{out}', '--config-out', '{out}.py'], 'has no backbone, so no config fits it'),
        (['--export', '{mini}', '{out}'], 'not a checkpoint of our Mask DINO'),
        (['{mini}.pkl', '{out}'], 'no such checkpoint file'),
    ],
)
def test_mistakes_end_in_one_line_and_write_nothing(tool, tmp_path, capsys, arguments, complaint):
    names = dict(mini=mini.CHECKPOINT, out=tmp_path / 'out.pth')
    assert tool(*(argument.format(**names) for argument in arguments)) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith('import_maskdino_checkpoint: ') and complaint in error
    assert not list(tmp_path.iterdir())
