"""The trainings that reproduce a table: labelers, the masks that they draw, segmenters on these.

Labeler      a training of phase 1
MaskFile     the masks that a labeler draws in a data set
Run          a training of phase 2, on human masks, on a MaskFile, or on no masks
Row          the runs of one segmenter that are compared with each other
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.fileio import load

from mal_mm.compat.config_bases import config_root

# What names a run's supervision in the metafile, in this order in the tables.
SUPERVISIONS = ('none', 'boxes', 'human', 'MAL')
Figures = Mapping[str, 'float | None']


@dataclass(frozen=True)
class DataSet:
    """Files of a data set, as the configs name them."""

    root: str
    images: str
    train: str

    def masks(self, tag: str = '') -> str:
        """The annotation file with a labeler's masks, below `root`."""
        return self.train.replace('.json', f'_mal{tag and "_"}{tag}.json')


DATA = {
    'COCO': DataSet('data/coco', 'data/coco/train2017', 'annotations/instances_train2017.json'),
    'LVIS v1': DataSet('data/lvis_v1', 'data/lvis_v1', 'annotations/lvis_v1_train.json'),
}


@dataclass(frozen=True)
class Labeler:
    """A training of phase 1.

    Attributes:
        config: as a path below the checkout.
        name: of its work dir.
        options: of train.py, each as KEY=VALUE of --cfg-options.
    """

    config: str
    name: str
    options: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: str) -> Labeler:
        return cls(config, Path(config).stem)


# Those of the paper's Tables 1, 2 and 7: each data set is labelled by a labeler of its own boxes.
LABELERS = {
    'COCO': Labeler.of('configs/mal/vit_mae_base.py'),
    'LVIS v1': Labeler.of('configs/mal/vit_mae_base_lvis.py'),
}


@dataclass(frozen=True)
class MaskFile:
    """The masks that a labeler draws in the training images of a data set.

    Attributes:
        labeler: who draws them.
        data: key of DATA.
        tag: ends the file's name; '' for the one that the configs of phase 2 read by themselves.
    """

    labeler: Labeler
    data: str
    tag: str = ''

    @property
    def path(self) -> str:
        """Below the data set's root."""
        return DATA[self.data].masks(self.tag)


@dataclass(frozen=True)
class Run:
    """A training of phase 2.

    Attributes:
        name: of its work dir.
        config: as a path below the checkout.
        supervision: one of SUPERVISIONS.
        masks: what the table calls them: 'none', 'boxes', 'human', 'MAL' or 'MAL, LABELER'.
        length, unit: 36 'epochs', or 90000 'iterations'.
        options: of train.py, each as KEY=VALUE of --cfg-options.
        mask_file: what it trains on, of supervision 'MAL'.
        paper: the paper's figures, by column of the printed table.
    """

    name: str
    config: str
    supervision: str
    masks: str = field(compare=False)
    length: int
    unit: str
    options: tuple[str, ...] = ()
    mask_file: MaskFile | None = None
    paper: Figures = field(default_factory=dict, compare=False)

    def on(self, mask_file: MaskFile, masks: str, paper: Figures) -> Run:
        """The same training on the masks of another labeler."""
        return replace(
            self,
            name=f'{self.name}_{mask_file.tag}' if mask_file.tag else self.name,
            masks=masks,
            options=(f'mal_ann_file={mask_file.path}',) if mask_file.tag else (),
            mask_file=mask_file,
            paper=paper,
        )


@dataclass(frozen=True)
class Row:
    """The runs of one segmenter.

    Attributes:
        name: of the MAL config, without `_mal`.
        data: key of DATA.
        backbone: the paper's name of it, in the tables that have such a row; else ''.
        runs: in the order of SUPERVISIONS.
    """

    name: str
    data: str
    backbone: str
    runs: tuple[Run, ...]

    def run(self, supervision: str) -> Run:
        """The first run of this supervision."""
        return next(each for each in self.runs if each.supervision == supervision)


@cache
def segmenter_rows(table: str) -> tuple[Row, ...]:
    """The rows that configs/phase2/metafile.yml lists for a table, with no figures in them."""
    models = load(str(config_root() / 'phase2' / 'metafile.yml'))['Models']
    return tuple(
        _row(model, table, models)
        for model in models
        if model['Metadata']['Supervision'] == 'MAL' and _is_in(model, table)
    )


def segmenter_row(name: str) -> Row:
    """The row of any MAL config of phase 2, by its name without `_mal`."""
    models = load(str(config_root() / 'phase2' / 'metafile.yml'))['Models']
    model = next(each for each in models if each['Name'] == f'{name}_mal')
    return _row(model, '', models)


def _row(model: Mapping[str, Any], table: str, models: Sequence[Mapping[str, Any]]) -> Row:
    meta = model['Metadata']
    data = meta['Training Data']
    reference = meta['Ground Truth Config']
    runs = [
        _human_run(model, reference, models),
        _run(model, MaskFile(LABELERS[data], data)),
        *(
            _run(each)
            for each in models
            if each['Metadata'].get('Ground Truth Config') == reference
            and each['Metadata']['Supervision'] != 'MAL'
            and _is_in(each, table)
        ),
    ]
    runs.sort(key=lambda each: SUPERVISIONS.index(each.supervision))
    name = model['Name'].removesuffix('_mal')
    return Row(name, data, meta.get('Paper Backbone', ''), tuple(runs))


def _is_in(model: Mapping[str, Any], table: str) -> bool:
    return table in model['Metadata'].get('Table', ())


def _run(model: Mapping[str, Any], mask_file: MaskFile | None = None) -> Run:
    meta = model['Metadata']
    unit = 'epochs' if 'Epochs' in meta else 'iterations'
    return Run(
        name=model['Name'],
        config=model['Config'],
        supervision=meta['Supervision'],
        masks=meta['Supervision'],
        length=meta[unit.capitalize()],
        unit=unit,
        mask_file=mask_file,
    )


def _human_run(
    model: Mapping[str, Any], reference: str, models: Sequence[Mapping[str, Any]]
) -> Run:
    for each in models:
        if each['Config'] == reference:
            return _run(each)
    # MMDetection's own config, from which ours differs in nothing but the file
    return replace(
        _run(model),
        name=f'{model["Name"].removesuffix("_mal")}_gt',
        supervision='human',
        masks='human',
        options=(f'mal_ann_file={DATA[model["Metadata"]["Training Data"]].train}',),
    )
