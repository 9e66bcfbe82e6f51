import math

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from sharp_labeler import blotches
from tiny_labeler import model_config, random_inputs
from torch import nn

from mal_mm.labeling import LabelingEngine
from mal_mm.reproduce.attention import (
    attention_maps,
    draw_attention,
    draw_crop_attention,
    find_vit,
    point_to_patch,
)

ARCH = {'embed_dims': 16, 'num_layers': 3, 'num_heads': 2, 'feedforward_channels': 32}


def vit_config(**changes):
    config = {'type': 'ViTEncoder', 'arch': ARCH, 'img_size': 32, 'patch_size': 8}
    return config | changes


@pytest.fixture(scope='module')
def vit():
    torch.manual_seed(0)
    encoder = MODELS.build(vit_config())
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    encoder.eval()
    return encoder


@pytest.fixture(scope='module')
def images():
    return random_inputs(2)['images']


def slow_attention(vit, images, block, token):
    """Attention of one token in one block, head by head and key by key."""
    inputs = []
    handle = vit.layers[block - 1].ln1.register_forward_hook(lambda m, i, o: inputs.append(o))
    with torch.no_grad():
        vit(images)
        handle.remove()
        (tokens,) = inputs
        weight, bias = vit.layers[block - 1].attn.qkv.weight, vit.layers[block - 1].attn.qkv.bias
        N, T, C = tokens.shape
        size = C // ARCH['num_heads']
        result = np.zeros((N, ARCH['num_heads'], T))
        for n in range(N):
            for head in range(ARCH['num_heads']):
                rows = slice(head * size, (head + 1) * size)
                q = weight[:C][rows] @ tokens[n, token] + bias[:C][rows]
                powers = [
                    math.exp(
                        q @ (weight[C : 2 * C][rows] @ key + bias[C : 2 * C][rows]) / size**0.5
                    )
                    for key in tokens[n]
                ]
                result[n, head] = np.array(powers) / sum(powers)
    return result


@pytest.mark.parametrize(('query', 'token'), [(None, 0), ((0, 0), 1), ((2, 1), 1 + 2 * 4 + 1)])
def test_maps_are_the_softmax_of_the_blocks_queries_and_keys(vit, images, query, token):
    maps = attention_maps(vit, images, [3, 1], query)
    assert [tuple(m.shape) for m in maps] == [(2, 2, 4, 4)] * 2
    for block, found in zip((3, 1), maps, strict=True):
        expected = slow_attention(vit, images, block, token)
        np.testing.assert_allclose(found.flatten(2), expected[..., 1:], atol=1e-6)
        # with what goes to the class token it is all
        sums = found.flatten(2).sum(-1).numpy() + expected[..., 0]
        np.testing.assert_allclose(sums, 1, atol=1e-6)
        assert found.flatten(2).std(-1).min() > 1e-3


def test_maps_sum_to_one_where_there_is_no_class_token(images):
    torch.manual_seed(0)
    encoder = MODELS.build(vit_config(with_cls_token=False))
    encoder.eval()
    for found in attention_maps(encoder, images, [1, 2, 3], (1, 3)):
        torch.testing.assert_close(found.sum((-2, -1)), torch.ones(2, 2))
    with pytest.raises(ValueError, match='no class token; look from a patch'):
        attention_maps(encoder, images, [1])


def test_the_encoder_is_left_as_it_was(vit, images):
    with torch.no_grad():
        before = vit(images)
    attention_maps(vit, images, [1, 2, 3])
    assert not any(layer.attn._forward_pre_hooks for layer in vit.layers)
    with torch.no_grad():
        assert torch.equal(vit(images), before)
    attention_maps(vit, images, [2, 2])  # a block may be asked for twice


@pytest.mark.parametrize('block', [0, 4, -1])
def test_a_block_that_is_not_there_is_refused_with_their_number(vit, images, block):
    with pytest.raises(ValueError, match=f'has blocks 1 to 3, got {block}'):
        attention_maps(vit, images, [1, block])


