"""FiftyOne's COCO layout (`fo.types.COCODetectionDataset`): data/ and labels.json.

FiftyOne takes every further field of an annotation as an attribute of the object, `mal_quality`
among them, when it is told `extra_attrs=True`; `score` becomes the confidence.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from ..formats.coco import index_images, write_coco
from ..formats.errors import AnnotationError
from ..formats.mal_fields import quality_of
from ..formats.rle import rle_to_str_counts
from .attributes import ID, IMAGE_ID, id_text, id_value
from .coco_like import read_coco
from .files import new_folder
from .findings import Findings
from .images import copy_image
from .objects import pictures
from .registry import ReadOptions, WriteOptions


def read_fiftyone(source: Path, options: ReadOptions, findings: Findings) -> dict[str, Any]:
    """Read a folder with data/ and labels.json; `file_name`s are relative to data/."""
    source = Path(source)
    labels = source / 'labels.json' if source.is_dir() else source
    if not labels.is_file():
        raise AnnotationError(f"{source}: no labels.json in it; give FiftyOne's folder")
    data = read_coco(labels, options, findings)
    findings.img_root = labels.parent / 'data'
    index_images(data, labels)
    for annotation in data['annotations']:
        if annotation.get('score') == quality_of(annotation):
            del annotation['score']  # written along by us
        for name in [key for key in annotation if annotation[key] is None]:
            del annotation[name]  # FiftyOne gives every object the attributes of all
    ours = [id_value(image.pop(IMAGE_ID, None)) for image in data['images']]
    if None not in ours and len(set(ours)) == len(ours):  # not where people added images
        ids = {i['id']: known for i, known in zip(data['images'], ours, strict=True)}
        for image in data['images']:
            image['id'] = ids[image['id']]
        for annotation in data['annotations']:
            annotation['image_id'] = _of(ids, annotation.get('image_id'))
    return data


def write_fiftyone(
    data: Mapping[str, Any], out: Path, options: WriteOptions, findings: Findings
) -> None:
    """Write a new folder with data/ and labels.json; `img_root`: images are copied into data/.

    Masks stay RLE and lose nothing. `score` is `mal_quality` where there is none.
    """
    annotations = []
    with new_folder(out) as folder:
        (folder / 'data').mkdir()
        images = []
        for picture in pictures(data, findings.without_fields()):
            images.append({**picture.image, 'file_name': picture.name})
            copy_image(picture, options.img_root, folder / 'data' / picture.name, findings)
            for thing in picture.things:
                annotation = dict(thing.annotation)
                annotation[ID] = id_text(annotation.get('id'))  # FiftyOne numbers anew
                if isinstance(annotation.get('segmentation'), dict) and thing.rle:
                    annotation['segmentation'] = rle_to_str_counts(thing.rle)
                if thing.quality is not None:
                    annotation.setdefault('score', thing.quality)
                annotation.setdefault('iscrowd', 0)
                annotations.append(annotation)
        numbered = _number(images, annotations, list(data.get('categories') or ()), findings)
        head = {k: v for k, v in data.items() if k not in ('images', 'annotations')}
        head.setdefault('info', {})
        whole = {**head, **numbered}
        write_coco(whole, folder / 'labels.json')


def _of(numbers: Mapping[Hashable, Any], value: object) -> Any:
    return numbers.get(value, value) if isinstance(value, Hashable) else value


def _number(
    images: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    categories: list[dict[str, Any]],
    findings: Findings,
) -> dict[str, Any]:
    """Whole numbers as ids, which FiftyOne needs; the ids of ours go along."""
    for image in images:
        image[IMAGE_ID] = id_text(image['id'])
    for kind, records, references, key in (
        ('images', images, annotations, 'image_id'),
        ('categories', categories, annotations, 'category_id'),
        ('annotations', annotations, [], ''),
    ):
        if all(type(record.get('id')) is int for record in records):
            continue
        findings.note(f'ids of {kind} are numbered anew, as FiftyOne takes whole numbers only')
        numbers = {
            record.get('id'): n
            for n, record in enumerate(records, start=1)
            if isinstance(record.get('id'), Hashable)
        }
        records[:] = [{**record, 'id': n} for n, record in enumerate(records, start=1)]
        for record in references:
            record[key] = _of(numbers, record.get(key))
    return dict(images=images, annotations=annotations, categories=categories)
