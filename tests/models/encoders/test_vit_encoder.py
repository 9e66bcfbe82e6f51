from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmpretrain.models.backbones import VisionTransformer

from mal_mm.models.encoders import ConvStem, ViTEncoder
from mal_mm.models.encoders.vit_encoder import resize_position_embedding

ARCH = {'embed_dims': 16, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 32}


def make_encoder(**arguments) -> ViTEncoder:
    torch.manual_seed(0)
    encoder = MODELS.build({'type': 'ViTEncoder', 'arch': ARCH, 'img_size': 64, **arguments})
    torch.nn.init.normal_(encoder.pos_embed)
    return encoder


def bicubic_weight(distance: float) -> float:
    """Keys' kernel with a = -0.75, as in torch."""
    x, a = abs(distance), -0.75
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def resize_bicubic(grid: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """(side, side) -> size_hw by the scale factor (wanted + 0.1) / side, sample by sample."""
    side = len(grid)
    out = np.zeros(size_hw)
    for row in range(size_hw[0]):
        for column in range(size_hw[1]):
            y = (row + 0.5) * side / (size_hw[0] + 0.1) - 0.5
            x = (column + 0.5) * side / (size_hw[1] + 0.1) - 0.5
            for v in range(math.floor(y) - 1, math.floor(y) + 3):
                for u in range(math.floor(x) - 1, math.floor(x) + 3):
                    value = grid[min(max(v, 0), side - 1), min(max(u, 0), side - 1)]
                    out[row, column] += bicubic_weight(y - v) * bicubic_weight(x - u) * value
    return out


@pytest.mark.parametrize('size_hw', [(8, 8), (5, 20), (32, 32), (13, 15), (14, 20)])
def test_position_embedding_is_resized_by_the_released_scale_factor(size_hw):
    embedding = torch.randn(1, 1 + 14 * 14, 2, generator=torch.Generator().manual_seed(0))
    found = resize_position_embedding(embedding, size_hw)
    assert found.shape == (1, 1 + size_hw[0] * size_hw[1], 2)
    assert torch.equal(found[:, 0], embedding[:, 0])  # the class token has no place
    for channel in range(2):
        grid = embedding[0, 1:, channel].reshape(14, 14).double().numpy()
        expected = torch.from_numpy(resize_bicubic(grid, size_hw)).float()
        torch.testing.assert_close(
            found[0, 1:, channel].reshape(size_hw), expected, atol=1e-4, rtol=0
        )


def test_position_embedding_of_the_stored_size_is_untouched():
    embedding = torch.randn(1, 1 + 16, 3)
    assert torch.equal(resize_position_embedding(embedding, (4, 4)), embedding)


def test_position_embedding_of_every_likely_size_comes_out_at_that_size():
    for side in (14, 16, 24, 32, 37):
        embedding = torch.zeros(1, 1 + side * side, 1)
        for wanted in range(2, 74):
            found = resize_position_embedding(embedding, (wanted, wanted + 1))
            assert found.shape[1] == 1 + wanted * (wanted + 1)


def test_position_embedding_keeps_its_half_precision():
    embedding = torch.randn(1, 1 + 16, 3).bfloat16()
    assert resize_position_embedding(embedding, (5, 6)).dtype == torch.bfloat16


@pytest.mark.parametrize('size_hw', [(64, 64), (64, 96), (32, 16)])
def test_map_has_one_cell_for_each_patch_of_16(size_hw):
    feature = make_encoder()(torch.randn(2, 3, *size_hw))
    assert feature.shape == (2, 16, size_hw[0] // 16, size_hw[1] // 16)


def test_map_has_one_cell_for_each_patch_of_14():
    encoder = make_encoder(img_size=56, patch_size=14)
    assert encoder(torch.randn(2, 3, 70, 42)).shape == (2, 16, 5, 3)


def test_conv_stem_gives_the_same_shapes():
    encoder = make_encoder(stem='conv')
    assert isinstance(encoder.patch_embed, ConvStem)
    assert encoder(torch.randn(2, 3, 64, 96)).shape == (2, 16, 4, 6)
    assert encoder.out_channels == 16


def test_conv_stem_is_four_halvings_closed_by_a_pointwise_convolution():
    stem = ConvStem(64)
    shapes = {name: tuple(p.shape) for name, p in stem.named_parameters()}
    widths = [3, 8, 16, 32, 64]
    for stage, (narrow, wide) in enumerate(pairwise(widths)):
        assert shapes.pop(f'proj.{stage}.0.weight') == (wide, narrow, 3, 3)  # and no bias
        assert (
            shapes.pop(f'proj.{stage}.1.weight') == shapes.pop(f'proj.{stage}.1.bias') == (wide,)
        )
    assert shapes == {'proj.3.3.weight': (64, 64, 1, 1), 'proj.3.3.bias': (64,)}
    tokens, grid_hw = stem(torch.randn(2, 3, 64, 32))
    assert tokens.shape == (2, 8, 64)
    assert grid_hw == (4, 2)
    norm = stem.proj[0][1]
    assert (norm.num_groups, norm.eps) == (1, 1e-6)


def test_conv_stem_needs_a_width_divisible_by_eight():
    with pytest.raises(ValueError, match='`embed_dims` must be divisible by 8, got 12'):
        ConvStem(12)


@pytest.mark.parametrize(
    'arguments',
    [
        {},
        {'with_cls_token': False},
        {'final_norm': False},
        {'pre_norm': True},
        {'layer_scale_init_value': 0.5},
    ],
    ids=str,
)
def test_at_the_stored_size_it_is_mmpretrains_transformer(arguments):
    encoder = make_encoder(**arguments).eval()
    plain = VisionTransformer(arch=ARCH, img_size=64, out_type='featmap', **arguments)
    plain.eval()
    plain.load_state_dict(encoder.state_dict())
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(encoder(images), plain(images)[0])


def test_map_of_several_blocks_is_their_normed_tokens_side_by_side():
    encoder = make_encoder(out_indices=(0, -1)).eval()
    assert encoder.out_channels == 32
    seen = []
    for layer in encoder.layers:
        layer.register_forward_hook(lambda _, args, out: seen.append(out))
    images = torch.randn(2, 3, 64, 48)
    feature = encoder(images)
    assert feature.shape == (2, 32, 4, 3)
    for channels, tokens in zip(feature.split(16, dim=1), seen, strict=True):
        expected = encoder.ln1(tokens)[:, 1:]  # without the class token
        torch.testing.assert_close(channels.flatten(2).transpose(1, 2), expected)
    plain = make_encoder().eval()
    plain.load_state_dict(encoder.state_dict())
    assert torch.equal(feature[:, 16:], plain(images))


def test_blocks_after_the_last_one_wanted_are_not_computed():
    encoder = make_encoder(out_indices=0)
    encoder.layers[1].register_forward_hook(lambda *_: pytest.fail('computed'))
    assert encoder(torch.randn(1, 3, 64, 64)).shape == (1, 16, 4, 4)


@pytest.mark.parametrize('out_indices', [2, (0, 2), (-3, 1), ()])
def test_blocks_that_are_not_there_are_refused(out_indices):
    with pytest.raises(ValueError, match=r'must name some of the 2 blocks, 0 to 1, got'):
        make_encoder(out_indices=out_indices)


def test_blocks_out_of_order_are_refused():
    with pytest.raises(ValueError, match=r'`out_indices` must rise, got \(1, 0\)'):
        make_encoder(out_indices=(1, 0))


def test_rows_and_columns_of_the_map_are_those_of_the_image():
    encoder = make_encoder()
    torch.nn.init.zeros_(encoder.pos_embed)
    images = torch.zeros(1, 3, 64, 64)
    images[..., 16:32, 48:64] = torch.randn(3, 16, 16)  # patch row 1, column 3
    feature = encoder(images)
    change = (feature - feature[..., :1, :1]).abs().sum(1)[0]
    assert change.argmax().item() == 1 * 4 + 3


def test_size_that_is_no_multiple_of_the_patch_is_refused():
    with pytest.raises(
        ValueError, match="multiples of the encoder's stride 16, got 64 x 70; change `crop"
    ):
        make_encoder()(torch.randn(1, 3, 64, 70))
    with pytest.raises(ValueError, match='stride 14, got 64 x 64'):
        make_encoder(img_size=56, patch_size=14)(torch.randn(1, 3, 64, 64))


def test_unknown_stems_are_refused():
    with pytest.raises(ValueError, match=r"`stem` must be one of .*, got 'fancy'"):
        make_encoder(stem='fancy')
    with pytest.raises(ValueError, match='stride 16, got `patch_size` 14'):
        make_encoder(stem='conv', patch_size=14, img_size=56)


def test_frozen_encoder_has_no_gradients_and_stays_in_evaluation_mode():
    encoder = make_encoder(frozen=True, drop_rate=0.5)
    images = torch.randn(1, 3, 64, 64)
    first = encoder(images)
    assert encoder.train() is encoder
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not first.requires_grad
    assert torch.equal(encoder(images), first)  # no dropout, before train() nor after


def test_encoder_that_is_not_frozen_trains():
    encoder = make_encoder(drop_rate=0.1)
    assert encoder.train() is encoder
    assert all(module.training for module in encoder.modules())
    encoder(torch.randn(1, 3, 64, 64)).square().sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())
