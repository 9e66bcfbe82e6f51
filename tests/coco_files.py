"""COCO-style files to convert: one with everything that is awkward, and random ones."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as mask_utils

from mal_mm.convert import Findings, ReadOptions, WriteOptions, find_format
from mal_mm.convert.objects import pictures
from mal_mm.formats.rle import rle_to_str_counts

ENDINGS = {'coco': '.json', 'cvat': '.xml', 'label-studio': '.json', 'youtube-vis': '.json'}


def rle_of(mask: np.ndarray) -> dict:
    """(H, W) bool -> RLE as files have it."""
    return rle_to_str_counts(mask_utils.encode(np.asfortranarray(mask.astype(np.uint8))))


def annotation(number, image_id, mask, category_id=1, **fields) -> dict:
    """One with the tight box of its mask."""
    rle = rle_of(mask)
    return dict(
        id=number,
        image_id=image_id,
        category_id=category_id,
        segmentation=rle,
        area=int(mask_utils.area(rle)),
        bbox=mask_utils.toBbox(rle).tolist(),
        iscrowd=0,
        **fields,
    )


def awkward() -> dict:
    """Names of any script, sub-folders, an empty image, ids of any kind, holes, parts, a crowd."""
    ring = np.zeros((20, 30), bool)
    ring[2:12, 3:15] = True
    ring[5:8, 6:10] = False
    parts = np.zeros((20, 30), bool)
    parts[14:19, 1:6] = parts[15:18, 20:28] = True
    corner = np.zeros((16, 12), bool)
    corner[:5, :4] = True
    edge = np.zeros((16, 12), bool)
    edge[8:, 6:] = True
    crowd = np.zeros((16, 12), bool)
    crowd[6:8, :] = True
    return dict(
        images=[
            dict(id=7, file_name='süd/日本 1.PNG', width=30, height=20),
            dict(id='b', file_name='b.c d.jpg', width=12, height=16),
            dict(id=2**40, file_name='empty.tiff', width=9, height=5),
        ],
        annotations=[
            annotation(5, 7, ring, 3, mal_quality=0.75),
            annotation('x y', 7, parts, 'cat', mal_quality=0.5, mal_flag='low_quality'),
            annotation(1, 'b', corner, 3, attributes={'colour': 'grün'}),
            annotation(-4, 'b', edge, 3),
            {**annotation(12, 'b', crowd, 3), 'iscrowd': 1},
        ],
        categories=[dict(id=3, name='Katze & Hund <1>'), dict(id='cat', name='猫 "x"')],
    )


def write_images(data: dict, folder) -> None:
    """Black pictures of the sizes that the records state."""
    for image in data['images']:
        path = folder / image['file_name']
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('L', (image['width'], image['height'])).save(path)


def there_and_back(data: dict, name: str, folder, **options) -> tuple[dict, Findings, Findings]:
    """Write a format and read it; what came back, and what was found on either way."""
    out = folder / f'out{ENDINGS.get(name, "")}'
    there, back = Findings(), Findings()
    find_format(name).writer()(data, out, WriteOptions(**options), there)
    if name.startswith('yolo'):
        write_images(data, out / 'images')
    return find_format(name).reader()(out, ReadOptions(), back), there, back


def objects(data: dict) -> dict:
    """Image name -> (label, mask, box) of its objects, in order."""
    silent = Findings()
    return {
        picture.name.removeprefix('images/'): [
            (t.label, t.rle and rle_to_str_counts(t.rle), t.box_xyxy) for t in picture.things
        ]
        for picture in pictures(data, silent)
    }


_NAMES = st.text(
    st.characters(
        categories=('Ll', 'Lu', 'Lo', 'Nd', 'Mn'), include_characters=' -_.&<>"\'#%+;,=@{}[]()'
    ),
    min_size=1,
    max_size=8,
).filter(lambda name: name.strip(' .') == name)


@st.composite
def coco_files(draw) -> dict:
    """Random files: masks of random pixels, so that parts, holes and touching corners abound."""
    names = draw(st.lists(_NAMES, min_size=1, max_size=3, unique_by=str.casefold))
    labels = draw(st.lists(_NAMES, min_size=1, max_size=3, unique=True))
    ids = st.one_of(st.integers(-5, 2**40), st.text(max_size=4))
    images, annotations = [], []
    image_ids = draw(st.lists(ids, min_size=len(names), max_size=len(names), unique=True))
    numbers = iter(draw(st.lists(ids, min_size=6, max_size=6, unique=True)))
    for image_id, name in zip(image_ids, names, strict=True):
        width, height = draw(st.integers(1, 9)), draw(st.integers(1, 9))
        folder = draw(st.sampled_from(['', 'a/', 'ordner/b c/']))
        images.append(
            dict(id=image_id, file_name=f'{folder}{name}.png', width=width, height=height)
        )
        for _ in range(draw(st.integers(0, 2))):
            seed = draw(st.integers(0, 999))
            mask = np.random.default_rng(seed).random((height, width)) < 0.6
            if not mask.any():
                continue
            quality = draw(st.sampled_from([{}, {'mal_quality': 0.25}]))
            label = draw(st.integers(1, len(labels)))
            annotations.append(annotation(next(numbers), image_id, mask, label, **quality))
    categories = [dict(id=n, name=label) for n, label in enumerate(labels, start=1)]
    return dict(images=images, annotations=annotations, categories=categories)
