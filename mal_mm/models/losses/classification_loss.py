"""Classification losses beside the masks: off by default."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor, nn

SOURCES = ('instance_head', 'encoder', 'class_token')


@MODELS.register_module()
class ClassificationLoss(nn.Module):
    """Let the student also tell the class of what the crop shows.

    Source: MAL's supplement, Sec. 2, which tries three ways and finds none that helps:
    - 'instance_head': a fully connected layer on what the first one of the instance head K gives
      ("a significant performance drop");
    - 'encoder': two of them on the mean of the encoder's map ("no improvement or loss");
    - 'class_token': the ViT's own classification head, one layer on its class token (the same).

    Args:
        in_channels: length of the vectors.
        source: one of the three.
        num_classes: classes of the data set.
        channels: width of the hidden layer of 'encoder' (not said there).
        loss_weight: factor of the mean over the batch (not said there).

    Raises:
        ValueError: unknown `source`, or no `num_classes`.
    """

    def __init__(
        self,
        in_channels: int,
        source: str = 'instance_head',
        num_classes: int | None = None,
        channels: int = 256,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if source not in SOURCES:
            raise ValueError(f'`source` must be one of {SOURCES}, got {source!r}')
        if not num_classes:
            raise ValueError(f'`num_classes` must be the number of classes, got {num_classes}')
        self.source = source
        self.loss_weight = loss_weight
        hidden = [nn.Linear(in_channels, channels), nn.ReLU()] if source == 'encoder' else []
        last = nn.Linear(channels if hidden else in_channels, num_classes)
        self.fcs = nn.Sequential(*hidden, last)

    def forward(self, vectors: Tensor, labels: Tensor, is_background: Tensor) -> Tensor:
        """Scalar loss.

        Args:
            vectors: (N, C) of the student, see `MaskNetwork.class_vectors`.
            labels: (N,) class of the box, int64.
            is_background: (N,) bool, the crop shows no box and is left out.
        """
        # -100 is what cross_entropy ignores; a batch of nothing else must give 0, not NaN
        targets = torch.where(is_background, -100, labels)
        total = F.cross_entropy(self.fcs(vectors).float(), targets, reduction='sum')
        return self.loss_weight * total / (~is_background).sum().clamp(min=1)
