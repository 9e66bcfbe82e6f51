import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from sharp_labeler import write_sharp_labeler
from tiny_labeler import model_config

from mal_mm.apis.encoder_labeler import load_encoder_labeler
from mal_mm.checkpoints.loading import CheckpointError


@pytest.fixture
def paths(tmp_path):
    return write_sharp_labeler(tmp_path)


def encoder_state(path):
    state = torch.load(path, weights_only=True)['state_dict']
    prefix = 'teacher.encoder.'
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def test_a_checkpoint_gives_the_teachers_encoder(paths):
    labeler = load_encoder_labeler(*paths)
    found = labeler.model.teacher.encoder.state_dict()
    for key, value in encoder_state(paths[1]).items():
        assert torch.equal(found[key], value)
    assert not labeler.model.training


@pytest.mark.parametrize('cached', [False, True])
def test_without_one_the_encoder_has_the_weights_of_its_init_cfg(tmp_path, paths, cached):
    expected = encoder_state(paths[1])
    torch.save(expected, tmp_path / 'encoder.pth')
    config = model_config()
    encoder = config['network']['encoder']
    encoder['init_cfg'] = {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'encoder.pth')}
    if cached:
        encoder = {'type': 'CachedEncoder', 'encoder': {**encoder, 'frozen': True}}
        config['network']['encoder'] = encoder
    level = MMLogger.get_current_instance().level
    labeler = load_encoder_labeler(write_config(tmp_path, config))
    found = labeler.model.teacher.encoder
    found = (found.encoder if cached else found).state_dict()
    for key, value in expected.items():
        assert torch.equal(found[key], value)
    assert MMLogger.get_current_instance().level == level


def test_weights_that_cannot_be_found_are_refused(tmp_path):
    config = model_config()
    missing = {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'gone.pth')}
    config['network']['encoder']['init_cfg'] = missing
    with pytest.raises(CheckpointError, match=r'gone\.pth'):
        load_encoder_labeler(write_config(tmp_path, config))


def test_random_weights_are_told(paths, monkeypatch):
    told = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', told.append)
    load_encoder_labeler(*paths)
    assert not told
    load_encoder_labeler(paths[0])
    assert len(told) == 1
    assert told[0].startswith('the weights are random')


def write_config(folder, model):
    Config({'default_scope': 'mmdet', 'model': model}).dump(folder / 'config.py')
    return folder / 'config.py'
