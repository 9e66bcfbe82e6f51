"""What is to be labelled, in arrays: which boxes of which images, in which portions."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..formats.box_survey import survey_boxes
from ..formats.boxes import Skip, box_problem
from ..formats.coco import index_categories, index_images
from ..formats.image_size import stated_size
from ..formats.mal_fields import is_settled, skip_reason
from ..formats.mask_check import mask_problem
from ..formats.paths import image_file_name
from ..formats.review_marks import REDO, ReviewMarks


@dataclass(frozen=True)
class Selection:
    """Which annotations get a new mask; crowd regions that have one never do.

    Attributes:
        only_missing: leave annotations alone that have a mask.
        categories: names or ids of the categories to label; None for all.
        redo: label those alone that a review has marked rejected or in need of work, as long as
            they have the mask that was looked at; None: whatever was said of them.
    """

    only_missing: bool = False
    categories: frozenset[Hashable] | None = None
    redo: ReviewMarks | None = None

    def passes(
        self, annotation: Mapping[str, Any], image: Mapping[str, Any] | None = None
    ) -> bool:
        """Whether an annotation passes through untouched.

        What an earlier run has skipped never does, so that a rerun labels it. A mask that a human
        drew, confirmed or accepted always does.

        Args:
            annotation: of the file.
            image: its record, where there is one.
        """
        if self.redo is not None and self.redo.mark_of(annotation) not in REDO:
            return True
        if skip_reason(annotation) is None:
            if annotation.get('iscrowd') and annotation.get('segmentation'):
                return True
            kept = self.only_missing or is_settled(annotation)
            if kept and mask_problem(annotation, image) is None:
                return True
        if self.categories is None:
            return False
        category_id = annotation.get('category_id')
        return not isinstance(category_id, Hashable) or category_id not in self.categories


@dataclass(frozen=True)
class Plan:
    """The boxes to label, image by image in file order; 44 bytes a box.

    Attributes:
        file_names: name of each image relative to the image folder, unchecked.
        sizes_wh: width and height of each image as its record states them, or None.
        boxes_xyxy: (n, 4) float64, image pixels.
        places: (n,) int64, place of the box's annotation in the file.
        image_indices: (n,) int32, ascending.
        count: annotations in the file.
        passed: annotations that pass through untouched.
        skips: annotations whose box cannot be used.
    """

    file_names: list[Any]
    sizes_wh: list[tuple[Any, Any]]
    boxes_xyxy: np.ndarray
    places: np.ndarray
    image_indices: np.ndarray
    count: int
    passed: int = 0
    skips: list[Skip] = field(default_factory=list)

    def survey(self) -> list[str]:
        """What is strange about the boxes as a whole, see `survey_boxes`."""
        nothing, step = float('nan'), len(self.places) // 100_000 + 1  # of millions, some tell
        sizes = [
            [nothing if side is None else min(side, 2**53) for side in wh] for wh in self.sizes_wh
        ]
        table = np.array(sizes, dtype=np.float64).reshape(-1, 2)
        return survey_boxes(self.boxes_xyxy[::step], table[self.image_indices[::step]])

    def portions(self, num_boxes: int, whole_images: bool = False) -> list[tuple[int, int]]:
        """Cut the boxes into portions of about `num_boxes`, for batching, saving and sharing out.

        A portion ends with an image, so that each is read once; an image with more boxes than
        that is cut. Portions depend on the plan alone, not on who works on them: what the network
        says about a crop depends in the last bit on the batch it is in.

        Args:
            num_boxes: in a portion, about.
            whole_images: cut no image, whose boxes have to be seen together.

        Returns:
            [start, stop) of each.
        """
        starts = np.flatnonzero(np.diff(self.image_indices, prepend=-1)).tolist()
        portions, begin = [], 0
        for start, stop in pairwise([*starts, len(self.image_indices)]):
            if stop - begin > num_boxes and start > begin:
                portions.append((begin, start))
                begin = start
            while stop - begin > num_boxes and not whole_images:
                portions.append((begin, begin + num_boxes))
                begin += num_boxes
        if begin < len(self.image_indices):
            portions.append((begin, len(self.image_indices)))
        return portions


def make_plan(
    data: Mapping[str, Any],
    annotations: Iterable[Mapping[str, Any]],
    path: str | Path = 'annotations',
    selection: Selection | None = None,
) -> Plan:
    """Go through the annotations once.

    Args:
        data: gives `images` and `categories`.
        annotations: the annotations in file order; none of them is kept.
        path: the file's name, for errors.
        selection: which get a new mask; None for all but crowd regions.

    Raises:
        AnnotationError: images or categories cannot be told apart by their ids.
        ValueError: there is no such category as selected.
    """
    selection = selection or Selection()
    images = index_images(data, path)
    categories = index_categories(data, path)
    if selection.categories is not None:
        selection = replace(selection, categories=find_categories(data, selection.categories))
    index_of = {image_id: index for index, image_id in enumerate(images)}
    coordinates, places, image_indices = array('d'), array('q'), array('i')
    skips, passed, count = [], 0, 0
    for place, annotation in enumerate(annotations):
        count += 1
        if selection.passes(annotation, _image_of(annotation, images)):
            passed += 1
            continue
        problem = box_problem(annotation, images, categories)
        if problem is not None:
            skips.append(Skip(place, annotation.get('id'), problem))
            continue
        x, y, w, h = annotation['bbox']
        coordinates.extend((x, y, x + w, y + h))
        places.append(place)
        image_indices.append(index_of[annotation['image_id']])
    indices = np.frombuffer(image_indices, dtype=np.int32)
    # file order of the images, so that a disk reads forward; of an image's boxes, as they come
    order = np.argsort(indices, kind='stable')
    return Plan(
        file_names=[image_file_name(image) for image in images.values()],
        sizes_wh=[stated_size(image) for image in images.values()],
        boxes_xyxy=np.frombuffer(coordinates, dtype=np.float64).reshape(-1, 4)[order],
        places=np.frombuffer(places, dtype=np.int64)[order],
        image_indices=indices[order],
        count=count,
        passed=passed,
        skips=skips,
    )


def _image_of(
    annotation: Mapping[str, Any], images: Mapping[Hashable, dict[str, Any]]
) -> dict[str, Any] | None:
    image_id = annotation.get('image_id')
    return images.get(image_id) if isinstance(image_id, Hashable) else None


def find_categories(data: Mapping[str, Any], names: Iterable[Hashable]) -> frozenset[Hashable]:
    """Ids of categories that are given by name or by id.

    Args:
        data: gives `categories`.
        names: what they are called.

    Raises:
        ValueError: there is none of that name; says which there are.
    """
    categories = data.get('categories') or []
    ids: dict[str, Hashable] = {}
    for category in categories:
        ids[str(category.get('id'))] = category.get('id')
        ids[str(category.get('name'))] = category.get('id')
    texts = [str(name) for name in names]
    unknown = [text for text in texts if text not in ids]
    if unknown:
        known = ', '.join(str(category.get('name')) for category in categories[:20])
        raise ValueError(f'no category is called {", ".join(unknown)}; the file has: {known}')
    return frozenset(ids[text] for text in texts)
