"""InstantLabeler: masks from boxes with a pretrained encoder and no training at all.

N crops, S x S crop pixels, h x h tokens.
"""

from __future__ import annotations

import torch
from mmdet.registry import MODELS
from torch import Tensor

from ..checkpoints.loading import CheckpointError
from ..instant import vote_and_walk
from .untrained_labeler import UntrainedLabeler


@MODELS.register_module()
class InstantLabeler(UntrainedLabeler):
    """Draw masks by the likeness of tokens.

    The stages behind the tokens' vote (threshold, GrabCut, colours) are LabelingEngine's, with
    `refine='instant'`.

    Args:
        encoder: config of a pretrained encoder, such as DINOv2; its last layer is used.
        rounds: see `instant.vote_and_walk`.
        precision, test_cfg, data_preprocessor: see `UntrainedLabeler`.
    """

    def __init__(
        self,
        encoder: dict,
        rounds: int = 2,
        precision: str = 'auto',
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(precision, test_cfg, data_preprocessor)
        self.encoder = MODELS.build({'frozen': True, **encoder})
        self.rounds = rounds

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

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) normalised crops -> (N, C, h, h) float32 tokens."""
        with self.autocast(images.device):
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
        self.check_refine(refine)
        tokens = self.encode(images)
        if flip:
            tokens = tokens + self.encode(images.flip(-1)).flip(-1)
        probs = vote_and_walk(tokens, crop_boxes, images.shape[-1], self.rounds)
        return probs.clamp(1e-6, 1 - 1e-6).logit()
