"""The tables of the paper (arXiv 2301.03992), row by row, with the paper's figures."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache

from mmengine.config import Config

from mal_mm.compat.config_bases import config_root
from mal_mm.evaluation.retention import Line

from .ablation import ROWS as ABLATION_ROWS
from .paper_figures import rows as printed_rows
from .runs import LABELERS, Figures, Labeler, MaskFile, Row, Run, segmenter_row, segmenter_rows

TITLES = {
    '1': 'Table 1: COCO, mask AP (segm)',
    '2': 'Table 2: LVIS v1, mask AP (segm)',
    '2-dcn': 'Table 2 as it is labelled, ResNets with deformable convolutions: LVIS v1, mask AP',
    '3': 'Table 3: mask decoders of the labeler, COCO, mask AP (segm) of phase 2',
    '4': 'Table 4: image encoders of the labeler, COCO, mask AP (segm) of phase 2',
    '5': 'Table 5: theta, largest random enlargement of boxes, COCO, mask AP (segm) of phase 2',
    '6': 'Table 6: clustering score of image encoders, COCO val; lower is better',
    '7': 'Table 7 (supplement, Table 1): what masks do for box AP (bbox), LVIS v1 and COCO',
    '7-r50': "Table 7's question at a smaller scale: Mask R-CNN R50 on COCO, box AP (bbox)",
    'fig8': 'Fig. 8: loss weights, zeta and omega of the labeler, COCO, mask AP of SOLOv2 R50',
    'baselines': 'Baselines that learn masks from boxes directly: COCO, mask AP (segm)',
}
SEGMENTER_TABLES = ('1', '2', '2-dcn', '7', '7-r50', 'baselines')  # those of the metafile
LABELER_TABLES = ('3', '4', '5', 'fig8')  # one segmenter, many labelers
BOX_TABLES = ('7', '7-r50')
NOTES = {
    '1': "`paper only`: rows that have no run here. Ours are on val2017; for test-dev's columns "
    'send the results to the evaluation server.',
    '2': 'The paper calls r50 and r101 ResNet-50-DCN and ResNet-101-DCN; its figures on human '
    'masks are those of the plain networks. See table 2-dcn.',
    'fig8': "The paper shows curves; the values tried here are ours (tools/ablate.py's).",
}
# name of a column in the printed table -> in the paper's
_COLUMNS = {
    '1': {
        'paper AP': 'AP val',
        'paper AP test-dev': 'AP test-dev',
        'paper kept': 'Ret. val',
        'paper kept test-dev': 'Ret. test-dev',
    },
    **{key: {'paper AP': 'AP val', 'paper kept': 'Ret. val'} for key in '2345'},
    '7': {
        f'paper {ours}': f'AP{theirs}'
        for ours, theirs in zip(
            ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl'),
            ('', '50', '75', '_S', '_M', '_L'),
            strict=True,
        )
    },
}
_CASCADE = 'cascade-mask-rcnn_convnext-s_fpn_3x_coco'
_DECODERS = {
    'Fully connected decoder': 'vit_mae_base_fully_connected',
    'Fully convolutional decoder': 'vit_mae_base_fully_conv',
    'Attention-based decoder': 'vit_mae_base',
    'Query-based decoder': 'vit_mae_base_query',
}
ENCODERS = {
    'ConvNeXt-Base': 'convnext_base',
    'Swin-Base': 'swin_base',
    'ViT-DeiT-Small': 'deit_small',
    'ViT-DeiT-Base': 'deit_base',
    'ViT-MAE-Base': 'vit_mae_base',
    'ViT-MAE-Large': 'vit_mae_large',
}
_FIG8 = ('mil-weight', 'crf-weight', 'zeta', 'omega')
_MASK_LABELS = {'none': 'None', 'human': 'GT mask', 'MAL': 'MAL mask'}  # as Table 7 calls them


def paper_columns(table: str) -> tuple[str, ...]:
    """The columns of the paper's figures in the printed table."""
    return tuple(_COLUMNS.get(table, ()))


@cache
def table_rows(table: str) -> tuple[Row, ...]:
    """The rows of a table that has trainings of phase 2, that is, of any but '6'.

    Args:
        table: a key of TITLES.
    """
    if table in LABELER_TABLES:
        return (_labeler_row(table),)
    rows = [
        replace(
            row,
            runs=tuple(replace(run, paper=_figures(table, row.backbone, run)) for run in row.runs),
        )
        for row in segmenter_rows(table)
    ]
    return tuple(map(_with_transfer, rows)) if table == '2' else tuple(rows)


def paper_only(table: str) -> Iterator[tuple[str, str, Figures]]:
    """Rows of the paper's table that have no run here: name, supervision, figures."""
    columns = _COLUMNS.get(table)
    if table != '1' or columns is None:
        return
    backbones = {row.backbone for row in table_rows(table)}
    for name, cells in printed_rows('MAL', table).items():
        ours = cells['Sup'] == 'Mask' or cells['Method'] == 'Mask Auto-Labeler'
        if not (ours and cells['InstSeg Backbone'] in backbones):
            figures = {ours: _number(cells[theirs]) for ours, theirs in columns.items()}
            yield name, 'human' if cells['Sup'] == 'Mask' else 'boxes', figures


def find_row(name: str) -> Row:
    """The row of a config, such as 'mask2former_swin-s_lsj-50e_coco', with or without `_mal`.

    Raises:
        ValueError: there is none; names those there are.
    """
    rows = {row.name: row for table in SEGMENTER_TABLES for row in table_rows(table)}
    try:
        return rows[name.removesuffix('_mal')]
    except KeyError:
        raise ValueError(f'no row {name!r}; there are {", ".join(rows)}') from None


