"""Files of LVIS: images named by their address, and not every class looked for in every image."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..formats.coco import CocoStream
from ..formats.errors import AnnotationError
from ..formats.paths import image_file_name

# of each image: the classes that are not in it, and those of which not all instances are marked
_CHECKED = ('neg_category_ids', 'not_exhaustive_category_ids')
_FREQUENCIES = ('r', 'c', 'f')


@dataclass(frozen=True)
class Forms:
    """How the files of a training are read and scored.

    Attributes:
        train, val: types of their datasets, see `dataset_type`.
        federated: AP on the second is counted as LVIS does, see `is_federated`.
    """

    train: str = 'CocoDataset'
    val: str = 'CocoDataset'
    federated: bool = False

    @classmethod
    def of(cls, train_ann: str | Path, val_ann: str | Path | None) -> Forms:
        """Look at the files.

        Raises:
            AnnotationError: one cannot be read, or has images without a name.
        """
        train = dataset_type(train_ann)
        if val_ann is None:
            return cls(train)
        return cls(train, dataset_type(val_ann), is_federated(val_ann))


def dataset_type(ann: str | Path) -> str:
    """The dataset of MMDetection that reads a file: 'CocoDataset' or 'LVISStyleDataset'.

    Args:
        ann: a COCO-style file.

    Raises:
        AnnotationError: it cannot be read, or an image has neither `file_name` nor `coco_url`.
    """
    by_url = False
    for image in CocoStream(ann).value['images']:
        if not image_file_name(image):
            raise AnnotationError(
                f'{ann}: image {image.get("id")!r} has no `file_name`, by which segmenters find '
                'it; add it to each (LVIS: folder and name of its `coco_url`)'
            )
        by_url = by_url or not image.get('file_name')
    return 'LVISStyleDataset' if by_url else 'CocoDataset'


def is_federated(ann: str | Path) -> bool:
    """Whether AP on a file has to be counted as LVIS does.

    An annotator of LVIS looked for some classes in each image only. What a segmenter finds of the
    others is neither right nor wrong; COCO's rules count it as wrong.

    Args:
        ann: a COCO-style file with human masks.
    """
    return any(_CHECKED[0] in image for image in CocoStream(ann).value['images'])


def check_federated(ann: str | Path) -> None:
    """Make sure now that LVISMetric can score by a file.

    Args:
        ann: a file that `is_federated`.

    Raises:
        ModuleNotFoundError: there is no `lvis` package.
        AnnotationError: an image or category lacks what LVIS' rules ask for.
    """
    if importlib.util.find_spec('lvis') is None:
        raise ModuleNotFoundError(
            f'{ann} is an LVIS file, on which AP is counted by the `lvis` package: `pip install '
            '"mal-mm[lvis]"`. (COCO\'s rules would count as wrong what nobody has looked for; '
            'without --val-ann there is no evaluation.)',
            name='lvis',
        )
    data: dict[str, Any] = CocoStream(ann).value
    for image in data['images']:
        for key in _CHECKED:
            if not isinstance(image.get(key), list):
                raise AnnotationError(
                    f'{ann}: image {image.get("id")!r} has no list `{key}`, which LVIS counts AP '
                    'by; add it to each image, or take it and the other one out of all'
                )
    for category in data.get('categories') or []:
        if category.get('frequency') not in _FREQUENCIES:
            raise AnnotationError(
                f'{ann}: category {category.get("name")!r} has the frequency '
                f'{category.get("frequency")!r}; LVIS counts AP by it: write r (1 to 10 images), '
                'c (11 to 100) or f (more)'
            )
