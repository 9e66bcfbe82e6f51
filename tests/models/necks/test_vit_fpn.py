"""A pyramid of a ViT's blocks in place of the resized map."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from tiny_labeler import model_config, random_inputs

from mal_mm.models import ViTFPN

ARCH = {'embed_dims': 16, 'num_layers': 3, 'num_heads': 2, 'feedforward_channels': 32}


def network_config(out_indices=(0, 1, 2), **changes):
    network = model_config()['network']
    encoder = {**network['encoder'], 'arch': ARCH, 'out_indices': out_indices}
    return {**network, 'encoder': encoder, 'neck': {'type': 'ViTFPN', 'channels': 6}, **changes}


def test_levels_are_lateral_sums_from_coarse_to_fine():
    torch.manual_seed(0)
    neck, feature = ViTFPN(in_channels=4, channels=5), torch.randn(2, 16, 4, 4)
    early, middle, late = feature[:, 4:8], feature[:, 8:12], feature[:, 12:]  # of four blocks
    state = neck.state_dict()

    def conv(name, x, padding):
        weight, bias = state[f'fpn.{name}.conv.weight'], state[f'fpn.{name}.conv.bias']
        return F.conv2d(x, weight, bias, padding=padding)

    fine = F.conv_transpose2d(early, state['finer.weight'], state['finer.bias'], stride=2)
    coarse = late.unflatten(2, (2, 2)).unflatten(4, (2, 2)).amax((3, 5))
    sums = [conv('lateral_convs.2', coarse, 0)]
    for index, level in ((1, middle), (0, fine)):
        above = sums[-1].repeat_interleave(2, 2).repeat_interleave(2, 3)
        sums.append(conv(f'lateral_convs.{index}', level, 0) + above)
    found = neck(feature)
    assert list(found) == [2, 1, 0.5]
    for index, scale in enumerate(found):
        expected = conv(f'fpn_convs.{index}', sums[2 - index], 1)
        torch.testing.assert_close(found[scale], expected, msg=f'scale {scale}')


def test_each_size_of_object_reads_its_level_and_the_instance_head_the_middle_one():
    torch.manual_seed(0)
    network, inputs = MODELS.build(network_config()), random_inputs()
    read, pooled = [], []
    decoder = network.decoder
    decoder.pixel_head.register_forward_hook(lambda _, args, out: read.append(args[0]))
    decoder.instance_head.fcs[0].register_forward_hook(lambda _, args, out: pooled.append(args[0]))
    logits = network(inputs['images'], inputs['box_areas'])  # small, medium, large
    levels = network.projection(network.encode(inputs['images']))
    for n, scale in enumerate((0.5, 1, 2)):
        torch.testing.assert_close(read[n], levels[scale][n : n + 1])
    torch.testing.assert_close(pooled[0], levels[1].mean((2, 3)))
    assert logits.shape == (3, 8, 8)
    logits.square().sum().backward()
    assert all(p.grad.any() for p in network.projection.parameters())


def test_networks_that_cannot_use_a_pyramid_are_refused():
    with pytest.raises(ValueError, match='`projection` and `neck` exclude each other'):
        MODELS.build(network_config(projection=4))
    query = {'type': 'QueryDecoder', 'channels': 8, 'num_heads': 2, 'num_layers': 1}
    with pytest.raises(ValueError, match='the decoder must have `scales` among them, QueryDec'):
        MODELS.build(network_config(decoder=query))
    with pytest.raises(ValueError, match=r'\(2, 1, 0.5\).* AttentionDecoder has \(1, 2, 4\)'):
        decoder = {'type': 'AttentionDecoder', 'channels': 4, 'scales': (1, 2, 4)}
        MODELS.build(network_config(decoder=decoder))
    images, areas = random_inputs()['images'], random_inputs()['box_areas']
    with pytest.raises(ValueError, match='reads three blocks of the encoder, got 2; set'):
        MODELS.build(network_config(out_indices=(1, 2)))(images, areas)
