"""The paper's ablations as changes of a config: what each row changes, and what the paper says.

The figures come from `paper_figures`: mask AP on COCO val2017 and retention rate of a Cascade
R-CNN (ConvNeXt-S) trained on the labeler's masks. What the paper only says in words stands here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

import mal_mm

from ..labeler_data import innermost_encoder
from .paper_figures import figure


@dataclass(frozen=True)
class Row:
    """One line of an ablation table.

    Attributes:
        group: the table it belongs to.
        name: what the line is called; group and name are unique together.
        change: changes a config in place.
        paper: the paper's figure, or '' where there is none or it could not be checked.
    """

    group: str
    name: str
    change: Callable[[Config], None]
    paper: str = ''

    @property
    def key(self) -> str:
        """Name of the row on the command line and of its folder."""
        return f'{self.group}-{self.name}'


def _set(**changes: Any) -> Callable[[Config], None]:
    """Change settings; `a__b` stands for the key a.b."""
    return lambda cfg: cfg.merge_from_dict(
        {key.replace('__', '.'): value for key, value in changes.items()}
    )


def _crop(background_ratio: float = 0.0, **settings: Any) -> Callable[[Config], None]:
    """Settings of RoICrop, and the share of crops that show background alone."""

    def change(cfg: Config) -> None:
        dataset = cfg.train_dataloader.dataset
        crops = [transform for transform in dataset.pipeline if transform.type == 'RoICrop']
        if not crops:
            raise ValueError('the config has no RoICrop in its training pipeline')
        crops[0].update(settings)
        dataset.background_ratio = background_ratio

    return change


def _decoder(name: str, own: tuple[str, ...] = (), **settings: Any) -> Callable[[Config], None]:
    """Another decoder; settings that both know are taken over, except `own`."""

    def change(cfg: Config) -> None:
        from mmdet.registry import MODELS  # not to list the rows

        network = cfg.model.network
        known = inspect.signature(MODELS.get(name)).parameters.keys() - set(own)
        kept = {key: value for key, value in network.decoder.items() if key in known}
        network.decoder = {'type': name, **kept, **settings}

    return change


def _encoder(name: str) -> Callable[[Config], None]:
    """The encoder of a config of configs/mal, weights included; frozen or cached as before."""

    def change(cfg: Config) -> None:
        network = cfg.model.network
        shipped = Config.fromfile(mal_mm.config_path(f'mal/{name}.py')).model.network.encoder
        if innermost_encoder(cfg).get('frozen'):
            shipped.frozen = True
        if network.encoder.type == 'CachedEncoder':
            network.encoder.encoder = shipped
        else:
            network.encoder = shipped
        network.feature_stride = 16  # one size of map for all of them

    return change


def _fpn(cfg: Config) -> None:
    network, encoder = cfg.model.network, innermost_encoder(cfg)
    if encoder.type != 'ViTEncoder':
        raise ValueError(f'the pyramid stands on blocks of a ViTEncoder, got {encoder.type}')
    blocks = encoder.get('out_indices', -1)
    if isinstance(blocks, int) or len(blocks) < 3:
        encoder.out_indices = (-7, -4, -1)  # 6, 9 and 12 of a ViT-B
    network.neck = dict(type='ViTFPN', channels=network.get('projection') or 256)
    network.projection = None
    # levels that no box of a batch reads
    cfg.find_unused_parameters = True


def _without_teacher(cfg: Config) -> None:
    cfg.model.use_teacher = False
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook.type != 'EMATeacherHook']


def _classify(source: str) -> Callable[[Config], None]:
    def change(cfg: Config) -> None:
        cfg.model.cls_loss = dict(source=source, num_classes=cfg.get('num_classes'))

    return change


def _printed(table: str, row: str) -> str:
    ap, retention = (figure('MAL', table, row, column) for column in ('AP val', 'Ret. val'))
    return f'{ap} AP, {retention} %'


def _rows() -> list[Row]:
    best = _printed('3', 'Attention-based decoder')
    rows = [
        Row('decoder', 'attention', _decoder('AttentionDecoder'), best),
        Row(
            'decoder',
            'fully-connected',
            _decoder('FullyConnectedDecoder', own=('channels',)),
            _printed('3', 'Fully connected decoder'),
        ),
        Row(
            'decoder',
            'fully-conv',
            _decoder('FullyConvDecoder'),
            _printed('3', 'Fully convolutional decoder'),
        ),
        Row('decoder', 'query', _decoder('QueryDecoder'), 'no reasonable result'),
        Row(
            'decoder',
            'query-light',
            _decoder('QueryDecoder', num_layers=3, deep_supervision=False),
        ),
        *(
            Row('encoder', row, _encoder(config), _printed('4', name))
            for row, config, name in (
                ('convnext-base', 'convnext_base', 'ConvNeXt-Base'),
                ('swin-base', 'swin_base', 'Swin-Base'),
                ('deit-small', 'deit_small', 'ViT-DeiT-Small'),
                ('deit-base', 'deit_base', 'ViT-DeiT-Base'),
                ('mae-base', 'vit_mae_base', 'ViT-MAE-Base'),
                ('mae-large', 'vit_mae_large', 'ViT-MAE-Large'),
            )
        ),
        Row('neck', 'none', _set(), best),
        Row('neck', 'fpn', _fpn, 'a performance drop'),
        Row('crops', 'expanded', _set(), best),
        Row('crops', 'tight', _crop(expansion='tight'), 'masks tend to fill the box'),
        Row(
            'crops',
            'tight-and-background',
            # the share of negatives is not printed
            _crop(expansion='tight', background_ratio=0.5),
            'trivial solution',
        ),
    ]
    rows += [
        Row('theta', theta, _crop(theta=float(theta)), _printed('5', theta))
        for theta in ('0.6', '0.8', '1.0', '1.2', '1.4', '1.6')
    ]
    for group, key, values in (
        ('mil-weight', 'model__mil_loss__loss_weight', (1.0, 2.0, 4.0, 8.0)),
        ('mil-form', 'model__mil_loss__form', ('released', 'paper')),
        ('crf-weight', 'model__crf_loss__loss_weight', (0.0, 0.25, 0.5, 1.0, 3.0)),
        ('crf-shrink', 'model__shrink', ('bilinear', 'area')),
        ('zeta', 'model__crf_loss__mean_field__zeta', (0.1, 0.3, 0.5, 0.7)),
        ('omega', 'model__crf_loss__mean_field__omega', (1.0, 2.0, 3.0)),
        ('background', 'train_dataloader__dataset__background_ratio', (0.0, 0.2)),
    ):
        rows += [Row(group, f'{value}', _set(**{key: value})) for value in values]
    rows += [
        Row('teacher', 'ema', _set(), best),
        Row('teacher', 'none', _without_teacher, 'as good for DeiT-S, less stable for larger'),
        Row('classification', 'none', _set(), best),
        Row('classification', 'instance-head', _classify('instance_head'), 'a significant drop'),
        Row('classification', 'encoder', _classify('encoder'), 'no improvement or loss'),
        Row('classification', 'class-token', _classify('class_token'), 'no improvement or loss'),
    ]
    return rows


ROWS: Mapping[str, Row] = {row.key: row for row in _rows()}
GROUPS = tuple(dict.fromkeys(row.group for row in ROWS.values()))


def select_rows(names: list[str]) -> list[Row]:
    """Rows by group ('decoder') or key ('theta-0.6'), in the order of the tables, each once.

    Raises:
        ValueError: an unknown name.
    """
    for name in names:
        if name not in GROUPS and name not in ROWS:
            raise ValueError(
                f'no ablation is called {name!r}; groups: {", ".join(GROUPS)}; '
                f'rows: {", ".join(ROWS)}'
            )
    return [row for row in ROWS.values() if row.group in names or row.key in names]


def format_table(rows: list[Row], scores: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown table of mean IoU, in percent.

    Args:
        rows: the lines.
        scores: split name -> row key -> mean IoU in [0, 1]; missing ones are shown as '-'.

    Returns:
        Lines without a closing line break.
    """
    lines = [
        f'| ablation | {" | ".join(f"mIoU {split}" for split in scores)} | paper (COCO) |',
        '|---' * (len(scores) + 2) + '|',
    ]
    for row in rows:
        cells = [
            f'{100 * of_split[row.key]:.1f}' if row.key in of_split else '-'
            for of_split in scores.values()
        ]
        lines.append(f'| {row.group} {row.name} | {" | ".join(cells)} | {row.paper or "-"} |')
    return '\n'.join(lines)
