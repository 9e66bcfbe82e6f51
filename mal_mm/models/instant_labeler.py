"""InstantLabeler: masks from boxes with a pretrained encoder and no training at all.

N crops, S x S crop pixels, h x h tokens.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor

from ..checkpoints.loading import CheckpointError
from ..geometry import draw_box_masks
from ..instant import vote_and_walk

PRECISIONS = ('auto', 'fp32', 'bf16')


@MODELS.register_module()
class InstantLabeler(BaseModel):
    """Draw masks by the likeness of tokens.

    Has the interface that labeling asks of MaskAutoLabeler. The stages behind the tokens' vote
    (threshold, GrabCut, colours) are LabelingEngine's, with `refine='instant'`.

    Args:
        encoder: config of a pretrained encoder, such as DINOv2; its last layer is used.
        rounds: see `instant.vote_and_walk`.
        precision: of the encoder: 'fp32', 'bf16' (autocast), or 'auto': bf16 where the hardware
            gains by it.
        test_cfg: how to label, see `MaskLabeler`.
        data_preprocessor: config of the MALDataPreprocessor.
    """

    # values of `refine` that labeling may ask for
    refinements = ('none', 'instant')

    def __init__(
        self,
        encoder: dict,
        rounds: int = 2,
        precision: str = 'auto',
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f'`precision` must be one of {PRECISIONS}, got {precision!r}')
        preprocessor = MODELS.build({'type': 'MALDataPreprocessor', **(data_preprocessor or {})})
        super().__init__(data_preprocessor=preprocessor)
        self.encoder = MODELS.build({'frozen': True, **encoder})
        self.rounds = rounds
        self.precision = precision
        self.test_cfg = dict(test_cfg or {})

    def init_weights(self) -> None:
        """Load the encoder's weights: there are no others.

        Raises:
            CheckpointError: they are missing or broken, or `init_cfg` names none: the masks of
                random weights are random.
        """
        if not self.encoder.load_pretrained():
            raise CheckpointError(
                'an InstantLabeler draws with pretrained weights and `encoder.init_cfg` names '
                "none: give it dict(type='Pretrained', checkpoint=PATH)"
            )

    def forward(
        self, inputs: dict[str, Tensor], data_samples: list | None = None, mode: str = 'tensor'
    ) -> list | Tensor:
        """mmengine's entry; `inputs` as MALDataPreprocessor makes them."""
        if mode == 'predict':
            return self.predict(inputs, data_samples or [])
        if mode == 'tensor':
            return self.encode(inputs['images'])
        raise ValueError(
            f"`mode` must be 'predict' or 'tensor', got {mode!r}; an InstantLabeler is not "
            'trained: configs/mal/small_set.py is a labeler that is'
        )

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) normalised crops -> (N, C, h, h) float32 tokens."""
        kind = images.device.type
        halved = self.precision == 'bf16' or (
            self.precision == 'auto' and gains_by_bf16(images.device)
        )
        with torch.autocast(kind, torch.bfloat16, enabled=halved):
            return self.encoder(images).float()

    @torch.no_grad()
    def predict_maps(
        self,
        images: Tensor,
        crop_boxes: Tensor,
        box_areas: Tensor | None = None,
        network: str = 'teacher',
        flip: bool = False,
        refine: str = 'instant',
    ) -> Tensor:
        """What the tokens say.

        Args:
            images: (N, 3, S, S) normalised.
            crop_boxes: (N, 4) in crop pixels.
            box_areas, network: of MaskAutoLabeler's interface; without meaning here.
            flip: also look at the mirrored crop.
            refine: 'none' or 'instant', which is for the engine.

        Returns:
            (N, h, h) float32 mask logits.

        Raises:
            ValueError: `refine` is 'mean-field', which is for a trained labeler.
        """
        if refine not in self.refinements:
            raise ValueError(
                f'`refine` must be one of {self.refinements} for an InstantLabeler, got {refine!r}'
            )
        tokens = self.encode(images)
        if flip:
            tokens = tokens + self.encode(images.flip(-1)).flip(-1)
        probs = vote_and_walk(tokens, crop_boxes, images.shape[-1], self.rounds)
        return probs.clamp(1e-6, 1 - 1e-6).logit()

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


def gains_by_bf16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are quicker than in float32 there."""
    if device.type == 'cuda':
        return torch.cuda.is_bf16_supported()
    if device.type != 'cpu':
        return False
    # without these instructions bfloat16 is emulated, and slower
    asked = (
        getattr(torch.cpu, f'_is_{name}_supported', None) for name in ('avx512_bf16', 'amx_tile')
    )
    return any(ask is not None and ask() for ask in asked)
