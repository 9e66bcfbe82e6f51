"""The authors' Mask DINO checkpoints: names, order of channels, variants, safe reading."""

from __future__ import annotations

import os
import pickle

import maskdino_mini as mini
import numpy as np
import pytest
import torch
from author_models import random_tensors, relative_positions, swin_forward, swin_shapes
from mmdet.registry import MODELS

from mal_mm.checkpoints.detectron2_file import read_detectron2
from mal_mm.checkpoints.loading import CheckpointError
from mal_mm.checkpoints.maskdino import export_state_dict, import_state_dict
from mal_mm.checkpoints.maskdino_config import deduce_model


def assert_same(ours: dict, reference: dict) -> None:
    assert ours.keys() == reference.keys()
    for key, tensor in reference.items():
        assert torch.equal(ours[key], tensor) and ours[key].dtype == tensor.dtype, key


# -- names ----------------------------------------------------------------------------------------


def test_export_gives_back_the_official_tensors_tied_copies_and_all():
    official = mini.official_state()
    assert len(official) == 187 and len(mini.state()) == 148
    assert_same(export_state_dict(mini.state()), official)


def test_resnet_keys_become_torchvisions_and_back():
    with torch.device('meta'):
        resnet = MODELS.build(dict(type='ResNet', depth=50))
    ours = {f'backbone.{key}': value for key, value in resnet.state_dict().items()}
    official = export_state_dict(ours | mini.state())
    for theirs, mine in (
        ('stem.conv1.weight', 'conv1.weight'),
        ('stem.conv1.norm.running_mean', 'bn1.running_mean'),
        ('res2.0.conv3.norm.bias', 'layer1.0.bn3.bias'),
        ('res4.5.conv1.weight', 'layer3.5.conv1.weight'),
        ('res5.0.shortcut.norm.weight', 'layer4.0.downsample.1.weight'),
        ('res3.0.shortcut.weight', 'layer2.0.downsample.0.weight'),
    ):
        assert official[f'backbone.{theirs}'] is ours[f'backbone.{mine}']
    assert not any(key.endswith('num_batches_tracked') for key in official)
    back = import_state_dict(official)
    assert back.keys() == (ours | mini.state()).keys()
    assert deduce_model(back)['backbone']['depth'] == 50


def test_swin_backbone_computes_what_the_authors_does():
    depths, heads, window = [2, 1, 2, 1], [1, 2, 2, 4], 2
    plain = random_tensors(swin_shapes(16, depths, heads, window))
    official = {f'backbone.{k}': v for k, v in plain.items() if not k.startswith(('norm', 'head'))}
    for stage in range(4):
        for name in ('weight', 'bias'):
            last = plain[f'norm.{name}']
            official[f'backbone.norm{stage}.{name}'] = last[: 16 * 2**stage]
        for block in range(depths[stage]):
            attention = f'backbone.layers.{stage}.blocks.{block}.attn'
            official[f'{attention}.relative_position_index'] = relative_positions(window)
    official |= mini.official_state()

    imported = import_state_dict(official)
    config = deduce_model(imported)['backbone']
    assert config['depths'] == tuple(depths) and config['num_heads'] == tuple(heads)
    assert config['window_size'] == window and config['embed_dims'] == 16
    swin = MODELS.build(config)
    swin.eval()  # gives None
    swin.load_state_dict(mini.part({f'x.{k}': v for k, v in imported.items()}, 'backbone'))
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        mini.assert_near(swin(images)[3], swin_forward(plain, images, heads, window), 1e-4)
    assert_same(export_state_dict(imported), official)


@pytest.mark.parametrize(
    'change, complaint',
    [
        ({'sem_seg_head.predictor.new.weight': torch.zeros(1)}, 'e.g. sem_seg_head.predictor.new'),
        (
            {'sem_seg_head.predictor.bbox_embed.1.layers.0.bias': torch.zeros(32)},
            r'bbox_embed\.1\.layers\.0\.bias differs from its tied copies',
        ),
    ],
)
def test_other_architectures_are_refused(change, complaint):
    with pytest.raises(CheckpointError, match=complaint):
        import_state_dict(mini.official_state() | change, 'in.pth')


