"""CocoBoxDataset: a COCO-style file read for its boxes alone."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from mmdet.datasets.base_det_dataset import BaseDetDataset
from mmdet.registry import DATASETS
from mmengine.logging import MMLogger

from ..formats.coco import split_usable
from ..formats.errors import AnnotationError
from ..formats.image_size import stated_size
from ..formats.paths import image_file_name, resolve_under
from ..formats.videos import read_annotations


@DATASETS.register_module()
class CocoBoxDataset(BaseDetDataset):
    """Boxes of a COCO-style file, or of the frames of a YouTube-VIS one, to train the labeler.

    Unlike mmdet's CocoDataset it needs neither `area` nor `segmentation`, never keeps a
    segmentation in memory, takes the categories from the file (the labeler does not tell classes
    apart), and says which boxes it leaves out and why. Crowd regions are left out.
    """

    def load_data_list(self) -> list[dict]:
        """Read the file.

        Returns:
            One dict(img_path, img_id, width, height, instances) an image that has boxes, in file
            order; instances hold bbox (xyxy), bbox_label, ignore_flag and ann_id.

        Raises:
            AnnotationError: the file is missing, broken or not COCO-style.
        """
        data = read_annotations(self.ann_file)
        usable, skips = split_usable(data, self.ann_file)  # first: it checks the ids
        categories = data.get('categories') or []
        labels = {category['id']: label for label, category in enumerate(categories)}
        if 'classes' not in self._metainfo:
            self._metainfo['classes'] = tuple(str(c.get('name', c['id'])) for c in categories)
        if skips:
            first = '; '.join(f'annotation {s.annotation_id}: {s.reason}' for s in skips[:5])
            MMLogger.get_current_instance().warning(
                f'{self.ann_file}: {len(skips)} of {len(data["annotations"])} boxes left out '
                f'({first}{"; ..." if len(skips) > 5 else ""})'
            )
        by_image: dict[object, list[dict]] = defaultdict(list)
        for index in usable:
            annotation = data['annotations'][index]
            x, y, w, h = annotation['bbox']
            by_image[annotation['image_id']].append(
                dict(
                    bbox=[x, y, x + w, y + h],
                    bbox_label=labels.get(annotation.get('category_id'), 0),
                    ignore_flag=int(bool(annotation.get('iscrowd', 0))),
                    ann_id=annotation.get('id'),
                )
            )
        if not usable:
            raise AnnotationError(
                f'{self.ann_file}: has no usable box to train on'
                + (f': annotation {skips[0].annotation_id!r}: {skips[0].reason}' if skips else '')
            )
        root = Path(self.data_prefix.get('img') or self.data_root or '.')
        records, refused = [], []
        for image in data['images']:
            if image['id'] not in by_image:
                continue
            try:
                path = resolve_under(root, image_file_name(image))
            except ValueError as error:
                refused.append(str(error))
                continue
            width, height = stated_size(image)
            records.append(
                dict(
                    img_path=str(path),
                    img_id=image['id'],
                    width=width,
                    height=height,
                    instances=by_image[image['id']],
                )
            )
        if refused:
            said = f'{self.ann_file}: {len(refused)} images left out ({refused[0]})'
            if not records:
                raise AnnotationError(said)
            MMLogger.get_current_instance().warning(said)
        return records