def test_a_patch_that_is_not_there_is_refused(vit, images):
    with pytest.raises(ValueError, match=r'\(4, 4\) patches, there is none at \(0, 4\)'):
        attention_maps(vit, images, [1], (0, 4))


def test_the_vit_is_found_in_its_wrapper_and_others_are_refused():
    cached = MODELS.build({'type': 'CachedEncoder', 'encoder': vit_config(frozen=True)})
    assert find_vit(cached) is cached.encoder
    with pytest.raises(ValueError, match=r'need a plain ViT .* of this config is a Conv2d'):
        find_vit(nn.Conv2d(3, 4, 16, 16))


@pytest.mark.parametrize(
    ('point', 'patch'),
    [((-10, 20), (0, 0)), ((29.9, 59.9), (3, 3)), ((0, 30), (1, 1)), ((9.9, 40), (2, 1))],
)
def test_a_point_of_the_image_falls_on_the_patch_that_shows_it(point, patch):
    # 40 x 40 px in 4 x 4 patches of 10 px each
    assert point_to_patch(point, np.array([-10, 20, 30, 60]), (4, 4)) == patch


@pytest.mark.parametrize('point', [(30, 40), (-10.1, 40), (0, 60), (0, 19)])
def test_a_point_outside_the_crop_is_refused(point):
    with pytest.raises(ValueError, match=r'outside the crop, which shows x -10 to 30 and y 20'):
        point_to_patch(point, np.array([-10, 20, 30, 60]), (4, 4))


# -- drawing --------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def engine():
    torch.manual_seed(1)
    config = model_config()
    config['network']['encoder'] = vit_config()
    model = MODELS.build(config)
    model.eval()
    return LabelingEngine(model, crop_size=32)


def drawn_maps(figure):
    """Values of each tile that holds a picture, row by row."""
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_the_figure_holds_the_crop_and_the_mean_of_each_blocks_heads(engine):
    image, box = blotches(), [20, 30, 80, 80]
    figure = draw_crop_attention(engine, image, box, [1, 3])
    (crop,) = engine.make_crops(image, [box])
    pixels = torch.from_numpy(crop.pixels).permute(2, 0, 1)[None]
    images = engine.labeler.data_preprocessor.normalise(pixels)
    first, third = attention_maps(engine.labeler.teacher.encoder, images, [1, 3])
    shown = drawn_maps(figure)
    assert len(figure.axes) == len(shown) == 3
    np.testing.assert_array_equal(shown[0], crop.pixels)
    np.testing.assert_allclose(shown[1], first[0].mean(0), rtol=1e-6)
    np.testing.assert_allclose(shown[2], third[0].mean(0), rtol=1e-6)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[1].startswith('block 1, mean of heads (to 0.')


def test_heads_come_below_their_mean(engine):
    (crop,) = engine.make_crops(blotches(), [[20, 30, 80, 80]])
    heads = np.arange(8.0).reshape(2, 2, 2)
    shown = drawn_maps(draw_attention(crop, [heads], [5], heads=True))
    np.testing.assert_array_equal(shown[1], [[2, 3], [4, 5]])
    np.testing.assert_array_equal(shown[2], heads[0])
    np.testing.assert_array_equal(shown[3], heads[1])


def test_the_query_is_marked_in_every_picture(engine):
    figure = draw_crop_attention(engine, blotches(), [20, 30, 80, 80], [2], 'center')
    # 32 px, 4 x 4 patches; the centre of the box, (50, 55), lies in a window of 11..90 x 22..89
    places = [axes.lines[0].get_xydata()[0].tolist() for axes in figure.axes]
    assert places == [[11.5, 11.5], [1, 1]]


def test_a_box_beside_the_image_is_refused(engine):
    with pytest.raises(ValueError, match=r'box 500 0 600 50 cannot be used: .* outside its 120'):
        draw_crop_attention(engine, blotches(), [500, 0, 600, 50], [1])
    with pytest.raises(ValueError, match=r'cannot be used: .* negative width'):
        draw_crop_attention(engine, blotches(), [50, 0, 40, 50], [1])
