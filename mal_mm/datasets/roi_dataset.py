"""RoIDataset: any detection dataset as one sample per box."""

from __future__ import annotations

import math
from array import array

import numpy as np
from mmdet.registry import DATASETS, TRANSFORMS
from mmengine.dataset import BaseDataset, Compose
from mmengine.logging import MMLogger
from PIL import Image
from torch.utils.data import Dataset

from .random_state import numpy_seed

# What missing and damaged images raise; the last two come of damaged headers and PNG chunks.
UNREADABLE = (OSError, Image.DecompressionBombError, SyntaxError)


@DATASETS.register_module()
class RoIDataset(Dataset):
    """Wrap a detection dataset of mmdet; every usable box becomes a sample.

    Boxes live in flat arrays, 28 bytes a box, shared by all workers; images are read by path when
    asked for. Masks of the wrapped dataset are never read.

    Args:
        dataset: config of the wrapped dataset (or a built one). It gives images and boxes; its
            pipeline is not run.
        pipeline: transforms of a sample, which starts as dict(img_path, img_id, box (4,) xyxy,
            box_area, box_index, gt_bboxes_labels (1,)).
        min_area: keep boxes with a larger area, in image px^2 (released 2048).
        min_side: keep boxes with both sides longer, in image px (released 2).
        views_per_box: None draws a new crop each time; k makes k samples of each box, the same
            ones every epoch.
        seed: randomness of the fixed views.
        max_refetch: tries with other boxes when an image cannot be read.

    Raises:
        ValueError: no box is left.
    """

    def __init__(
        self,
        dataset: dict | BaseDataset,
        pipeline: list[dict],
        min_area: float = 0,
        min_side: float = 0,
        views_per_box: int | None = None,
        seed: int = 0,
        max_refetch: int = 20,
        lazy_init: bool = False,
    ) -> None:
        if views_per_box is not None and views_per_box < 1:
            raise ValueError(f'`views_per_box` must be None or at least 1, got {views_per_box}')
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.pipeline = Compose(
            [TRANSFORMS.build(t) if isinstance(t, dict) else t for t in pipeline]
        )
        self.min_area = min_area
        self.min_side = min_side
        self.views_per_box = views_per_box
        self.seed = seed
        self.max_refetch = max_refetch
        self._unreadable: set[str] = set()
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict:
        """Classes and palette of the wrapped dataset."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Read all boxes once. Does nothing the second time."""
        if self._fully_initialized:
            return
        self.dataset.full_init()
        coordinates = array('d')  # float32 would move boxes of exactly `min_area` to either side
        image_index, labels, box_index = array('i'), array('i'), array('i')
        ignored = 0
        for index in range(len(self.dataset)):
            for number, instance in enumerate(self.dataset.get_data_info(index)['instances']):
                if instance.get('ignore_flag', 0):
                    ignored += 1
                    continue
                coordinates.extend(instance['bbox'])
                image_index.append(index)
                labels.append(instance['bbox_label'])
                box_index.append(number)
        boxes = np.frombuffer(coordinates, dtype=np.float64).reshape(-1, 4)
        keep = self._usable(boxes, ignored)
        self.boxes_xyxy = np.empty((int(keep.sum()), 4), dtype=np.float32)
        for k in range(4):  # column by column, lest a million boxes cost 32 MB more for a moment
            self.boxes_xyxy[:, k] = boxes[keep, k]
        self.image_index = np.frombuffer(image_index, dtype=np.int32)[keep]
        self.labels = np.frombuffer(labels, dtype=np.int32)[keep]
        self.box_index = np.frombuffer(box_index, dtype=np.int32)[keep]
        self._fully_initialized = True

    def _usable(self, boxes: np.ndarray, ignored: int) -> np.ndarray:
        """(n, 4) -> (n,) bool; says how many boxes go and why."""
        with np.errstate(invalid='ignore', over='ignore'):
            finite = np.isfinite(boxes.astype(np.float32)).all(axis=1)
            width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
            positive = finite & (width > 0) & (height > 0)
            large = positive & (width * height > self.min_area)
            large &= (width > self.min_side) & (height > self.min_side)
        small = int((positive & ~large).sum())
        dropped = {
            'crowds or ignored': ignored,
            'not finite': int((~finite).sum()),
            'without extent': int((finite & ~positive).sum()),
            f'with area <= {self.min_area} px^2 or a side <= {self.min_side} px': small,
        }
        reasons = ', '.join(f'{count} {reason}' for reason, count in dropped.items() if count)
        of_all = f'{ignored + len(boxes)} boxes in {len(self.dataset)} images'
        if not large.any():
            cure = 'lower `min_area` / `min_side`' if small else 'check `ann_file`'
            raise ValueError(
                f'no box left to train on: {of_all}, dropped: {reasons or "none"}; {cure}'
            )
        MMLogger.get_current_instance().info(
            f'RoIDataset: {int(large.sum())} of {of_all}, dropped: {reasons or "none"}'
        )
        return large

    def __len__(self) -> int:
        if not self._fully_initialized:
            self.full_init()
        return len(self.boxes_xyxy) * (self.views_per_box or 1)

    def get_sample(self, index: int) -> dict:
        """The sample before the pipeline, see the class."""
        box = self.boxes_xyxy[index]
        info = self.dataset.get_data_info(int(self.image_index[index]))
        return dict(
            img_path=info['img_path'],
            img_id=info.get('img_id'),
            box=box,
            box_area=float((box[2] - box[0]) * (box[3] - box[1])),
            box_index=int(self.box_index[index]),
            gt_bboxes_labels=self.labels[index : index + 1].astype(np.int64),
        )

    def __getitem__(self, index: int) -> dict:
        if not self._fully_initialized:
            self.full_init()
        for _ in range(self.max_refetch + 1):
            box_number, view = divmod(index, self.views_per_box or 1)
            sample = self.get_sample(box_number)
            try:
                if self.views_per_box is None:
                    return self.pipeline(sample)
                with numpy_seed(self.seed, box_number, view):
                    return self.pipeline(sample)
            except UNREADABLE as error:
                self._warn_once(sample['img_path'], error)
            index = (index + self._step) % len(self)
        raise OSError(
            f'{self.max_refetch + 1} images in a row cannot be read, the last is '
            f'{sample["img_path"]}; check `data_root` and `data_prefix`'
        )

    @property
    def _step(self) -> int:
        # The boxes of a bad image, and often bad images too, stand side by side. Golden-ratio
        # steps leave any such stretch soon; sharing no divisor with the length, they meet no
        # sample twice.
        step = max(round(0.618 * len(self)), 1)
        while math.gcd(step, len(self)) > 1:
            step += 1
        return step

    def _warn_once(self, path: str, error: Exception) -> None:
        if path not in self._unreadable:
            self._unreadable.add(path)
            MMLogger.get_current_instance().warning(
                f'cannot read {path} ({type(error).__name__}: {error}); its boxes are skipped'
            )
