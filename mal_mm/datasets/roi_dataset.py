"""RoIDataset: any detection dataset as one sample per box."""

from __future__ import annotations

import math
from array import array
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from mmdet.registry import DATASETS, TRANSFORMS
from mmengine.dataset import BaseDataset, Compose
from mmengine.logging import MMLogger
from PIL import Image
from torch.utils.data import Dataset

from ..config_tree import type_name
from ..formats.box_survey import survey_boxes
from .background import find_background
from .box_records import boxes_only
from .random_state import numpy_seed
from .transforms.load_any_image import LoadAnyImage

# What missing and damaged images raise; the last two come of damaged headers and PNG chunks.
UNREADABLE = (OSError, Image.DecompressionBombError, SyntaxError)
# Marks of boxes around no single object: crowds and VOC's difficult ones; groups of OpenImages,
# which mmdet does not count as ignored and spells in two ways.
IGNORED = ('ignore_flag', 'is_group_of', 'is_group_ofs')


@DATASETS.register_module()
class RoIDataset(Dataset):
    """Wrap a detection dataset of mmdet; every usable box becomes a sample.

    Boxes live in flat arrays, 28 bytes a box, shared by all workers; images are read by path when
    asked for. A video gives the boxes of each of its frames. Masks of the wrapped dataset are not
    used, and are dropped.

    Args:
        dataset: config of the wrapped dataset (or a built one). It gives images and boxes; its
            pipeline is not run.
        pipeline: transforms of a sample, which starts as dict(img_path, img_id, width, height,
            box (4,) xyxy, box_area, box_index, ann_id, is_background, gt_bboxes_labels (1,)).
        min_area: keep boxes with a larger area, in image px^2 (released 2048).
        min_side: keep boxes with both sides longer, in image px (released 2).
        views_per_box: None draws a new crop each time; k makes k samples of each box, the same
            ones every epoch; each is read and cut once and stays in memory, in each process that
            loads it.
        kept_megabytes: of memory for that, a process; further samples are read each time.
        seed: randomness of the fixed views.
        max_refetch: tries with other boxes when an image cannot be read.
        background_ratio: share of samples in [0, 1] whose box is moved to where the image has no
            box (MAL, arXiv 2301.03992, Sec. 3.1); where it finds no room, or the record gives no
            width and height, it stays. The sample's `is_background` tells; RoICrop cuts such a
            box out as it is, so that no pixel of any box is seen.

    Raises:
        ValueError: no box is left, or an argument outside its range.
    """

    def __init__(
        self,
        dataset: dict | BaseDataset,
        pipeline: list[dict],
        min_area: float = 0,
        min_side: float = 0,
        views_per_box: int | None = None,
        kept_megabytes: int = 1024,
        seed: int = 0,
        max_refetch: int = 20,
        background_ratio: float = 0.0,
        lazy_init: bool = False,
    ) -> None:
        if views_per_box is not None and views_per_box < 1:
            raise ValueError(f'`views_per_box` must be None or at least 1, got {views_per_box}')
        if not 0 <= background_ratio <= 1:
            raise ValueError(f'`background_ratio` must lie in [0, 1], got {background_ratio}')
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.pipeline = Compose([_build_transform(t) for t in pipeline])
        self.min_area = min_area
        self.min_side = min_side
        self.views_per_box = views_per_box
        self._kept: dict[int, dict] = {}
        self._room = kept_megabytes * 2**20 if views_per_box else 0
        self.seed = seed
        self.max_refetch = max_refetch
        self.background_ratio = background_ratio
        # epoch and seed, shared: workers that outlive an epoch must see the next one
        self._epoch_and_seed = torch.tensor([-1, 0]).share_memory_()
        self._unreadable: set[str] = set()
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict:
        """Classes and palette of the wrapped dataset."""
        return self.dataset.metainfo

    def set_epoch(self, epoch: int, seed: int) -> None:
        """Make all that is random in a sample a function of (seed, epoch, index) alone.

        Without a call numpy's global generator, which differs between workers and runs, is used.
        Reaches running workers too; call it before the epoch's first batch is asked for. Fixed
        views stay as they are.

        Args:
            epoch: from 0.
            seed: of the training, from 0.

        Raises:
            ValueError: a negative number.
        """
        if epoch < 0 or seed < 0:
            raise ValueError(f'`epoch` and `seed` must not be negative, got {epoch} and {seed}')
        self._epoch_and_seed.copy_(torch.tensor([epoch, seed]))

    def full_init(self) -> None:
        """Read all boxes once. Does nothing the second time."""
        if self._fully_initialized:
            return
        self.dataset.full_init()
        self.dataset = boxes_only(self.dataset)
        coordinates = array('d')  # float32 would move boxes of exactly `min_area` to either side
        image_index, labels, box_index = array('i'), array('i'), array('i')
        ignored = 0
        for index in range(len(self.dataset)):
            for number, instance in enumerate(self.dataset.get_data_info(index)['instances']):
                if any(instance.get(flag) for flag in IGNORED):
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
        step = len(boxes) // 10_000 + 1  # of millions, some tell
        strange = '; '.join(self._survey(boxes[::step][positive[::step]]))
        if not large.any():
            fix = strange or ('lower `min_area` / `min_side`' if small else 'check `ann_file`')
            raise ValueError(
                f'no box left to train on: {of_all}, dropped: {reasons or "none"}; {fix}'
            )
        logger = MMLogger.get_current_instance()
        said = f'RoIDataset: {int(large.sum())} of {of_all}, dropped: {reasons or "none"}'
        if large.sum() < 0.8 * (ignored + len(boxes)) or strange:
            logger.warning(f'{said}{f"; {strange}" if strange else ""}')
        else:
            logger.info(said)
        return large

    @staticmethod
    def _survey(boxes: np.ndarray) -> list[str]:
        return survey_boxes(boxes, np.full((len(boxes), 2), np.nan))

    def __len__(self) -> int:
        if not self._fully_initialized:
            self.full_init()
        return len(self.boxes_xyxy) * (self.views_per_box or 1)

    def get_sample(self, box_number: int) -> dict:
        """The sample before the pipeline, see the class; may be moved to the background."""
        box = self.boxes_xyxy[box_number]
        info = self.dataset.get_data_info(int(self.image_index[box_number]))
        instance = int(self.box_index[box_number])
        sample = dict(
            img_path=info['img_path'],
            img_id=info.get('img_id'),
            width=info.get('width'),
            height=info.get('height'),
            box=box,
            box_area=float((box[2] - box[0]) * (box[3] - box[1])),
            box_index=instance,
            ann_id=info['instances'][instance].get('ann_id'),
            is_background=False,
            gt_bboxes_labels=self.labels[box_number : box_number + 1].astype(np.int64),
        )
        if self.background_ratio and np.random.random_sample() < self.background_ratio:
            self._move_to_background(sample, info)
        return sample

    @staticmethod
    def _move_to_background(sample: dict, info: dict) -> None:
        height, width = info.get('height'), info.get('width')
        if not height or not width:
            return
        # crowds and boxes that the filters leave out are objects too
        taken = np.array([each['bbox'] for each in info['instances']], dtype=np.float64)
        place = find_background(sample['box'], taken, (height, width), np.random)
        if place is not None:
            sample.update(box=place, is_background=True, ann_id=None)

    def _random_state(self, index: int) -> AbstractContextManager:
        """What a sample is drawn in: the key that names it, or numpy's generator as it stands."""
        if self.views_per_box is not None:
            return numpy_seed(self.seed, *divmod(index, self.views_per_box))
        epoch, seed = self._epoch_and_seed.tolist()
        return numpy_seed(seed, epoch, index) if epoch >= 0 else nullcontext()

    def __getitem__(self, index: int) -> dict:
        if not self._fully_initialized:
            self.full_init()
        for _ in range(self.max_refetch + 1):
            if index in self._kept:
                return dict(self._kept[index])
            with self._random_state(index):
                sample = self.get_sample(index // (self.views_per_box or 1))
                try:
                    packed = self.pipeline(sample)
                    self._keep(index, packed)
                    return packed
                except UNREADABLE as error:
                    self._warn_once(sample['img_path'], error)
            index = (index + self._step) % len(self)
        raise OSError(
            f'{self.max_refetch + 1} images in a row cannot be read, the last is '
            f'{sample["img_path"]}; check `data_root` and `data_prefix`'
        )

    def _keep(self, index: int, packed: dict) -> None:
        pixels = packed.get('inputs')
        # a start mask is as large as one of the crop's three planes
        size = pixels.nbytes * 4 // 3 if isinstance(pixels, torch.Tensor) else 0
        if 0 < size <= self._room:
            self._room -= size
            self._kept[index] = dict(packed)

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


def _build_transform(transform: Any) -> Any:
    """Build it, LoadImageFromFile as LoadAnyImage: crops are cut of the pixels labeling sees."""
    if not isinstance(transform, dict):
        return transform
    if type_name(transform) == 'LoadImageFromFile':
        transform = {**transform, 'type': LoadAnyImage}
    return TRANSFORMS.build(transform)
