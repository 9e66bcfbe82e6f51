"""The tables of the paper that phase 2 reproduces: their rows and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from mmengine.fileio import load

from mal_mm.compat.config_bases import config_root
from mal_mm.evaluation.retention import Line

BASELINES = 'baselines'  # of configs/phase2/metafile.yml, beside the paper's rows
TITLES = {
    '1': 'Table 1: COCO, mask AP (segm)',
    '2': 'Table 2: LVIS v1, mask AP (segm)',
    '7': 'Table 7: COCO, what masks do for box AP (bbox)',
    BASELINES: 'Baselines that learn masks from boxes directly: COCO, mask AP (segm)',
}
# What names a run's supervision in the metafile, and in the tables.
SUPERVISIONS = ('none', 'boxes', 'human', 'MAL')


@dataclass(frozen=True)
class PaperFigures:
    """What the paper reports of a row, in %; None where that is not known here.

    Attributes:
        gt, mal: mask AP on the validation set with human masks and with MAL's.
        kept: retention rate.
        remark: more, as text.
    """

    gt: float | None = None
    mal: float | None = None
    kept: float | None = None
    remark: str = ''


# 44.1 is in the abstract of arXiv 2301.03992, the others in a summary of its tables. What is not
# listed here was not at hand, and is not guessed.
FIGURES = {
    'mask2former_swin-s_lsj-50e_coco': PaperFigures(mal=43.3, remark='44.1 on test-dev'),
    'cascade-mask-rcnn_convnext-b_fpn_3x_coco': PaperFigures(kept=94.5),
    'mask-rcnn_x101-64x4d_fpn_1x_lvis-v1': PaperFigures(gt=25.8, mal=24.5, kept=95.0),
}


@dataclass(frozen=True)
class DataSet:
    """Files of a data set, as the configs name them."""

    root: str
    images: str
    train: str

    @property
    def labelled(self) -> str:
        return self.train.replace('.json', '_mal.json')


DATA = {
    'COCO': DataSet('data/coco', 'data/coco/train2017', 'annotations/instances_train2017.json'),
    'LVIS v1': DataSet('data/lvis_v1', 'data/lvis_v1', 'annotations/lvis_v1_train.json'),
}


@dataclass(frozen=True)
class Training:
    """One training of a segmenter.

    Attributes:
        name: of its work dir.
        config: as a path below the checkout.
        supervision: one of SUPERVISIONS.
        options: of train.py.
        length, unit: 36 'epochs', or 90000 'iterations'.
    """

    name: str
    config: str
    supervision: str
    options: str
    length: int
    unit: str


@dataclass(frozen=True)
class Row:
    """One segmenter with each of its supervisions.

    Attributes:
        name: of the MAL config, without `_mal`.
        data: key of DATA.
        trainings: in the order of SUPERVISIONS.
    """

    name: str
    data: str
    trainings: tuple[Training, ...]

    @property
    def paper(self) -> PaperFigures:
        return FIGURES.get(self.name, PaperFigures())

    def training(self, supervision: str) -> Training:
        return next(each for each in self.trainings if each.supervision == supervision)


@cache
def table_rows(table: str) -> tuple[Row, ...]:
    """The rows of a table, from configs/phase2/metafile.yml.

    Args:
        table: a key of TITLES.
    """
    models = load(str(config_root() / 'phase2' / 'metafile.yml'))['Models']
    tables = [] if table == BASELINES else [int(table)]
    rows = []
    for model in models:
        meta = model['Metadata']
        if meta.get('Supervision') != 'MAL' or not _is_in(meta, tables):
            continue
        reference = meta['Ground Truth Config']
        trainings = [_human_training(model, reference, models)]
        trainings += [
            _training(each)
            for each in models
            if each['Metadata'].get('Ground Truth Config') == reference
            and _is_in(each['Metadata'], tables)
        ]
        trainings.sort(key=lambda each: SUPERVISIONS.index(each.supervision))
        name = model['Name'].removesuffix('_mal')
        rows.append(Row(name, meta['Training Data'], tuple(trainings)))
    return tuple(rows)


def find_row(name: str) -> Row:
    """The row of a config, such as 'mask2former_swin-s_lsj-50e_coco', with or without `_mal`.

    Raises:
        ValueError: there is none; names those there are.
    """
    rows = {row.name: row for table in TITLES for row in table_rows(table)}
    try:
        return rows[name.removesuffix('_mal')]
    except KeyError:
        raise ValueError(f'no row {name!r}; there are {", ".join(rows)}') from None


def paper_lines(row: Row) -> list[Line]:
    """The paper's figures of a row, to be shown below a comparison."""
    figures = row.paper
    return [
        Line('segm', 'paper GT', 'AP', {'AP': figures.gt}),
        Line('segm', 'paper MAL', 'AP', {'AP': figures.mal}),
        Line('segm', 'paper MAL', 'retention', {'AP': figures.kept}),
    ]


def _is_in(meta: Mapping[str, object], tables: list[int]) -> bool:
    listed = meta.get('Table')
    return listed is not None and (listed == tables or bool(set(listed) & set(tables)))


def _training(model: Mapping) -> Training:
    meta = model['Metadata']
    unit = 'epochs' if 'Epochs' in meta else 'iterations'
    return Training(
        name=model['Name'],
        config=model['Config'],
        supervision=meta['Supervision'],
        options='',
        length=meta[unit.capitalize()],
        unit=unit,
    )


def _human_training(model: Mapping, reference: str, models: list[Mapping]) -> Training:
    for each in models:
        if each['Config'] == reference:
            return _training(each)
    # MMDetection's own config, from which ours differs in nothing but the file
    return replace(
        _training(model),
        name=f'{model["Name"].removesuffix("_mal")}_gt',
        supervision='human',
        options=f' --cfg-options mal_ann_file={DATA[model["Metadata"]["Training Data"]].train}',
    )
