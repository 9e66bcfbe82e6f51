"""The decoders of Table 3 beside MAL's own. Letters as in test_attention_decoder.py."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS

SMALL, MEDIUM, LARGE = 500.0, 5000.0, 50_000.0
DECODERS = {
    'AttentionDecoder': {'channels': 4},
    'FullyConnectedDecoder': {'channels': 8, 'pool_size': 2, 'mask_size': 6},
    'FullyConvDecoder': {'channels': 4},
    'QueryDecoder': {'channels': 8, 'num_heads': 2, 'num_layers': 2},
}


def make_decoder(name: str, **arguments):
    torch.manual_seed(0)
    return MODELS.build({'type': name, 'in_channels': 6, **DECODERS[name], **arguments})


def make_feature(N=5, h=4, w=4):
    return torch.randn(N, 6, h, w, generator=torch.Generator().manual_seed(1))


def twice(x):
    return F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)


@pytest.mark.parametrize('name', DECODERS)
@pytest.mark.parametrize('h_w', [(4, 4), (2, 6)])
def test_logits_have_four_times_the_maps_size(name, h_w):
    logits = make_decoder(name)(make_feature(3, *h_w), torch.tensor([SMALL, MEDIUM, LARGE]))
    assert logits.shape == (3, 4 * h_w[0], 4 * h_w[1])


@pytest.mark.parametrize('name', DECODERS)
def test_logits_may_have_the_crops_own_size(name):
    areas = torch.tensor([SMALL, MEDIUM, LARGE])
    assert make_decoder(name, mask_scale=16)(make_feature(3), areas).shape == (3, 64, 64)


@pytest.mark.parametrize('name', DECODERS)
def test_every_weight_gets_a_gradient(name):
    decoder = make_decoder(name)
    logits = decoder(make_feature(3), torch.tensor([SMALL, MEDIUM, LARGE]))
    (logits * torch.randn(logits.shape)).sum().backward()
    assert not [key for key, p in decoder.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize('name', DECODERS)
def test_a_crop_is_decoded_alike_alone_and_in_a_batch(name):
    decoder, feature = make_decoder(name).eval(), make_feature(3)
    areas = torch.tensor([SMALL, MEDIUM, LARGE])
    together = decoder(feature, areas)
    for n in range(3):
        alone = decoder(feature[n : n + 1], areas[n : n + 1])
        torch.testing.assert_close(together[n : n + 1], alone)


def test_fully_conv_logits_are_the_pixel_heads_last_convolution():
    decoder, feature = make_decoder('FullyConvDecoder'), make_feature()
    logits = decoder(feature, torch.full((5,), MEDIUM))
    pixels = decoder.pixel_head(feature)
    weight, bias = decoder.predictor.weight[0, :, 0, 0], decoder.predictor.bias
    expected = twice(torch.einsum('c,nchw->nhw', weight, pixels)[:, None] + bias)[:, 0]
    torch.testing.assert_close(logits, expected)


def test_fully_connected_mask_comes_from_the_pooled_map():
    decoder, feature = make_decoder('FullyConnectedDecoder'), make_feature()
    pooled = feature.view(5, 6, 2, 2, 2, 2).mean((3, 5)).flatten(1)
    first, second = decoder.fcs
    hidden = (pooled @ first.weight.T + first.bias).clamp(min=0)
    expected = (hidden @ second.weight.T + second.bias).view(5, 1, 6, 6)
    expected = F.interpolate(expected, (16, 16), mode='bilinear', align_corners=False)[:, 0]
    torch.testing.assert_close(decoder(feature, torch.full((5,), LARGE)), expected)


def test_fully_connected_decoder_is_the_papers_by_default():
    with torch.device('meta'):
        decoder = MODELS.build({'type': 'FullyConnectedDecoder', 'in_channels': 768})
    assert [tuple(fc.weight.shape) for fc in decoder.fcs] == [(2048, 768 * 49), (784, 2048)]


def test_query_looks_only_where_its_mask_is():
    decoder = make_decoder('QueryDecoder')
    logits = torch.full((2, 8, 8), -1.0)
    logits[0, :2, :2] = 1  # one of the 4 x 4 cells of the map
    outside = decoder._outside(logits, 4, 4)
    assert outside.shape == (2 * 2, 1, 16)
    for head in range(2):
        assert outside[head, 0].tolist() == [False] + [True] * 15
    assert not outside[2:].any()  # an empty mask would leave the softmax without a place


def test_cells_outside_the_mask_do_not_change_a_masked_attention():
    decoder = make_decoder('QueryDecoder', num_layers=1).eval()
    feature = make_feature(1)
    seen = []
    layer = decoder.transformer.layers[0]
    layer.register_forward_hook(lambda _, args, out: seen.append(out), with_kwargs=False)
    decoder._outside = lambda logits, h, w: torch.arange(16).ge(3).view(1, 1, 16).repeat(2, 1, 1)
    decoder(feature, torch.tensor([MEDIUM]))
    other = feature.clone()
    other.flatten(2)[..., 3:] += 1
    decoder(other, torch.tensor([MEDIUM]))
    torch.testing.assert_close(seen[0], seen[1])
    other.flatten(2)[..., 0] += 1
    decoder(other, torch.tensor([MEDIUM]))
    assert not torch.allclose(seen[0], seen[2])
