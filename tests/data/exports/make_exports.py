"""Made the exports in this folder: small data sets, written by the libraries of other tools.

Run in an environment with supervision 0.31.2, datumaro 1.13.12 and label-studio-sdk 2.1.2, in an
empty folder; files that no test reads were deleted afterwards. The masks: a rectangle with a hole
(Katze), two rectangles (dog) and one in a corner (dog); a third picture is empty.
"""

import json
from pathlib import Path

import datumaro as dm
import numpy as np
import supervision as sv
from datumaro.components.annotation import Bbox, Mask
from label_studio_sdk.converter import brush
from PIL import Image

NAMES = ['Katze', 'dog']
SIZES = {'first one.png': (30, 20), 'second.png': (12, 16), 'empty.png': (9, 5)}


def masks() -> dict[str, list[tuple[np.ndarray, int]]]:
    ring, parts = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    corner = np.zeros((16, 12), bool)
    ring[2:12, 3:15] = True
    ring[5:8, 6:10] = False
    parts[14:19, 1:6] = parts[15:18, 20:28] = True
    corner[:5, :4] = True
    return {'first one.png': [(ring, 0), (parts, 1)], 'second.png': [(corner, 1)], 'empty.png': []}


def by_supervision(pictures: Path) -> None:
    annotations = {}
    for name, things in masks().items():
        found = sv.Detections.empty()
        if things:
            stack = np.stack([mask for mask, _ in things])
            boxes = sv.mask_to_xyxy(stack).astype(float)
            found = sv.Detections(boxes, stack, class_id=np.array([label for _, label in things]))
        annotations[str(pictures / name)] = found
    data = sv.DetectionDataset(NAMES, list(annotations), annotations)
    data.as_yolo(
        'supervision_yolo/images', 'supervision_yolo/labels', 'supervision_yolo/data.yaml'
    )
    data.as_pascal_voc('supervision_pascal_voc/JPEGImages', 'supervision_pascal_voc/Annotations')
    Path('supervision_coco').mkdir()
    data.as_coco(annotations_path='supervision_coco/annotations.json')


def by_datumaro(pictures: Path) -> None:
    for kind in ('datumaro', 'voc', 'cvat', 'coco_instances', 'yolo_ultralytics', 'open_images'):
        items = []
        for name, things in masks().items():
            width, height = SIZES[name]
            annotations = []
            for number, (mask, label) in enumerate(things):
                x0, y0, x1, y1 = sv.mask_to_xyxy(mask[None])[0]
                common = dict(label=label, id=number, group=number + 1)
                common['attributes'] = {'occluded': False}
                annotations.append(Mask(mask, **common))
                annotations.append(Bbox(x0, y0, x1 - x0 + 1, y1 - y0 + 1, **common))
            is_val = kind.startswith('yolo') and name.startswith('second')
            media = dm.Image.from_file(path=str(pictures / name), size=(height, width))
            subset = 'val' if is_val else 'train'
            items.append(
                dm.DatasetItem(
                    id=Path(name).stem, subset=subset, media=media, annotations=annotations
                )
            )
        data = dm.Dataset.from_iterable(items, categories=NAMES, media_type=dm.Image)
        data.export(f'datumaro_{kind}', kind, save_media=kind.startswith('yolo'))


def by_label_studio() -> None:
    tasks = []
    for number, (name, things) in enumerate(masks().items(), start=1):
        regions = [
            {
                'id': f'r{place}',
                'type': 'brushlabels',
                'from_name': 'tag',
                'to_name': 'image',
                'original_width': mask.shape[1],
                'original_height': mask.shape[0],
                'image_rotation': 0,
                'value': {
                    'format': 'rle',
                    'rle': brush.mask2rle((mask * 255).astype(np.uint8)),
                    'brushlabels': [NAMES[label]],
                },
            }
            for place, (mask, label) in enumerate(things)
        ]
        if regions:
            done = {'id': number + 9, 'was_cancelled': False, 'result': regions}
            data = {'image': f'/data/upload/3/0a1b2c3d-{name}'.replace(' ', '_')}
            tasks.append({'id': number, 'data': data, 'annotations': [done], 'predictions': []})
    Path('label_studio_sdk').mkdir()
    Path('label_studio_sdk/export.json').write_text(json.dumps(tasks))


if __name__ == '__main__':
    folder = Path('pictures')
    folder.mkdir()
    for name, (width, height) in SIZES.items():
        Image.fromarray(np.full((height, width, 3), 40, np.uint8)).save(folder / name)
    by_supervision(folder)
    by_datumaro(folder)
    by_label_studio()
