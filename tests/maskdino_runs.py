"""The runs of the authors' criterion on the mini Mask DINO: targets, random draws, head."""

from __future__ import annotations

from types import SimpleNamespace

import maskdino_mini as mini
import torch
from torch import Tensor

from mal_mm.models.maskdino import DenoisingNoise, MaskDINOHead, SegmentTargets

LOSS_NAMES = dict(ce='cls', mask='mask', dice='dice', bbox='bbox', giou='iou')


def criterion(key: str) -> Tensor:
    return mini.tensor('criterion', key)


def targets() -> list[SegmentTargets]:
    """Three objects in the first image, two in the second."""
    images = []
    for image in (0, 1):
        parts = [criterion(f'tgt_img{image}_{name}') for name in ('labels', 'boxes', 'masks')]
        images.append(SegmentTargets(*parts, boxed=torch.ones(len(parts[0]), dtype=torch.bool)))
    return images


def run_targets(tag: str) -> list[SegmentTargets]:
    """Targets of a run: some or all images empty, or with 12 objects each."""
    first, second = targets()
    empty = SegmentTargets(first.labels[:0], first.boxes[:0], first.masks[:0], first.boxed[:0])
    many = SegmentTargets.cat([first] * 4)
    return {'empty1': [first, empty], 'empty2': [empty, empty], 'many': [many, many]}.get(
        tag, [first, second]
    )


def noise(tag: str) -> DenoisingNoise | None:
    """The draws of a run, None where it had none."""
    if f'{tag}_dn_rand_label' not in mini.arrays('criterion'):
        return None
    label_draws = criterion(f'{tag}_dn_rand_label')
    new_labels = torch.zeros_like(label_draws, dtype=torch.long)
    new_labels[criterion(f'{tag}_dn_chosen_idx')] = criterion(f'{tag}_dn_new_label')
    return DenoisingNoise(label_draws, new_labels, criterion(f'{tag}_dn_rand_box'))


def fixed_points() -> SimpleNamespace:
    """A point sampler that always gives the grid of the reference runs."""
    grid = criterion('point_grid')
    return SimpleNamespace(
        uniform=lambda device: grid,
        uncertain=lambda mask_logits: grid.expand(len(mask_logits), -1, -1),
    )


def head(tag: str) -> MaskDINOHead:
    """Pixel decoder, decoder and criterion of a run, with the reference weights and points."""
    one_stage = tag == 'sem'
    decoder = dict(box_init='no' if tag in ('no', 'sem') else 'bitmask', two_stage=not one_stage)
    built = MaskDINOHead(
        pixel_decoder=mini.PIXEL_DECODER,
        decoder={**mini.DECODER, **decoder},
        num_things_classes=5,
        denoising=dict(dn_num=10),
        criterion=dict(class_loss='cross_entropy' if one_stage else 'focal'),
    )
    built.pixel_decoder = mini.pixel_decoder()
    built.decoder = mini.decoder(**decoder, cls_out_channels=6 if one_stage else None)
    points = fixed_points()
    built.criterion.point_sampler.uniform = points.uniform
    built.criterion.point_sampler.uncertain = points.uncertain
    return built


def our_loss_name(official: str) -> str:
    """loss_ce_dn_0 -> d0.dn_loss_cls."""
    _, name, *rest = official.split('_')
    layer = f'd{rest.pop()}.' if rest and rest[-1].isdigit() else ''
    part = {'': '', 'dn': 'dn_', 'interm': 'enc_'}[''.join(rest)]
    return f'{layer}{part}loss_{LOSS_NAMES[name]}'
