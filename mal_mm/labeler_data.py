"""Short variables of a labeler's config: which boxes, images, encoder weights and start masks."""

from __future__ import annotations

from mmengine.config import Config, ConfigDict

VARIABLES = ('ann_file', 'img_root', 'encoder_checkpoint', 'start_masks')


def apply_labeler_data(cfg: Config) -> None:
    """Carry the variables of a labeler's config to the places where they act, in place.

    `ann_file` (relative to the working directory) and `img_root` name the boxes to learn from and
    the folder of their images, `encoder_checkpoint` the weights of the encoder, and `start_masks`
    a file of masks for LoadStartMask. A variable that is None or missing changes nothing; nor does
    anything change in a config that trains no labeler. Those that were applied become None, so
    that the config says everything once.

    Raises:
        ValueError: the config has no place for a variable.
    """
    given = {name: cfg.get(name) for name in VARIABLES if cfg.get(name) is not None}
    if not given or not _trains_a_labeler(cfg):
        return
    boxes = cfg.train_dataloader.dataset.dataset
    if ('ann_file' in given or 'img_root' in given) and boxes.get('type') != 'CocoBoxDataset':
        raise ValueError(
            f'`ann_file` and `img_root` are for a CocoBoxDataset, the config has a '
            f'{boxes.get("type")}; set its own arguments with --cfg-options'
        )
    if 'ann_file' in given:
        boxes.update(ann_file=given['ann_file'], data_root='')
    if 'img_root' in given:
        boxes.update(data_prefix=dict(img=given['img_root']), data_root='')
    if 'encoder_checkpoint' in given:
        init_cfg = innermost_encoder(cfg).get('init_cfg')
        if not init_cfg:
            raise ValueError('`encoder_checkpoint` needs an encoder with `init_cfg`')
        init_cfg.checkpoint = given['encoder_checkpoint']
    if 'start_masks' in given:
        _use_start_masks(cfg, given['start_masks'])
    cfg.update(dict.fromkeys(given))


def innermost_encoder(cfg: Config) -> ConfigDict:
    """Config of the labeler's encoder itself, inside CachedEncoder or not."""
    encoder = cfg.model.network.encoder
    while 'encoder' in encoder:
        encoder = encoder.encoder
    return encoder


def _trains_a_labeler(cfg: Config) -> bool:
    dataset = cfg.get('train_dataloader', {}).get('dataset', {})
    return cfg.get('model', {}).get('type') == 'MaskAutoLabeler' and 'dataset' in dataset


def _use_start_masks(cfg: Config, path: str) -> None:
    pipeline = cfg.train_dataloader.dataset.pipeline
    load = dict(type='LoadStartMask', ann_file=path)
    kinds = [transform['type'] for transform in pipeline]
    if 'LoadStartMask' in kinds:
        pipeline[kinds.index('LoadStartMask')] = ConfigDict(load)
    else:
        pipeline.insert(kinds.index('RoICrop'), ConfigDict(load))
