"""Feature pyramid with lateral connections on the blocks of a plain ViT."""

from __future__ import annotations

from mmdet.models.necks import FPN
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class ViTFPN(BaseModule):
    """Three levels, each the sum of a block of the ViT and of the coarser level.

    The levels stand where MAL resizes the encoder's map for small, medium and large objects, so
    that an ablation compares these two and nothing else.

    Source: MAL, arXiv 2301.03992, Sec. 3.2 ("feature pyramid networks on top of Standard ViTs ...
    causes a performance drop", no details); FPN, arXiv 1612.03144, on blocks of a ViT as in
    ViTDet, arXiv 2203.16527, Fig. 2 (a): an earlier block makes a finer level. ViTDet's finest
    level, four times the map, has no reader here and is left out.

    Args:
        in_channels: channels of one block.
        channels: of every level.
    """

    # cells of each level to one of the encoder's map, along each side; finest first
    scales = (2, 1, 0.5)

    def __init__(self, in_channels: int, channels: int = 256) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = channels
        self.finer = nn.ConvTranspose2d(in_channels, in_channels, 2, stride=2)
        self.coarser = nn.MaxPool2d(2)
        self.fpn = FPN([in_channels] * 3, channels, num_outs=3)

    def forward(self, feature: Tensor) -> dict[float, Tensor]:
        """Build the pyramid.

        Args:
            feature: (N, k C, h, w), the tokens of k >= 3 blocks side by side, later blocks last;
                the last three are used.

        Returns:
            For each of `scales` a map (N, `channels`, scale * h, scale * w).

        Raises:
            ValueError: fewer than three blocks.
        """
        blocks = feature.split(self.in_channels, dim=1)[-3:]
        if len(blocks) < 3:
            raise ValueError(
                f'ViTFPN reads three blocks of the encoder, got {len(blocks)}; set '
                '`out_indices` of ViTEncoder, such as (5, 8, 11) for 12 blocks'
            )
        early, middle, late = blocks
        levels = self.fpn((self.finer(early), middle, self.coarser(late)))
        return dict(zip(self.scales, levels, strict=True))
