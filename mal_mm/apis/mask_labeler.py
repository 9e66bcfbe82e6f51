"""MaskLabeler: masks from boxes in three lines of Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.registry import init_default_scope

from ..checkpoints.loading import load_checkpoint
from ..labeling.engine import LabelingEngine
from ..labeling.image_io import read_image
from ..labeling.pseudo_mask import PseudoMask


class MaskLabeler:
    """A trained labeler, ready to draw masks.

        labeler = MaskLabeler('configs/mal/vit_mae_base.py', 'work_dirs/vit_mae_base/epoch_10.pth')
        for mask in labeler.label('street.jpg', [[10, 20, 200, 180]]):
            print(mask.quality, mask.mask.sum())

    Args:
        config: path of a config, or the config itself.
        checkpoint: path of its weights; None leaves them as initialised (for tests).
        device: 'cuda', 'cpu', ...; None takes the GPU if there is one.
        network: 'teacher', 'student' or 'both'. Of this and the next three, None takes what
            `model.test_cfg` says.
        flip: also look at the mirrored crop, and average.
        crop_size: side of the crops in pixels.
        mask_threshold: a pixel belongs to the mask above this probability; one, or three for
            small, medium and large boxes.
        batch_size: crops in one pass.
        amp: half precision on a GPU.
        **options: further ones of LabelingEngine (refine, margin, exact_crops,
            largest_component, ...), None likewise.

    Raises:
        CheckpointError: the checkpoint is missing, broken, or of another architecture.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path | None = None,
        device: str | torch.device | None = None,
        network: str | None = None,
        flip: bool | None = None,
        crop_size: int | None = None,
        mask_threshold: float | Sequence[float] | None = None,
        batch_size: int = 32,
        amp: bool = True,
        **options: object,
    ) -> None:
        register_all_modules(init_default_scope=False)
        init_default_scope('mmdet')
        config = config if isinstance(config, Config) else Config.fromfile(str(config))
        device = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        self.config = config
        self.model = MODELS.build(config.model)
        if checkpoint is not None:
            load_checkpoint(self.model, checkpoint)
        elif not getattr(self.model, 'needs_checkpoint', True):
            self.model.init_weights()
        self.model.to(device).eval()
        options.update(
            network=network, flip=flip, crop_size=crop_size, mask_threshold=mask_threshold
        )
        chosen = {key: value for key, value in options.items() if value is not None}
        self.engine = LabelingEngine(
            self.model, batch_size=batch_size, amp=amp, **{**self.model.test_cfg, **chosen}
        )

    def label(self, image: str | Path | np.ndarray, boxes_xyxy: np.ndarray) -> list[PseudoMask]:
        """Draw one mask per box.

        Args:
            image: path, or (H, W, 3) uint8 RGB.
            boxes_xyxy: (n, 4) image pixels, x1 > x0 and y1 > y0.

        Returns:
            One PseudoMask per box, in order.

        Raises:
            ValueError: the image or a box is not as described.
            OSError: the image file cannot be read.
        """
        if isinstance(image, (str, Path)):
            image = read_image(image)
        if not (
            isinstance(image, np.ndarray)
            and image.dtype == np.uint8
            and image.ndim == 3
            and image.shape[2] == 3
        ):
            found = (
                f'{image.dtype} {image.shape}'
                if isinstance(image, np.ndarray)
                else type(image).__name__
            )
            raise ValueError(
                f'`image` must be a path or an (H, W, 3) uint8 RGB array, got {found}'
            )
        boxes = np.asarray(boxes_xyxy, dtype=np.float64)
        if boxes.size == 0:
            boxes = boxes.reshape(0, 4)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError(
                f'`boxes_xyxy` must be (n, 4), got {boxes.shape}; one box is [[x0, y0, x1, y1]]'
            )
        height, width = image.shape[:2]
        ok = np.isfinite(boxes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)
        ok &= (boxes[:, 2:] > 0).all(1) & (boxes[:, 0] < width) & (boxes[:, 1] < height)
        if not ok.all():
            bad = int(np.flatnonzero(~ok)[0])
            raise ValueError(
                f'box {bad} {boxes[bad].tolist()} is no (x0, y0, x1, y1) with x1 > x0, y1 > y0 '
                f'that meets the {width} x {height} image'
            )
        return self.engine.label(self.engine.make_crops(image, boxes))
