from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.logging import MMLogger

from mal_mm.models.encoders import find_cached_encoders

ARCH = {'embed_dims': 16, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 32}
VIT = {'type': 'ViTEncoder', 'arch': ARCH, 'img_size': 32, 'frozen': True}


def build(folder, seed=0, max_gigabytes=1.0, **arguments):
    torch.manual_seed(seed)
    config = {'type': 'CachedEncoder', 'encoder': {**VIT, **arguments}, 'folder': folder}
    return MODELS.build({**config, 'max_gigabytes': max_gigabytes}).train()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / 'features'


@pytest.fixture
def cached(folder):
    return build(folder)


def count(encoder):
    """Sizes of the batches that the wrapped encoder computes from now on."""
    sizes = []
    encoder.encoder.register_forward_hook(lambda _, args, out: sizes.append(len(args[0])))
    return sizes


@pytest.fixture
def batch_sizes(cached):
    return count(cached)


def make_crops(N, seed=0):
    return torch.randn(N, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_maps_are_those_of_the_encoder_in_half_precision(cached):
    crops = make_crops(3)
    expected = cached.encoder(crops).half().float()
    for _ in range(2):  # computed, then read
        maps = cached(crops)
        assert maps.dtype == torch.float32
        assert torch.equal(maps, expected)


def test_each_crop_is_computed_once(cached, batch_sizes):
    crops = make_crops(4)
    cached(crops[:3])
    cached(crops[:3].flip(0))
    cached(crops)
    assert batch_sizes == [3, 1]


def test_next_run_finds_the_maps_of_the_first(cached, folder):
    crops = make_crops(3)
    maps = cached(crops)
    next_run = build(folder).eval()  # labeling
    sizes = count(next_run)
    assert torch.equal(next_run(crops), maps)
    assert sizes == []


@pytest.mark.parametrize(
    'change',
    [{'seed': 1}, {'out_indices': (0, 1)}, {'out_indices': 0}, {'layer_scale_init_value': 0.5}],
    ids=str,
)
def test_another_encoder_does_not_find_them(cached, folder, change):
    crops = make_crops(2)
    cached(crops)
    other = build(folder, **change)
    sizes = count(other)
    expected = other.encoder(crops).half().float()
    assert torch.equal(other(crops), expected)
    assert sizes == [2, 2]


def test_where_the_weights_came_from_does_not_matter(cached, folder, tmp_path):
    crops = make_crops(2)
    cached(crops)
    torch.save({'state_dict': cached.encoder.state_dict()}, tmp_path / 'dino.pth')
    checkpoint = {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'dino.pth')}
    other = build(folder, seed=1, init_cfg=checkpoint)
    other.init_weights()
    sizes = count(other)
    other(crops)
    assert sizes == []


def test_weights_loaded_later_make_it_another_encoder(cached, batch_sizes):
    crops = make_crops(2)
    first = cached(crops)
    weights = {key: value + 0.5 for key, value in cached.encoder.state_dict().items()}
    cached.encoder.load_state_dict(weights)
    assert not torch.equal(cached(crops), first)
    assert batch_sizes == [2, 2]


def test_another_precision_does_not_find_them(cached, batch_sizes):
    crops = make_crops(2)
    cached(crops)
    cached.precision = 'bf16'
    cached(crops)
    cached(crops)
    assert batch_sizes == [2, 2]


def test_training_in_mixed_precision_and_labeling_without_find_the_same_maps(cached, batch_sizes):
    crops = make_crops(2)
    plain = cached(crops)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(cached(crops), plain)
    assert batch_sizes == [2]


def test_crop_that_a_batch_repeats_is_computed_once(cached, batch_sizes):
    crops = make_crops(2)
    maps = cached(crops[[0, 1, 0, 0]])
    assert batch_sizes == [2]
    assert torch.equal(maps[0], maps[2]) and torch.equal(maps[0], maps[3])
    assert not torch.equal(maps[0], maps[1])
    assert (cached.hits, cached.misses) == (0, 2)


