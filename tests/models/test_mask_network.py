from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS
from tiny_labeler import model_config


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


def test_built_encoder_is_taken_as_it_is(network):
    config = model_config()['network']
    config['encoder'] = network.encoder
    assert MODELS.build(config).encoder is network.encoder
