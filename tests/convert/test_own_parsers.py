"""Our files, read by the tools' own libraries where they are installed.

None of them is needed by mal_mm; `pip install datumaro label-studio-sdk supervision` runs these.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from coco_files import ENDINGS, awkward, write_images
from pycocotools import mask as mask_utils

from mal_mm.convert import Findings, ReadOptions, WriteOptions, find_format
from mal_mm.convert.merge import merge_corrections

pytestmark = pytest.mark.slow


@pytest.fixture
def written(tmp_path):
    """written(format, shapes) -> path of the awkward file, with its images."""
    write_images(awkward(), tmp_path / 'images')

    def write(name: str, shapes: str = 'masks'):
        out = tmp_path / f'{name}{ENDINGS.get(name, "")}'
        options = WriteOptions(shapes=shapes, img_root=tmp_path / 'images')
        find_format(name).writer()(awkward(), out, options, Findings())
        return out

    return write


def truth() -> list[list]:
    """Masks of the images that have some, sorted by their areas."""
    data = awkward()
    of_image: dict = {}
    for each in data['annotations']:
        of_image.setdefault(each['image_id'], []).append(mask_utils.decode(each['segmentation']))
    return [sorted(masks, key=np.sum) for masks in of_image.values()]


@pytest.mark.parametrize(
    ('name', 'form'), [('datumaro', 'datumaro'), ('cvat', 'cvat'), ('voc', 'voc')]
)
def test_datumaro_reads_the_same_masks_and_attributes(written, name, form, tmp_path):
    datumaro = pytest.importorskip('datumaro')
    path = written(name)
    if name == 'cvat':  # it wants the file beside the folder of the images
        path = path.rename(tmp_path / 'train.xml').parent
    items = list(datumaro.Dataset.import_from(str(path), form))
    assert len(items) == 3
    kind = datumaro.components.annotation.AnnotationType.mask
    found = [[a for a in item.annotations if a.type == kind] for item in items]
    masks = [sorted((np.array(a.image) for a in each), key=np.sum) for each in found if each]
    for ours, theirs in zip(truth(), masks, strict=True):
        assert all(
            (a.astype(bool) == b.astype(bool)).all() for a, b in zip(ours, theirs, strict=True)
        )
    if name != 'voc':
        qualities = {float(a.attributes.get('mal_quality', 0)) for each in found for a in each}
        assert qualities == {0, 0.5, 0.75}


@pytest.mark.parametrize('shapes', ['masks', 'polygons'])
def test_label_studio_finds_our_predictions_valid_and_our_masks_the_same(written, shapes):
    interface = pytest.importorskip('label_studio_sdk.label_interface')
    from label_studio_sdk.converter import brush

    path = written('label-studio', shapes)
    config = interface.LabelInterface(path.with_suffix('.config.xml').read_text('utf-8'))
    tasks = json.loads(path.read_text('utf-8'))
    predictions = [p for task in tasks for p in task['predictions']]
    assert len(predictions) == 2
    for ours, prediction in zip(truth(), predictions, strict=True):
        assert config.validate_prediction(prediction, return_errors=True) == []
        if shapes == 'masks':
            masks = []
            for region in prediction['result']:
                size = region['original_height'], region['original_width'], 4
                masks.append(brush.decode_rle(region['value']['rle']).reshape(size)[..., 3] > 0)
            masks.sort(key=np.sum)
            assert all((a.astype(bool) == b).all() for a, b in zip(ours, masks, strict=True))
    assert predictions[0]['score'] == (0.75 + 0.5) / 2


def test_supervision_reads_fiftyones_layout(written):
    supervision = pytest.importorskip('supervision')
    folder = written('fiftyone')
    data = supervision.DetectionDataset.from_coco(
        str(folder / 'data'), str(folder / 'labels.json'), force_masks=True
    )
    found = [sorted(each.mask, key=np.sum) for _, _, each in data if each.mask is not None]
    for ours, theirs in zip(truth(), [f for f in found if f], strict=True):
        assert all((a.astype(bool) == b).all() for a, b in zip(ours, theirs, strict=True))


def test_datumaros_coco_export_of_our_cvat_file_comes_home_unchanged(written, tmp_path):
    """As CVAT's "COCO 1.0" export is made: by Datumaro, with attributes of its own place."""
    datumaro = pytest.importorskip('datumaro')
    path = written('cvat').rename(tmp_path / 'train.xml').parent
    datumaro.Dataset.import_from(str(path), 'cvat').export(
        str(tmp_path / 'back'), 'coco_instances'
    )
    findings = Findings()
    corrected = find_format('coco').reader()(tmp_path / 'back', ReadOptions(), findings)
    assert {a['id'] for a in corrected['annotations']} == {5, 'x y', 1, -4, 12}
    data, counts = merge_corrections(corrected, awkward(), None, findings)
    assert data == awkward() and counts.untouched == 5