def test_directions_are_not_mixed_up():
    with pytest.raises(CheckpointError, match=r'in\.pth: not a Mask DINO checkpoint of the auth'):
        import_state_dict(mini.state(), 'in.pth')
    with pytest.raises(CheckpointError, match=r'in\.pth: not a checkpoint of our Mask DINO'):
        export_state_dict(mini.official_state(), 'in.pth')


# -- variants -------------------------------------------------------------------------------------

RESNET = dict(in_channels=[256, 512, 1024, 2048], num_backbone_levels=3)
SWIN_L = dict(in_channels=[192, 384, 768, 1536], num_backbone_levels=4)


@pytest.mark.parametrize(
    'classes, pixel_decoder, decoder',
    [
        ((80, 0), dict(RESNET, num_extra_levels=0, feature_order='high2low'), {}),
        ((80, 0), dict(RESNET, feedforward_channels=2048, feature_order='low2high'), {}),
        ((80, 0), dict(SWIN_L, num_extra_levels=1, feature_order='low2high'), {}),
        ((80, 53), dict(RESNET, feature_order='low2high'), dict(box_init='no')),
        ((0, 150), RESNET, dict(two_stage=False, box_init='no', num_queries=100)),
        ((7, 0), RESNET, dict(learn_content=True, num_queries=40)),
    ],
)
def test_variants_are_deduced_from_the_tensors(classes, pixel_decoder, decoder):
    split = dict(num_things_classes=classes[0], num_stuff_classes=classes[1])
    pixel_decoder = dict(pixel_decoder, num_layers=1)
    decoder = dict(decoder, num_layers=2)
    criterion = {} if classes[0] else dict(criterion=dict(class_loss='cross_entropy'))
    with torch.device('meta'):
        config = dict(
            type='MaskDINOHead',
            pixel_decoder=pixel_decoder,
            decoder=decoder,
            **split,
            **criterion,
        )
        head = MODELS.build(config)
    state = {f'panoptic_head.{key}': value for key, value in head.state_dict().items()}
    deduced = deduce_model(state)['panoptic_head']
    for part, expected in (('pixel_decoder', pixel_decoder), ('decoder', decoder)):
        assert {k: deduced[part][k] for k in expected} == expected
    assert {k: deduced[k] for k in split} == split
    with torch.device('meta'):
        again = MODELS.build(deduced).state_dict()
    assert {k: v.shape for k, v in again.items()} == {
        k: v.shape for k, v in head.state_dict().items()
    }


def test_missing_parts_and_too_many_stuff_classes_are_named():
    state = dict(mini.state())
    with pytest.raises(CheckpointError, match='`num_stuff_classes` must be 0 to 5, got 6'):
        deduce_model(state, num_stuff_classes=6)
    del state['panoptic_head.pixel_decoder.level_embed']
    with pytest.raises(CheckpointError, match=r'in\.pth: a part of the network is missing'):
        deduce_model(state, source='in.pth')


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize('protocol', [2, 4, 5])
def test_pickled_arrays_are_read(tmp_path, protocol):
    arrays = {'a.weight': np.arange(6, dtype='f4').reshape(2, 3), 'b': np.array(3)}
    content = {'model': arrays | {'bad': np.array([{}])}, '__author__': 'x'}
    (tmp_path / 'in.pkl').write_bytes(pickle.dumps(content, protocol))
    state = read_detectron2(tmp_path / 'in.pkl')
    assert_same(state, {key: torch.from_numpy(value) for key, value in arrays.items()})


class _Harm:
    def __reduce__(self):
        return os.mkdir, ('harm',)


def test_pickled_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'in.pkl').write_bytes(pickle.dumps({'model': {'a': _Harm()}}))
    with pytest.raises(CheckpointError, match=r'in\.pkl: cannot be read: it holds the .*mkdir'):
        read_detectron2('in.pkl')
    assert not (tmp_path / 'harm').exists()


@pytest.mark.parametrize(
    'content, complaint',
    [
        (None, 'no such checkpoint file'),
        (b'', 'cannot be read'),
        (pickle.dumps([1]), 'holds a list, no state dict'),
        (pickle.dumps({'model': {'a': 1}}), r"holds no arrays; found keys \['a'\]"),
    ],
)
def test_unusable_pickles_are_named(tmp_path, content, complaint):
    path = tmp_path / 'in.pkl'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=complaint):
        read_detectron2(path)
