from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS
from tiny_labeler import model_config
from torch import nn


@pytest.fixture
def network():
    torch.manual_seed(0)
    return MODELS.build(model_config()['network'])


def test_logits_are_those_of_decoder_on_encoder(network):
    images, areas = torch.randn(2, 3, 32, 48), torch.tensor([500.0, 5000.0])
    logits = network(images, areas)
    assert logits.shape == (2, 8, 12)
    assert torch.equal(logits, network.decoder(network.encoder(images), areas))


def test_decoder_takes_its_input_width_from_the_encoder(network):
    assert network.decoder.instance_head.fcs[0].in_features == network.encoder.out_channels == 16


def test_decoder_behind_a_projection_gets_its_channels():
    torch.manual_seed(0)
    network = MODELS.build({**model_config()['network'], 'projection': 6})
    assert network.decoder.instance_head.fcs[0].in_features == 6
    images, areas = torch.randn(2, 3, 32, 48), torch.tensor([500.0, 5000.0])
    feature = network.encode(images)
    assert feature.shape[1] == 16  # shared by networks that project it in their own ways
    weight, bias = network.projection.weight[:, :, 0, 0], network.projection.bias
    projected = torch.einsum('dc,nchw->ndhw', weight, feature) + bias[:, None, None]
    expected = network.decoder(projected, areas)
    torch.testing.assert_close(network(images, areas), expected)


def test_built_encoder_is_taken_as_it_is(network):
    config = model_config()['network']
    config['encoder'] = network.encoder
    assert MODELS.build(config).encoder is network.encoder


class Encoder(nn.Module):
    """Hands a fixed map on, whatever the image."""

    out_channels = 1

    def __init__(self, feature):
        super().__init__()
        self.feature = feature

    def forward(self, image):
        return self.feature


def encode(feature, size_hw, **arguments):
    config = {**model_config()['network'], 'encoder': Encoder(feature), **arguments}
    return MODELS.build(config).encode(torch.zeros(len(feature), 3, *size_hw))


def test_map_of_stride_16_is_handed_on_untouched():
    feature = torch.randn(2, 1, 2, 3)
    assert encode(feature, (32, 48)) is feature


def test_map_of_stride_32_is_doubled():
    row = torch.tensor([0.0, 4.0])
    found = encode(row.expand(1, 1, 1, 2), (32, 64))
    # cells of 16 px lie a quarter of a 32 px cell beside its centre; the edge is repeated
    expected = torch.tensor([0.0, 1.0, 3.0, 4.0]).expand(1, 1, 2, 4)
    torch.testing.assert_close(found, expected)


def test_map_of_stride_14_gets_as_many_cells_as_one_of_stride_16():
    row = torch.arange(8.0)  # 112 px
    found = encode(row.expand(1, 1, 8, 8), (112, 112))
    # 7 cells of 16 px: cell i is centred on (i + 0.5) * 16 / 14 - 0.5 cells of 14 px
    expected = (torch.arange(7) + 0.5) * 8 / 7 - 0.5
    torch.testing.assert_close(found, expected.expand(1, 1, 7, 7))
    assert encode(torch.randn(1, 1, 37, 37), (518, 518)).shape == (1, 1, 32, 32)


def test_without_a_stride_every_map_is_handed_on_untouched():
    feature = torch.randn(1, 1, 16, 16)
    assert encode(feature, (224, 224), feature_stride=None) is feature


@pytest.mark.parametrize('cached', [False, True])
def test_the_last_layer_is_the_last_block_alone(cached, tmp_path):
    arch = {'embed_dims': 8, 'num_layers': 3, 'num_heads': 2, 'feedforward_channels': 8}
    encoder = {'type': 'ViTEncoder', 'arch': arch, 'img_size': 32, 'patch_size': 16}
    network = {**model_config()['network'], 'projection': 4}

    def build(**changes):
        torch.manual_seed(0)
        config = {**encoder, 'frozen': True, **changes}
        if cached:
            config = {'type': 'CachedEncoder', 'encoder': config, 'folder': str(tmp_path)}
        return MODELS.build({**network, 'encoder': config}).eval()

    images = torch.randn(2, 3, 32, 32)
    several = build(out_indices=(0, 2))
    feature = several.encode(images)
    assert feature.shape == (2, 16, 2, 2)
    last = build(out_indices=-1)
    last.encoder.load_state_dict(several.encoder.state_dict())
    torch.testing.assert_close(several.last_layer(feature), last.encode(images))
    assert last.last_layer(last.encode(images)).shape == (2, 8, 2, 2)
