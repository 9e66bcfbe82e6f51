from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from tiny_labeler import shrink

from mal_mm.labeler_data import apply_labeler_data, innermost_encoder
from mal_mm.launcher import load_config
from mal_mm.samples import make_shapes


@pytest.fixture
def small_set(repo_root):
    return Config.fromfile(repo_root / 'configs' / 'mal' / 'small_set.py')


def boxes_of(cfg):
    return cfg.train_dataloader.dataset.dataset


def test_variables_reach_the_places_where_they_act(small_set):
    small_set.update(
        ann_file='a/boxes.json', img_root='b', encoder_checkpoint='c.pth', start_masks='d.json'
    )
    apply_labeler_data(small_set)
    boxes = boxes_of(small_set)
    assert (boxes.data_root, boxes.ann_file, boxes.data_prefix.img) == ('', 'a/boxes.json', 'b')
    assert innermost_encoder(small_set).init_cfg.checkpoint == 'c.pth'
    kinds = [transform.type for transform in small_set.train_dataloader.dataset.pipeline]
    assert kinds == [
        'LoadImageFromFile',
        'LoadStartMask',
        'RoICrop',
        'RandomFlip',
        'PackRoIInputs',
    ]
    assert small_set.train_dataloader.dataset.pipeline[1].ann_file == 'd.json'


def test_applied_once_they_do_not_override_what_is_set_later(small_set):
    small_set.update(ann_file='boxes.json', start_masks='d.json')
    apply_labeler_data(small_set)
    boxes_of(small_set).ann_file = 'others.json'
    once = small_set.to_dict()
    apply_labeler_data(small_set)
    assert small_set.to_dict() == once
    assert small_set.ann_file is None


def test_variables_that_are_not_set_change_nothing(repo_root):
    cfg = Config.fromfile(repo_root / 'configs' / 'mal' / 'vit_mae_base.py')
    before = cfg.to_dict()
    apply_labeler_data(cfg)
    assert cfg.to_dict() == before


def test_every_labeler_takes_them(repo_root):
    cfg = Config.fromfile(repo_root / 'configs' / 'mal' / 'dinov2_base.py')
    cfg.update(ann_file='boxes.json', encoder_checkpoint='mine.pth')
    apply_labeler_data(cfg)
    assert boxes_of(cfg).ann_file == 'boxes.json'
    assert cfg.model.network.encoder.init_cfg.checkpoint == 'mine.pth'


def test_segmenters_are_left_alone(repo_root):
    cfg = Config(dict(ann_file='x.json', model=dict(type='MaskRCNN'), train_dataloader=dict()))
    before = cfg.to_dict()
    apply_labeler_data(cfg)
    assert cfg.to_dict() == before


def test_data_set_of_another_format_says_how(small_set):
    boxes_of(small_set).type = 'LVISV1Dataset'
    small_set.ann_file = 'lvis.json'
    with pytest.raises(ValueError, match='the config has a LVISV1Dataset; set its own arguments'):
        apply_labeler_data(small_set)


def test_command_line_sets_them(repo_root):
    options = ['ann_file=mine.json', 'img_root=images']
    args = argparse.Namespace(
        config=str(repo_root / 'configs' / 'mal' / 'small_set.py'),
        local_rank=0,
        launcher='none',
        cfg_options=options,
        work_dir=None,
    )
    boxes = boxes_of(load_config(args))
    assert (boxes.ann_file, boxes.data_prefix.img) == ('mine.json', 'images')


# -- the small set's training ---------------------------------------------------------------------


@pytest.fixture
def tiny(small_set, tmp_path):
    """small_set.py at reduced size, on the boxes of two drawn images."""
    make_shapes(tmp_path, num_images=2, num_unseen=0, size=64)
    cfg = shrink(small_set, tmp_path, tmp_path / 'work')
    cfg.log_level = 'ERROR'
    cfg.experiment_name = tmp_path.name
    cfg.update(ann_file=str(tmp_path / 'train.json'), img_root=str(tmp_path))
    return cfg


def count_boxes(cfg):
    ann_file = Path(cfg.ann_file or boxes_of(cfg).ann_file)
    return len(json.loads(ann_file.read_text())['annotations'])


def train(cfg):
    apply_labeler_data(cfg)
    runner = Runner.from_cfg(cfg)
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    runner.logger.addHandler(handler)
    runner.logger.setLevel('INFO')
    runner.train()
    return runner, messages


def test_second_training_computes_no_feature(tiny):
    tiny.train_cfg.max_epochs = 2
    tiny.default_hooks.checkpoint = None
    crops = 4 * count_boxes(tiny)
    config = tiny.to_dict()
    first, messages = train(tiny)
    told = [message for message in messages if 'features of' in message]
    even = crops - crops % tiny.train_dataloader.batch_size
    assert f'features of 0 crops read, of {even} computed' in told[0]
    assert len(told) == 2

    second_config = Config(config)
    second_config.experiment_name += 'again'
    second, messages = train(second_config)
    assert [m for m in messages if ', of 0 computed' in m]
    for key, value in first.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[key], value), key


@pytest.mark.parametrize(
    ('change', 'fix'),
    [
        ({'train_dataloader.dataset.views_per_box': None}, 'set `views_per_box`'),
        ({'model.data_preprocessor.grey_prob': 0.2}, 'set jitter=None, grey_prob=0'),
    ],
)
def test_cache_that_cannot_hit_is_off_and_says_so(tiny, tmp_path, change, fix):
    tiny.merge_from_dict(change)
    tiny.train_cfg.max_epochs = 1
    _, messages = train(tiny)
    (told,) = [message for message in messages if 'CachedEncoder is off' in message]
    assert fix in told
    assert not (tmp_path / 'work' / 'features').exists()


def test_without_stated_epochs_the_length_follows_the_boxes(tiny):
    tiny.train_cfg.update(max_epochs=None, iters_per_box=1, min_iters=1)
    boxes = count_boxes(tiny)
    tiny.param_scheduler = tiny.param_scheduler[1:]  # the warm-up is longer than this training
    runner, messages = train(tiny)
    length = 4 * boxes // tiny.train_dataloader.batch_size
    epochs = -(-boxes // length)
    assert runner.iter == epochs * length
    assert f'{boxes} boxes: {epochs} epochs of {length} iterations' in ' '.join(messages)
    lr = tiny.optim_wrapper.optimizer.lr
    assert 0.05 * lr < runner.optim_wrapper.get_lr()['lr'][0] < 0.06 * lr  # the last step's


def test_start_masks_are_learned_from(tiny, tmp_path):
    content = json.loads((tmp_path / 'train_gt.json').read_text())
    # a labeler's file, as far as LoadStartMask looks
    content['mal_mm'] = {'config': 'instant_dinov2_small.py'}
    (tmp_path / 'instant.json').write_text(json.dumps(content))
    tiny.start_masks = str(tmp_path / 'instant.json')
    tiny.train_cfg.max_epochs = 1
    runner, _ = train(tiny)
    losses = runner.message_hub.log_scalars['train/loss_start'].data[0]
    assert losses.min() > 0
