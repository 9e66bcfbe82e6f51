"""A COCO-style file in the form of LVIS v1."""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path

URL = 'http://images.cocodataset.org/'


def write_lvis(source: Path, out: Path) -> Path:
    """Images by address, classes that were looked for, frequencies, and no crowds."""
    content = json.loads(source.read_text())
    present: dict[object, set[int]] = {}
    for annotation in content['annotations']:
        annotation.pop('iscrowd', None)
        present.setdefault(annotation['image_id'], set()).add(annotation['category_id'])
    classes = {category['id'] for category in content['categories']}
    for image in content['images']:
        image['coco_url'] = URL + image.pop('file_name')
        image['neg_category_ids'] = sorted(classes - present.get(image['id'], set()))
        image['not_exhaustive_category_ids'] = []
    for category, frequency in zip(content['categories'], cycle('rcf'), strict=False):
        category['frequency'] = frequency
        category['synset'] = f'{category["name"]}.n.01'
    out.write_text(json.dumps(content))
    return out
