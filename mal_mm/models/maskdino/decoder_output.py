"""What Mask DINO's decoder gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


class SelectionOutput(NamedTuple):
    """Predictions of the encoder's tokens that became queries ("interm" in the authors' code).

    Attributes:
        class_logits: (B, Q, K).
        boxes: (B, Q, 4) cx, cy, w, h as shares of the padded image; 1 at invalid grid proposals.
        mask_logits: (B, Q, h, w); None where the model predicts boxes alone.
    """

    class_logits: Tensor
    boxes: Tensor
    mask_logits: Tensor | None


@dataclass
class DecoderOutput:
    """Predictions of all stages, for Q matching queries behind P denoising ones.

    Stage 0 is that of the queries before any layer, stage i follows layer i; the last is final.

    Attributes:
        class_logits: per stage (B, P + Q, K).
        boxes: per stage (B, P + Q, 4) cx, cy, w, h as shares of the padded image, in [0, 1].
        mask_logits: per stage (B, P + Q, h, w); None but for the last at inference, and None
            everywhere where the model predicts boxes alone.
        selection: the query selection's predictions; None where queries are learned.
        topk_indices: (B, Q) tokens that became queries, best first, counted in the decoder's
            order of levels; None where queries are learned.
    """

    class_logits: list[Tensor]
    boxes: list[Tensor]
    mask_logits: list[Tensor | None]
    selection: SelectionOutput | None
    topk_indices: Tensor | None