def paper_lines(name: str) -> list[Line]:
    """The paper's figures of a row, to be shown below a comparison: val, then test-dev."""
    lines = []
    for table, kind in (('1', 'segm'), ('2', 'segm'), ('7', 'bbox')):
        for run in (run for row in table_rows(table) if row.name == name for run in row.runs):
            paper = run.paper
            label = f'paper {"GT" if run.supervision == "human" else run.masks}'
            for where in ('', ' test-dev'):
                measures = {
                    'AP': {
                        key.removeprefix('paper '): value
                        for key, value in paper.items()
                        if not key.endswith('test-dev') and 'kept' not in key
                    }
                    if not where
                    else {'AP': paper.get('paper AP test-dev')},
                    'retention': {'AP': paper.get(f'paper kept{where}')},
                }
                lines += [
                    Line(kind, f'{label}{where}', measure, values)
                    for measure, values in measures.items()
                    if any(value is not None for value in values.values())
                ]
    return lines


def _figures(table: str, backbone: str, run: Run, trained_on: str = 'LVIS v1') -> Figures:
    """What the paper has of a run; found by the cells that describe it.

    Args:
        trained_on: data set of the labeler, which Table 2 tells apart.
    """
    columns = _COLUMNS.get(table)
    if columns is None or not backbone:
        return {}
    if table == '7':
        wanted = {'InstSeg Backbone': backbone, 'Mask Labels': _MASK_LABELS[run.supervision]}
    else:
        wanted = {
            'InstSeg Backbone': backbone,
            'Sup': {'human': 'Mask', 'MAL': 'Box'}[run.supervision],
        }
        if run.supervision == 'MAL':
            wanted['Method'] = 'Mask Auto-Labeler'
        if run.supervision == 'MAL' and table == '2':
            wanted['Training Data'] = trained_on
    (cells,) = (
        cells
        for cells in printed_rows('MAL', table).values()
        if all(cells[column] == value for column, value in wanted.items())
    )
    return {ours: _number(cells[theirs]) for ours, theirs in columns.items()}


def _number(cell: object) -> float | None:
    assert cell is None or isinstance(cell, (int, float)), cell
    return cell


def _with_transfer(row: Row) -> Row:
    """Add the run on masks that COCO's labeler draws on LVIS, where the paper has one."""
    printed = {
        cells['InstSeg Backbone']
        for cells in printed_rows('MAL', '2').values()
        if cells['Training Data'] == 'COCO'
    }
    if row.backbone not in printed:
        return row
    ours = row.run('MAL')
    masks = MaskFile(LABELERS['COCO'], row.data, tag='of_coco')
    return replace(
        row,
        runs=(
            *row.runs,
            ours.on(masks, 'MAL, trained on COCO', _figures('2', row.backbone, ours, 'COCO')),
        ),
    )


@cache
def _labeler_row(table: str) -> Row:
    """One segmenter on human masks and on the masks of each labeler of a table."""
    row = segmenter_row('solov2_r50_fpn_3x_coco' if table == 'fig8' else _CASCADE)
    human, ours = row.run('human'), row.run('MAL')
    printed = {} if table == 'fig8' else printed_rows('MAL', table)
    runs = []
    for name, labeler in _labelers(table):
        usual = labeler == LABELERS[row.data]
        figures = {
            column: _number(printed[name][theirs])
            for column, theirs in _COLUMNS.get(table, {}).items()
        }
        masks = MaskFile(labeler, row.data, tag='' if usual else labeler.name)
        runs.append(ours.on(masks, f'MAL, {name}', figures))
    reference = {} if table == 'fig8' else _figures('1', row.backbone, human)
    figures = {column: reference.get(column) for column in _COLUMNS.get(table, ())}
    return replace(row, runs=(replace(human, paper=figures), *runs))


def _labelers(table: str) -> Iterator[tuple[str, Labeler]]:
    """What the table calls a labeler -> the labeler."""
    if table in ('3', '4'):
        for name, config in {'3': _DECODERS, '4': ENCODERS}[table].items():
            yield name, Labeler.of(f'configs/mal/{config}.py')
        return
    usual = LABELERS['COCO']
    for group in ('theta',) if table == '5' else _FIG8:
        options = {
            row: _options(usual.config, row.change)
            for row in ABLATION_ROWS.values()
            if row.group == group
        }
        same = set.intersection(*map(set, options.values()))  # what all of them set is usual
        for row, own in options.items():
            own = tuple(option for option in own if option not in same)
            labeler = Labeler(usual.config, f'{usual.name}_{row.key}', own) if own else usual
            yield row.name if table == '5' else row.key, labeler


def _options(config: str, change: Callable[[Config], None]) -> tuple[str, ...]:
    """A change of a config as --cfg-options."""
    base = Config.fromfile(config_root().parent / config)
    changed = copy.deepcopy(base)
    change(changed)
    before, after = (dict(_leaves(each.to_dict())) for each in (base, changed))
    return tuple(f'{key}={after[key]}' for key in after if before.get(key) != after[key])


def _leaves(node: object, name: str = '') -> Iterator[tuple[str, object]]:
    if isinstance(node, dict):
        pairs: Iterable[tuple[object, object]] = node.items()
    elif isinstance(node, list):
        pairs = enumerate(node)
    else:
        yield name, node
        return
    for key, value in pairs:
        yield from _leaves(value, f'{name}.{key}' if name else str(key))
