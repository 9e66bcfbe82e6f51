"""UntrainedLabeler: what labelers that draw with pretrained weights have in common.

N crops, S x S crop pixels, s x s cells of the maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor

from ..geometry import draw_box_masks
from ..precision import autocast, check_precision


class UntrainedLabeler(BaseModel):
    """Has the interface that labeling asks of MaskAutoLabeler, and no loss.

    Subclasses have `predict_maps` and `init_weights`, which loads what they draw with.

    Args:
        precision: of the network, one of `mal_mm.precision.PRECISIONS`.
        test_cfg: how to label, see `MaskLabeler`.
        data_preprocessor: config of the MALDataPreprocessor.
    """

    # values of `refine` that labeling may ask for
    refinements = ('none', 'instant')
    # the box is handed over as it is, not rounded outward to whole crop pixels
    exact_boxes = False

    def __init__(
        self,
        precision: str = 'auto',
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        preprocessor = MODELS.build({'type': 'MALDataPreprocessor', **(data_preprocessor or {})})
        super().__init__(data_preprocessor=preprocessor)
        self.precision = check_precision(precision)
        self.test_cfg = dict(test_cfg or {})

    def forward(
        self, inputs: dict[str, Tensor], data_samples: list | None = None, mode: str = 'tensor'
    ) -> list | Tensor:
        """mmengine's entry; `inputs` as MALDataPreprocessor makes them."""
        if mode == 'predict':
            return self.predict(inputs, data_samples or [])
        if mode == 'tensor':
            return self.predict_maps(inputs['images'], inputs['crop_boxes'])
        raise ValueError(
            f"`mode` must be 'predict' or 'tensor', got {mode!r}; a labeler of the kind "
            f'{type(self).__name__} is not trained: configs/mal/small_set.py is one that is'
        )

    def predict(self, inputs: dict[str, Tensor], data_samples: list) -> list:
        """Attach `pred_instances` with `mask_probs` (1, S, S), crop frame, to each data sample."""
        images, crop_boxes = inputs['images'], inputs['crop_boxes']
        S = images.shape[-1]
        maps = self.predict_maps(images, crop_boxes, flip=self.test_cfg.get('flip', False))
        probs = F.interpolate(maps[:, None], (S, S), mode='bilinear')[:, 0].sigmoid_()
        probs *= draw_box_masks(crop_boxes, S, S)
        for sample, mask_probs in zip(data_samples, probs, strict=True):
            sample.pred_instances = InstanceData(mask_probs=mask_probs[None])
        return data_samples

    def autocast(self, device: torch.device) -> AbstractContextManager:
        """Half precision or not, as `precision` says."""
        return autocast(self.precision, self, device)

    def check_refine(self, refine: str) -> None:
        """Refuse a refinement that is for others; ValueError."""
        if refine not in self.refinements:
            raise ValueError(
                f'`refine` must be one of {self.refinements} for {type(self).__name__}, got '
                f'{refine!r}'
            )


def is_untrained(model: Mapping[str, Any]) -> bool:
    """Whether the config of a model is that of a labeler without training."""
    kind = MODELS.get(model['type']) if isinstance(model['type'], str) else model['type']
    return isinstance(kind, type) and issubclass(kind, UntrainedLabeler)
