"""MaskIoUMetric: how close the labeler's masks are to human ones, during training."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from mal_mm.formats import AnnotationError, index_annotations, read_coco
from mal_mm.formats.region_rle import encode_region
from mal_mm.geometry import paste_probs
from mal_mm_runtime.box_clip import RELEASED, clip_to_box

from .mask_iou import evaluate
from .scores import SIZES
from .tables import format_class_table, format_summary


@METRICS.register_module()
class MaskIoUMetric(BaseMetric):
    """Score masks instance by instance, as `evaluate` does for files.

    Crops become masks in the image frame just as in labeling. Each is compared with the human
    mask of its own annotation id; sizes and classes are those of the file. Only instances that
    the data loader brings are scored, so that a part of a data set will do; how many it brings is
    logged, with a table and a line for each class.

    Gives `mIoU` (over instances), `class_mIoU` (over the classes' means), `mIoU_small`,
    `mIoU_medium`, `mIoU_large` (box area below 32^2, below 96^2, above), `boundary_mIoU`, and
    `box_fill_mIoU`, what the boxes themselves would score. NaN where there is no instance.

    Args:
        ann_file: COCO-style file with human masks: the one whose boxes the data loader reads,
            or one with the same annotation ids.
        mask_threshold: a pixel belongs to the mask above this probability; write here what
            `model.test_cfg` says, which a metric cannot see.
        collect_device, prefix, collect_dir: see mmengine's BaseMetric; the prefix is 'mal'.
        box_tolerance: masks are cut off so many image pixels beyond their box, or 'released', see
            LabelingEngine.

    Raises:
        AnnotationError: the file is missing, broken or not COCO-style.
        ValueError: `mask_threshold` outside its range.
    """

    default_prefix = 'mal'

    def __init__(
        self,
        ann_file: str | Path,
        mask_threshold: float,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
        box_tolerance: float | str = 0.0,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        if not 0 <= mask_threshold < 1:
            raise ValueError(f'`mask_threshold` must be in [0, 1), got {mask_threshold}')
        self.ann_file = str(ann_file)
        self.mask_threshold = mask_threshold
        self.box_tolerance = box_tolerance
        self._gt = read_coco(ann_file)
        self._gt_by_id = index_annotations(self._gt, ann_file)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the mask of each crop of a batch.

        Args:
            data_batch: unused.
            data_samples: crops with `pred_instances` -> `mask_probs` (1, S, S) in the crop frame
                and the metainfo of PackRoIInputs, `box` among it.

        Raises:
            ValueError: a crop is mirrored, or of an annotation without an id.
        """
        for sample in data_samples:
            if sample.get('flip'):
                raise ValueError('a crop is mirrored; take RandomFlip out of the val pipeline')
            if sample.get('ann_id') is None:
                raise ValueError(
                    f'a box of {sample.get("img_path")} has no annotation id to find its human '
                    'mask by; read the validation boxes with CocoBoxDataset'
                )
            image_hw = tuple(sample['ori_shape'][:2])
            probs = sample['pred_instances']['mask_probs'][0]
            pasted, top, left = paste_probs(probs, sample['window'], image_hw)
            region = (pasted > self.mask_threshold).cpu().numpy()
            if self.box_tolerance != RELEASED:
                tolerance = float(self.box_tolerance)
                region = clip_to_box(region, (top, left), sample['box'], tolerance)
            rle = encode_region(region, top, left, image_hw)
            self.results.append((sample['ann_id'], sample['img_id'], rle))

    def compute_metrics(self, results: list[tuple[Hashable, Hashable, dict]]) -> dict[str, float]:
        """Score the masks of all ranks; see the class.

        Raises:
            AnnotationError: the masks do not belong to the file.
        """
        # An instance may come several times: the sampler fills the last batch of the ranks up.
        pred = {
            ann_id: {'id': ann_id, 'image_id': image_id, 'segmentation': rle}
            for ann_id, image_id, rle in results
        }
        brought = [self._gt_by_id[ann_id] for ann_id in pred if ann_id in self._gt_by_id]
        if pred and not brought:
            raise AnnotationError(
                f'none of the {len(pred)} validation boxes is in {self.ann_file}; `ann_file` must '
                'have the annotation ids of the file that val_dataloader reads'
            )
        result = evaluate(
            {'annotations': list(pred.values())},
            {**self._gt, 'annotations': brought},
            pred_name='masks in validation',
            gt_name=self.ann_file,
        )
        MMLogger.get_current_instance().info(
            f'masks of {len(brought)} of the {len(self._gt_by_id)} annotations in '
            f'{self.ann_file}\n{format_summary(result)}\n\n{format_class_table(result)}'
        )
        masks = result['masks']
        scores = {
            'mIoU': masks['mean_iou'],
            'class_mIoU': masks['class_mean_iou'],
            **{f'mIoU_{size}': masks['size'][size]['mean_iou'] for size in SIZES},
            'boundary_mIoU': masks['boundary_iou'],
            'box_fill_mIoU': result['box_fill']['mean_iou'],
        }
        return {name: math.nan if score is None else score for name, score in scores.items()}
