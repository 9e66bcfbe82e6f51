"""The pixel decoder against the authors' numbers."""

from __future__ import annotations

import maskdino_mini as mini
import pytest
import torch
from mmdet.registry import MODELS

from mal_mm.models.maskdino import MaskDINOPixelDecoder
from mal_mm.models.maskdino.levels import flatten_levels, split_levels


@pytest.mark.parametrize(
    'prefix, order', [('out', 'low2high'), ('padded', 'low2high'), ('h2l', 'high2low')]
)
def test_outputs_are_the_authors(prefix, order):
    masks = mini.tensors('encoder', 'pad_mask_{}') if prefix == 'padded' else None
    with torch.no_grad():
        decoder = mini.pixel_decoder(feature_order=order)
        mask_features, maps = decoder(mini.backbone_maps(), masks)
    mini.assert_near(mask_features, mini.tensor('encoder', f'{prefix}_mask_features'))
    for ours, reference in zip(maps, mini.tensors('encoder', f'{prefix}_ms_{{}}'), strict=True):
        mini.assert_near(ours, reference)


def test_position_maps_are_the_authors():
    encoding = mini.pixel_decoder().positional_encoding
    for reference in mini.tensors('encoder', 'pe_{}'):
        mini.assert_near(encoding(torch.zeros(1, *reference.shape[1:]))[0], reference)


def test_levels_flatten_row_by_row_and_split_back():
    maps = [torch.arange(12.0).view(1, 2, 2, 3), torch.arange(2.0).view(1, 2, 1, 1) - 9]
    tokens, sizes, shapes, starts = flatten_levels(maps)
    assert tokens[0, :, 0].tolist() == [0, 1, 2, 3, 4, 5, -9]
    assert shapes.tolist() == [[2, 3], [1, 1]] and starts.tolist() == [0, 6]
    for back, level in zip(split_levels(tokens, sizes), maps, strict=True):
        assert torch.equal(back, level)


@pytest.mark.parametrize(
    'order, sides', [('low2high', [16, 8, 4, 2, 1]), ('high2low', [1, 2, 4, 8, 16])]
)
def test_all_backbone_levels_can_enter_and_each_extra_one_halves_the_size(order, sides):
    decoder = MODELS.build(
        dict(
            type='MaskDINOPixelDecoder',
            in_channels=(4, 8, 16),
            num_backbone_levels=3,
            num_extra_levels=2,
            feat_channels=32,
            mask_channels=6,
            num_layers=1,
            num_heads=2,
            feedforward_channels=8,
            feature_order=order,
        )
    )
    feats = [torch.rand(1, c, s, s + 1) for c, s in ((4, 16), (8, 8), (16, 4))]
    mask_features, maps = decoder(feats)
    assert mask_features.shape == (1, 6, 16, 17)
    assert [level.shape[2] for level in maps] == sides


def test_recomputed_layers_and_amp_change_neither_outputs_nor_gradients():
    results = []
    for with_cp, amp in ((False, False), (True, True)):
        decoder = mini.pixel_decoder(with_cp=with_cp)
        with torch.autocast('cpu', torch.bfloat16, enabled=amp):
            mask_features, maps = decoder(mini.backbone_maps())
        (mask_features.square().mean() + sum(level.square().mean() for level in maps)).backward()
        gradients = [parameter.grad for parameter in decoder.parameters()]
        results.append([mask_features, *maps, *gradients])
    for plain, recomputed in zip(*results, strict=True):
        assert recomputed.dtype == torch.float32
        torch.testing.assert_close(recomputed, plain)


def test_initial_weights_are_the_authors():
    torch.manual_seed(0)
    decoder = MaskDINOPixelDecoder(num_layers=1)
    decoder.init_weights()
    assert decoder.level_embed.std().item() == pytest.approx(1, abs=0.1)
    # Caffe2's Xavier: uniform within sqrt(3 / fan_in); here without the factor for ReLU
    bound = (3 / 256) ** 0.5
    assert decoder.mask_feature.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert not decoder.layers[0].self_attn.sampling_offsets.weight.any()
    # head 2 of 8 looks straight down, its fourth point 4 cells far
    offsets = decoder.layers[0].self_attn.sampling_offsets.bias.view(8, 4, 4, 2)
    torch.testing.assert_close(offsets[2, 0, 3], torch.tensor([0.0, 4.0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    'change, complaint',
    [
        (dict(feature_order='up'), "`feature_order` must be one of high2low, low2high, got 'up'"),
        (dict(num_backbone_levels=5), '`num_backbone_levels` must be 1 to 4'),
    ],
)
def test_wrong_arguments_are_named(change, complaint):
    with pytest.raises(ValueError, match=complaint):
        MaskDINOPixelDecoder(**change)
