"""The paper's ablations as changes of a config: what each row changes, and what the paper says.

The paper's figures are mask AP on COCO val2017 and retention rate of a Cascade R-CNN (ConvNeXt-S)
trained on the masks of a ViT-MAE-B labeler. Figures that could not be checked are left out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config


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


def _theta(theta: float) -> Callable[[Config], None]:
    def change(cfg: Config) -> None:
        pipeline = cfg.train_dataloader.dataset.pipeline
        crops = [transform for transform in pipeline if transform.type == 'RoICrop']
        if not crops:
            raise ValueError('the config has no RoICrop in its training pipeline')
        crops[0].theta = theta

    return change


def _decoder(name: str, own: tuple[str, ...] = ()) -> Callable[[Config], None]:
    """Another decoder; settings that both know are taken over, except `own`."""

    def change(cfg: Config) -> None:
        network = cfg.model.network
        known = inspect.signature(MODELS.get(name)).parameters.keys() - set(own)
        settings = {key: value for key, value in network.decoder.items() if key in known}
        network.decoder = {'type': name, **settings}

    return change


def _without_teacher(cfg: Config) -> None:
    cfg.model.use_teacher = False
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook.type != 'EMATeacherHook']


def _classify(target: str) -> Callable[[Config], None]:
    def change(cfg: Config) -> None:
        cfg.model.cls_loss = dict(target=target, num_classes=cfg.get('num_classes'))
        if target == 'objectness':
            cfg.train_dataloader.dataset.background_ratio = 0.2

    return change


def _rows() -> list[Row]:
    rows = [
        Row('decoder', 'attention', _decoder('AttentionDecoder'), '42.3 AP, 94.4 %'),
        Row('decoder', 'fully-connected', _decoder('FullyConnectedDecoder', own=('channels',))),
        Row('decoder', 'fully-conv', _decoder('FullyConvDecoder')),
        Row('decoder', 'query', _decoder('QueryDecoder'), 'no reasonable result'),
    ]
    figures = {1.2: '42.3 AP, 94.4 %'}
    rows += [
        Row('theta', f'{theta}', _theta(theta), figures.get(theta, ''))
        for theta in (0.6, 0.8, 1.0, 1.2, 1.4, 1.6)
    ]
    for group, key, values in (
        ('mil-weight', 'model__mil_loss__loss_weight', (1.0, 2.0, 4.0, 8.0)),
        ('crf-weight', 'model__crf_loss__loss_weight', (0.0, 0.25, 0.5, 1.0, 3.0)),
        ('zeta', 'model__crf_loss__mean_field__zeta', (0.1, 0.3, 0.5, 0.7)),
        ('omega', 'model__crf_loss__mean_field__omega', (1.0, 2.0, 3.0)),
        ('background', 'train_dataloader__dataset__background_ratio', (0.0, 0.2)),
    ):
        rows += [Row(group, f'{value}', _set(**{key: value})) for value in values]
    rows += [
        Row('teacher', 'ema', _set()),
        Row('teacher', 'none', _without_teacher),
        Row('classification', 'none', _set()),
        *(
            Row('classification', target.replace('_', '-'), _classify(target))
            for target in ('objectness', 'category', 'mask_category')
        ),
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
