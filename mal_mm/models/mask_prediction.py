"""MaskPrediction: what a trained labeler says about crops.

N crops, S x S crop pixels, s x s mask cells (s about S / 4).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor

from ..geometry import draw_box_masks
from ..instant import walk_logits
from ..precision import autocast

if TYPE_CHECKING:
    from .losses import CRFLoss
    from .mask_network import MaskNetwork

NETWORKS = ('teacher', 'student', 'both')
# none: as the networks say; mean-field: averaged with the CRF loss's labels; instant: the stages
# of mal_mm/instant, of which the walk between tokens is done here and the others by the engine
REFINEMENTS = ('none', 'mean-field', 'instant')


def refinement_name(refine: str | bool) -> str:
    """One of `REFINEMENTS`, also for the False and True of configs of the first version."""
    if isinstance(refine, bool):
        return 'mean-field' if refine else 'none'
    return refine


class MaskPrediction:
    """The part of MaskAutoLabeler that predicts.

    A mixin: `student`, `teacher`, `crf_loss`, `mask_frame` and `test_cfg` are MaskAutoLabeler's.
    """

    student: MaskNetwork
    teacher: MaskNetwork
    crf_loss: CRFLoss
    mask_frame: Callable[[dict[str, Tensor], int], tuple[Tensor, Tensor]]
    test_cfg: dict[str, Any]

    # values of `refine` that labeling may ask for
    refinements = REFINEMENTS
    exact_boxes = False
    # of the networks when they predict, see `mal_mm.precision`; LabelingEngine sets it. None: the
    # precision around the call
    precision: str | None = None

    @torch.no_grad()
    def predict_probs(
        self,
        images: Tensor,
        crop_boxes: Tensor,
        box_areas: Tensor,
        network: str = 'teacher',
        flip: bool = False,
        refine: str = 'none',
    ) -> Tensor:
        """Mask probabilities on the crop.

        Source: released behaviour: `predict_maps` bilinear to the crop, sigmoid, times the box
        mask.

        Args:
            images, crop_boxes, box_areas, network, flip, refine: see `predict_maps`.

        Returns:
            (N, S, S) float32 in [0, 1], zero outside the box.
        """
        S = images.shape[-1]
        probs = _resize(self.predict_maps(images, crop_boxes, box_areas, network, flip, refine), S)
        if refine != 'mean-field':  # then they are logits
            probs.sigmoid_()
        return probs.mul_(draw_box_masks(crop_boxes, S, S))

    @torch.no_grad()
    def predict_maps(
        self,
        images: Tensor,
        crop_boxes: Tensor,
        box_areas: Tensor,
        network: str = 'teacher',
        flip: bool = False,
        refine: str = 'none',
    ) -> Tensor:
        """What the networks say, at their own size.

        Source: released behaviour: mean of the networks' logits, then of both flips.

        Args:
            images: (N, 3, S, S) normalised.
            crop_boxes: (N, 4) in crop pixels.
            box_areas: (N,) in image px^2, on the CPU.
            network: 'teacher', 'student' or 'both'.
            flip: also look at the mirrored crop.
            refine: one of `REFINEMENTS`; neither is in the released code. 'mean-field' averages
                with the CRF loss's labels, 'instant' lets the mask flow between like tokens.

        Returns:
            (N, s, s) float32, mask logits; with 'mean-field' probabilities.

        Raises:
            ValueError: unknown `network` or `refine`.
        """
        for name, value, known in (
            ('network', network, NETWORKS),
            ('refine', refine, REFINEMENTS),
        ):
            if value not in known:
                raise ValueError(f'`{name}` must be one of {known}, got {value!r}')
        networks = dict(
            teacher=[self.teacher], student=[self.student], both=[self.student, self.teacher]
        )[network]
        shared_encoder = self.student.encoder is self.teacher.encoder

        def look(view: Tensor) -> tuple[Tensor, Tensor]:
            logits, feature = [], None
            with self._autocast(view.device):
                for net in networks:
                    if feature is None or not shared_encoder:
                        feature = net.encode(view)
                    logits.append(net.decode(feature, box_areas).float())
            return torch.stack(logits).mean(0), feature

        logits, feature = look(images)
        if flip:
            logits = (logits + look(images.flip(-1))[0].flip(-1)) / 2
        if refine == 'none':
            return logits
        if refine == 'instant':
            tokens = networks[-1].last_layer(feature).float()
            return walk_logits(logits, tokens, crop_boxes, images.shape[-1])
        probs = logits.sigmoid()
        frame = self.mask_frame(dict(images=images, crop_boxes=crop_boxes), probs.shape[-1])
        labels = self.crf_loss.mean_field(frame[0], probs, frame[1])
        # the average keeps the network's own doubt, which the quality of the mask is read from
        return (probs + labels) / 2

    def _autocast(self, device: torch.device) -> AbstractContextManager:
        if self.precision is None:
            return nullcontext()
        # float16 on a GPU: what has trained in it stays in its range
        return autocast(self.precision, self.teacher, device, on_gpu=torch.float16)

    def predict(self, inputs: dict[str, Tensor], data_samples: list) -> list:
        """Attach `pred_instances` with `mask_probs` (1, S, S), crop frame, to each data sample."""
        probs = self.predict_probs(
            inputs['images'],
            inputs['crop_boxes'],
            inputs['box_areas'],
            self.test_cfg.get('network', 'teacher'),
            self.test_cfg.get('flip', False),
            refinement_name(self.test_cfg.get('refine', 'none')),
        )
        for sample, mask_probs in zip(data_samples, probs, strict=True):
            sample.pred_instances = InstanceData(mask_probs=mask_probs[None])
        return data_samples


def _resize(maps: Tensor, size: int) -> Tensor:
    return F.interpolate(maps[:, None], (size, size), mode='bilinear', align_corners=False)[:, 0]
