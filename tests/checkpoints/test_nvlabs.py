"""Released checkpoints through tools/import_nvlabs_checkpoint.py, against the authors' numbers."""

from __future__ import annotations

import os
import runpy
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import warm_processes
from mmdet.registry import MODELS
from mmengine.config import Config

from mal_mm.apis import MaskLabeler
from mal_mm.checkpoints.loading import CheckpointError, load_checkpoint, read_state_dict
from mal_mm.checkpoints.nvlabs import convert_state_dict, deduce_model


@pytest.fixture(scope='module')
def imported(repo_root, reference_dir, tmp_path_factory):
    """Config and checkpoint as the tool writes them, called from another folder."""
    folder = tmp_path_factory.mktemp('imported')
    command = [sys.executable, repo_root / 'tools' / 'import_nvlabs_checkpoint.py']
    command += [reference_dir / 'nvlabs_mini.ckpt', 'mal.pth', '--config-out', 'mal.py']
    done = warm_processes.run(command, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ['wrote mal.pth: 108 tensors', 'wrote mal.py']
    return folder / 'mal.py', folder / 'mal.pth'


@pytest.fixture
def import_tool(repo_root, monkeypatch):
    """import_tool(*arguments) -> exit status, in this process."""

    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, 'argv', ['import_nvlabs_checkpoint', *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(
                str(repo_root / 'tools' / 'import_nvlabs_checkpoint.py'), run_name='__main__'
            )
        return end.value.code

    return call


# -- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['student', 'teacher'])
def test_logits_are_the_released_ones(imported, load_reference, name):
    arrays = load_reference('network')
    labeler = MODELS.build(Config.fromfile(imported[0]).model)
    load_checkpoint(labeler, imported[1])
    boxes = torch.from_numpy(arrays['boxes_xyxy'])
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    with torch.no_grad():
        logits = getattr(labeler.eval(), name)(torch.from_numpy(arrays['images']), areas)
    expected = torch.from_numpy(arrays[f'{name}_logits'])[:, 0]
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_feature_map_is_the_released_one(imported, load_reference):
    arrays = load_reference('network')
    labeler = MODELS.build(Config.fromfile(imported[0]).model)
    load_checkpoint(labeler, imported[1])
    with torch.no_grad():
        feature = labeler.eval().student.encoder(torch.from_numpy(arrays['images']))
    expected = torch.from_numpy(arrays['student_feature'])
    torch.testing.assert_close(feature, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize('threshold', [0.1, 0.5])
@pytest.mark.parametrize(
    ('name', 'network', 'flip'),
    [('student', 'student', False), ('teacher', 'teacher', False), ('mixed_flip', 'both', True)],
)
def test_masks_are_the_released_ones(imported, load_reference, name, network, flip, threshold):
    arrays = load_reference('pseudo_labels')
    shape = tuple(arrays['mask_shape'])
    packed = arrays[f'{name}_thr{threshold}']
    expected = np.unpackbits(packed)[: np.prod(shape)].reshape(shape).astype(bool)

    labeler = MaskLabeler(
        *imported,
        device='cpu',
        network=network,
        flip=flip,
        crop_size=128,
        mask_threshold=threshold,
    )
    boxes = arrays['boxes_xywh'].astype(np.float64)
    boxes[:, 2:] += boxes[:, :2]
    found = np.stack([each.mask for each in labeler.label(arrays['image'], boxes)])

    common, union = (found & expected).sum((1, 2)), (found | expected).sum((1, 2))
    marked = union > 0  # random weights leave many a box empty, and two empty masks prove little
    assert marked.sum() >= 3
    ious = common[marked] / union[marked]
    assert ious.mean() >= 0.999
    assert ious[expected.sum((1, 2))[marked] >= 50].min() >= 0.99


# -- what is written ------------------------------------------------------------------------------


def test_config_tells_the_architecture_and_how_the_authors_label(imported):
    model = Config.fromfile(imported[0]).model
    assert model.network.encoder.to_dict() == {
        'type': 'ViTEncoder',
        'arch': {
            'embed_dims': 64,
            'num_layers': 2,
            'num_heads': 2,
            'feedforward_channels': 256,
        },
        'img_size': 224,
        'patch_size': 16,
        'stem': 'conv',
    }
    assert model.network.decoder.channels == 32
    assert model.test_cfg.to_dict() == {
        'network': 'student',
        'flip': False,
        'crop_size': 512,
        'mask_threshold': 0.1,
        'margin': 0.3,
        'padding': 'wrap',
        'exact_crops': True,
    }


def test_every_tensor_of_the_file_arrives(imported, reference_dir):
    theirs = read_state_dict(reference_dir / 'nvlabs_mini.ckpt')
    ours = read_state_dict(imported[1])
    assert len(ours) == len(theirs) == 108
    pairs = {
        'student.backbone.blocks.1.mlp.fc2.weight': 'student.encoder.layers.1.ffn.layers.1.weight',
        'teacher.backbone.blocks.0.norm1.bias': 'teacher.encoder.layers.0.ln1.bias',
        'teacher.backbone.norm.weight': 'teacher.encoder.ln1.weight',
        'student.backbone.patch_embed.proj.3.3.bias': 'student.encoder.patch_embed.proj.3.3.bias',
        'student.roi_head.mlp2.weight': 'student.decoder.instance_head.fcs.1.weight',
        'teacher.mask_head.convs.3.conv.bias': 'teacher.decoder.pixel_head.convs.3.bias',
    }
    for their_name, our_name in pairs.items():
        assert torch.equal(ours[our_name], theirs[their_name])


def test_patch_projection_in_place_of_the_stem_is_recognised(reference_dir):
    theirs = read_state_dict(reference_dir / 'nvlabs_mini.ckpt')
    plain = {key: value for key, value in theirs.items() if '.patch_embed.' not in key}
    for network in ('student', 'teacher'):
        name = f'{network}.backbone.patch_embed.proj'
        plain[f'{name}.weight'], plain[f'{name}.bias'] = torch.ones(64, 3, 16, 16), torch.ones(64)
    state = convert_state_dict(plain)
    model = deduce_model(state)
    assert model['network']['encoder']['stem'] == 'patch'
    MODELS.build(model).load_state_dict(state)  # strict


def test_a_file_with_a_patch_projection_is_imported_by_the_tool(
    reference_dir, tmp_path, import_tool
):
    theirs = read_state_dict(reference_dir / 'nvlabs_mini.ckpt')
    plain = {key: value for key, value in theirs.items() if '.patch_embed.' not in key}
    for network in ('student', 'teacher'):
        name = f'{network}.backbone.patch_embed.proj'
        plain[f'{name}.weight'] = torch.randn(64, 3, 16, 16)
        plain[f'{name}.bias'] = torch.randn(64)
    torch.save({'state_dict': plain, 'epoch': 9}, tmp_path / 'in.pth')
    out, config = tmp_path / 'out.pth', tmp_path / 'labeler.py'
    assert import_tool(tmp_path / 'in.pth', out, '--config-out', config) == 0
    labeler = MaskLabeler(config, out, crop_size=64)
    projection = labeler.model.teacher.encoder.patch_embed.projection
    assert torch.equal(projection.weight, plain['teacher.backbone.patch_embed.proj.weight'])
    (mask,) = labeler.label(np.zeros((40, 40, 3), np.uint8), [[5, 5, 30, 30]])
    assert mask.mask.shape == (40, 40)


def test_one_head_for_64_channels_unless_told(reference_dir):
    state = convert_state_dict(read_state_dict(reference_dir / 'nvlabs_mini.ckpt'))
    wide = {**state, 'student.encoder.cls_token': torch.zeros(1, 1, 768)}
    assert deduce_model(wide)['network']['encoder']['arch']['num_heads'] == 12
    assert deduce_model(state, num_heads=4)['network']['encoder']['arch']['num_heads'] == 4
    with pytest.raises(ValueError, match=r'`num_heads` must divide the width 64 .*, got 7'):
        deduce_model(state, num_heads=7)


# -- wrong files ----------------------------------------------------------------------------------


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def write_mmdet_checkpoint(path: Path) -> None:
    state = {'backbone.conv1.weight': torch.zeros(64, 3, 7, 7), 'bbox_head.bias': torch.zeros(1)}
    torch.save({'meta': {'epoch': 12}, 'state_dict': state}, path)


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('holiday.jpg', b'')


def write_hostile(path: Path) -> None:
    torch.save({'state_dict': {}, 'x': Hostile(path.parent / 'made')}, path)


def write_text(path: Path) -> None:
    path.write_text('<html>404</html>')


@pytest.mark.parametrize(
    ('write', 'message'),
    [
        (
            write_mmdet_checkpoint,
            'not a released Mask Auto-Labeler ViT checkpoint: 2 of 2 tensors have unknown names, '
            'e.g. backbone.conv1.weight, bbox_head.bias',
        ),
        (write_zip, 'is a zip archive of other things (holiday.jpg), no checkpoint'),
        (write_hostile, 'holds the Python object posix.mkdir; loading that could run any code'),
        (write_text, "is a text file ('<html>404</html>' ...), no checkpoint"),
        (lambda path: None, 'no such checkpoint file'),
    ],
    ids=['mmdet checkpoint', 'zip', 'hostile pickle', 'text', 'missing'],
)
def test_wrong_file_is_told_what_it_is(tmp_path, import_tool, capsys, write, message):
    write(tmp_path / 'in.ckpt')
    out, config_out = tmp_path / 'out.pth', tmp_path / 'out.py'
    assert import_tool(tmp_path / 'in.ckpt', out, '--config-out', config_out) == 1
    error = capsys.readouterr().err
    assert error.startswith(f'import_nvlabs_checkpoint: {tmp_path / "in.ckpt"}: ')
    assert message in error
    assert 'Traceback' not in error
    assert not out.exists() and not config_out.exists() and not (tmp_path / 'made').exists()


@pytest.mark.parametrize(
    ('lost', 'message'),
    [
        ('student.backbone.cls_token', "missing ('student.encoder.cls_token')"),
        ('student.backbone.blocks', 'a part of the network is missing'),
        ('teacher', '54 missing (teacher.encoder.cls_token'),
        ('student.roi_head.mlp2', '2 missing (student.decoder.instance_head.fcs.1.weight'),
    ],
)
def test_incomplete_file_writes_nothing(
    tmp_path, reference_dir, import_tool, capsys, lost, message
):
    state = read_state_dict(reference_dir / 'nvlabs_mini.ckpt')
    rest = {key: value for key, value in state.items() if not key.startswith(lost)}
    torch.save({'state_dict': rest}, tmp_path / 'in.ckpt')
    assert import_tool(tmp_path / 'in.ckpt', tmp_path / 'out.pth') == 1
    error = capsys.readouterr().err
    assert message in error and str(tmp_path / 'in.ckpt') in error
    assert not (tmp_path / 'out.pth').exists()


def test_folder_that_does_not_exist_is_an_error_of_one_line(
    tmp_path, reference_dir, import_tool, capsys
):
    source = reference_dir / 'nvlabs_mini.ckpt'
    assert import_tool(source, tmp_path / 'no' / 'out.pth') == 1
    assert import_tool(source, tmp_path / 'a.pth', '--config-out', tmp_path / 'no' / 'a.py') == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all('does not exist; create it first' in line for line in lines)


def test_number_of_heads_that_does_not_divide_the_width_is_an_error_of_one_line(
    tmp_path, reference_dir, import_tool, capsys
):
    source = reference_dir / 'nvlabs_mini.ckpt'
    assert import_tool(source, tmp_path / 'out.pth', '--num-heads', 7) == 1
    assert '`num_heads` must divide the width 64' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('key', 'what'),
    [
        ('student.encoder.cls_token', 'a checkpoint of mal_mm already'),
        ('student.backbone.layers.0.blocks.0.attn.qkv.weight', 'a Swin or ConvNeXt encoder'),
        ('image_encoder.blocks.0.attn.qkv.weight', 'a Segment Anything model'),
        ('roi_head.bbox_head.0.fc_cls.weight', 'a detector or segmenter'),
        ('blocks.0.attn.qkv.weight', 'an image encoder; name it in `init_cfg`'),
    ],
)
def test_other_models_are_recognised(key, what):
    with pytest.raises(CheckpointError, match=f'it looks like .*{what}'):
        convert_state_dict({key: torch.zeros(1)}, 'here')


def test_empty_state_dict_is_refused():
    with pytest.raises(CheckpointError, match='here: not a released Mask Auto-Labeler'):
        convert_state_dict({}, 'here')
