"""Letters: N crops, C channels in, D channels of the heads, h x w feature map."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS

from mal_mm.models.decoders import AttentionDecoder

RELEASED = {'pool': 'mean', 'num_fcs': 2, 'upsample_before': 3}
PAPER = {'pool': 'max', 'num_fcs': 1, 'upsample_before': 2}
SMALL, MEDIUM, LARGE = 500.0, 5000.0, 50_000.0


def make_decoder(**arguments) -> AttentionDecoder:
    torch.manual_seed(0)
    return MODELS.build({'type': 'AttentionDecoder', 'in_channels': 6, 'channels': 4, **arguments})


def make_feature(N=5, h=4, w=4):
    return torch.randn(N, 6, h, w, generator=torch.Generator().manual_seed(1))


def twice(x):
    return F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)


@pytest.mark.parametrize('variant', [RELEASED, PAPER], ids=['released', 'paper'])
def test_logits_are_what_the_table_says(variant):
    decoder, feature = make_decoder(**variant), make_feature()
    state = decoder.state_dict()

    def linear(n, x):
        name = f'instance_head.fcs.{n}'
        return x @ state[f'{name}.weight'].T + state[f'{name}.bias']

    def conv(n, x):
        name = f'pixel_head.convs.{n}'
        return F.conv2d(x, state[f'{name}.weight'], state[f'{name}.bias'], padding=1).relu()

    if variant is RELEASED:
        instance = linear(1, linear(0, feature.mean((2, 3))).relu())
        pixels = conv(3, twice(conv(2, conv(1, conv(0, feature)))))
    else:
        instance = linear(0, feature.flatten(2).max(2).values)
        pixels = conv(3, conv(2, twice(conv(1, conv(0, feature)))))
    logits = (instance[:, :, None, None] * pixels).sum(1)
    expected = twice(logits[:, None])[:, 0]
    torch.testing.assert_close(decoder(feature, torch.full((5,), MEDIUM)), expected)
    assert len(list(decoder.parameters())) == 2 * (variant['num_fcs'] + 4)


def test_size_bins_are_half_open():
    decoder = make_decoder()
    areas = [0.0, 1023.9, 1024.0, 9215.9, 9216.0, 1e7]
    scales = [0.5, 0.5, 1, 1, 2, 2]
    feature = make_feature(N=len(areas))
    logits = decoder(feature, torch.tensor(areas))
    for n, scale in enumerate(scales):
        plain = make_decoder(area_bounds=(), scales=(scale,))
        plain.load_state_dict(decoder.state_dict())
        expected = plain(feature[n : n + 1], torch.tensor([1.0]))
        torch.testing.assert_close(logits[n : n + 1], expected)


def test_small_objects_are_decoded_at_half_the_map_and_large_ones_at_twice():
    decoder, feature = make_decoder(), make_feature()
    seen = []
    decoder.pixel_head.register_forward_hook(lambda _, args, out: seen.append((args[0], out)))
    decoder(feature, torch.tensor([SMALL, LARGE, MEDIUM, LARGE, MEDIUM]))
    assert [tuple(x.shape) for x, _ in seen] == [(1, 6, 2, 2), (2, 6, 4, 4), (2, 6, 8, 8)]
    assert [tuple(out.shape[2:]) for _, out in seen] == [(4, 4), (8, 8), (16, 16)]
    # halving bilinearly without antialiasing is the mean of 2 x 2
    torch.testing.assert_close(seen[0][0], F.avg_pool2d(feature[:1], 2))


def test_the_papers_maps_have_a_sixteenth_an_eighth_and_a_quarter_of_the_crop():
    decoder, feature = make_decoder(scales=(1, 2, 4), mask_scale=16), make_feature(3)  # 64 px
    seen = []
    decoder.pixel_head.register_forward_hook(lambda _, args, out: seen.append((args[0], out)))
    logits = decoder(feature, torch.tensor([SMALL, MEDIUM, LARGE]))
    assert [x.shape[-1] for x, _ in seen] == [4, 8, 16]
    for n, (_, pixels) in enumerate(seen):
        instance = decoder.instance_head(feature[n : n + 1])
        small = torch.einsum('nc,nchw->nhw', instance, pixels)[:, None]
        large = F.interpolate(small, (64, 64), mode='bilinear', align_corners=False)[0, 0]
        torch.testing.assert_close(logits[n], large)


@pytest.mark.parametrize('size_hw', [(4, 4), (3, 5), (8, 6)])
def test_logits_have_four_times_the_size_of_the_map(size_hw):
    h, w = size_hw
    logits = make_decoder()(make_feature(3, h, w), torch.tensor([SMALL, MEDIUM, LARGE]))
    assert logits.shape == (3, 4 * h, 4 * w)


def test_empty_batch_gives_empty_logits():
    assert make_decoder()(make_feature(N=0), torch.zeros(0)).shape == (0, 16, 16)


@pytest.mark.parametrize('variant', [RELEASED, PAPER], ids=['released', 'paper'])
@pytest.mark.parametrize('area', [SMALL, MEDIUM, LARGE])
def test_gradient_reaches_every_parameter_and_the_features_in_every_bin(variant, area):
    decoder, feature = make_decoder(**variant), make_feature(N=2).requires_grad_()
    decoder(feature, torch.tensor([area, area])).square().sum().backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert (feature.grad.flatten(1).abs().sum(1) > 0).all()


def test_order_in_the_batch_does_not_matter():
    decoder, feature = make_decoder(), make_feature(N=6)
    areas = torch.tensor([LARGE, SMALL, MEDIUM, SMALL, LARGE, MEDIUM])
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    logits = decoder(feature, areas)
    torch.testing.assert_close(decoder(feature[order], areas[order]), logits[order])
    alone = torch.cat([decoder(feature[n : n + 1], areas[n : n + 1]) for n in range(6)])
    torch.testing.assert_close(alone, logits)


def test_mixed_precision_mixes_bins():
    decoder, feature = make_decoder(), make_feature(N=3)
    areas = torch.tensor([LARGE, SMALL, MEDIUM])
    with torch.autocast('cpu', torch.bfloat16):
        logits = decoder(feature, areas)
    torch.testing.assert_close(logits.float(), decoder(feature, areas), atol=0.05, rtol=0.05)


def test_double_precision_areas_fall_into_the_same_bins():
    decoder, feature = make_decoder(), make_feature(N=3)
    areas = [1024, 9216, 9215]
    expected = decoder(feature, torch.tensor(areas, dtype=torch.float32))
    for dtype in (torch.float64, torch.int64):
        found = decoder(feature, torch.tensor(areas, dtype=dtype))
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'pool': 'sum'}, "`pool` must be 'max' or 'mean', got 'sum'"),
        ({'num_fcs': 0}, '`num_fcs` must be at least 1, got 0'),
        ({'upsample_before': 4}, '`upsample_before` must be 0 to 3, got 4'),
        ({'scales': (1, 2)}, '`scales` must be one longer than `area_bounds`'),
        ({'area_bounds': (9216, 1024)}, '`area_bounds` must grow'),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_decoder(**arguments)