def test_crops_in_another_memory_layout_are_the_same_crops(cached, batch_sizes):
    crops = make_crops(2)
    maps = cached(crops)
    torch.testing.assert_close(cached(crops.to(memory_format=torch.channels_last)), maps)
    assert batch_sizes == [2]


def test_crop_that_differs_in_one_value_is_another_one(cached, batch_sizes):
    crops = make_crops(1)
    cached(crops)
    crops[0, 2, 31, 31] += 1e-6
    cached(crops)
    assert batch_sizes == [1, 1]


def test_counts_tell_hits_and_misses_and_start_anew(cached, folder):
    cached(make_crops(3))
    cached(make_crops(3))
    cached(make_crops(1))
    text = cached.take_counts()
    assert text.startswith('features of 4 crops read, of 3 computed')
    assert str(folder) in text and 'at most 1 GB' in text
    assert cached.take_counts().startswith('features of 0 crops read, of 0 computed')


def test_full_folder_is_told_and_crops_are_computed_anew(folder):
    # a map of 16 x 2 x 2 half floats behind 16 bytes: 144 bytes
    cached = build(folder, max_gigabytes=300e-9)
    sizes = count(cached)
    crops = make_crops(3)
    first = cached(crops)
    assert torch.equal(cached(crops), first)
    assert sizes == [3, 1]
    assert '2 were not kept, the folder is full: raise `max_gigabytes`' in cached.take_counts()


def test_folder_that_cannot_be_written_costs_the_cache_only(tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    told = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', told.append)
    cached = build(tmp_path / 'file')
    crops = make_crops(2)
    assert torch.equal(cached(crops), cached.encoder(crops).half().float())
    cached(crops)
    assert len(told) == 1 and 'give another `folder`' in told[0]


def test_switched_off_it_is_the_encoder_alone(cached, folder):
    cached.enabled = False
    crops = make_crops(2)
    assert torch.equal(cached(crops), cached.encoder(crops))
    assert not folder.exists()


def test_without_a_folder_maps_go_to_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    cached = MODELS.build({'type': 'CachedEncoder', 'encoder': VIT})
    assert cached.store.folder == tmp_path / 'mal_mm' / 'features'


def test_checkpoint_holds_the_weights_and_not_the_maps(cached):
    before = set(cached.state_dict())
    cached(make_crops(2))
    assert set(cached.state_dict()) == before
    assert before == {f'encoder.{key}' for key in cached.encoder.state_dict()}


def test_pretrained_weights_of_the_wrapped_encoder_are_loaded(cached, folder, tmp_path):
    weights = cached.encoder.state_dict()
    weights['pos_embed'] = torch.randn_like(weights['pos_embed'])
    torch.save({'state_dict': weights}, tmp_path / 'dino.pth')
    pretrained = {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'dino.pth')}
    other = build(folder, init_cfg=pretrained)
    other.init_weights()
    for key, tensor in other.encoder.state_dict().items():
        assert torch.equal(tensor, weights[key]), key


def test_it_is_a_frozen_encoder_itself(cached):
    assert cached.frozen
    assert (cached.out_channels, cached.stride) == (16, 16)
    assert not cached(make_crops(1)).requires_grad


def test_encoder_that_moves_is_refused():
    with pytest.raises(ValueError, match='needs `frozen=True` in its encoder'):
        MODELS.build({'type': 'CachedEncoder', 'encoder': {**VIT, 'frozen': False}})


def test_cached_encoder_that_two_networks_share_is_found_once(cached):
    both = torch.nn.ModuleDict(dict(student=cached, teacher=cached))
    assert find_cached_encoders(both) == [cached]


def test_maps_of_a_kill_while_writing_are_computed_anew(cached, folder, batch_sizes):
    crops = make_crops(1)
    maps = cached(crops)
    (path,) = folder.rglob('*.map')
    path.write_bytes(path.read_bytes()[:50])
    assert torch.equal(cached(crops), maps)
    assert batch_sizes == [1, 1]
