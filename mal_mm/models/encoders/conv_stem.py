"""The convolutional patch embedding of the released checkpoints."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


class ConvStem(nn.Module):
    """Four 3x3 stride-2 convolutions in place of a ViT's 16x16 patch projection.

    Source: released behaviour: convolutions without bias, GroupNorm(1, eps 1e-6), GELU; a 1x1
    convolution closes the last. Drop-in for mmpretrain's PatchEmbed.

    Args:
        embed_dims: width of the tokens, divisible by 8.
        in_channels: channels of the image.
        input_size: image side for which `init_out_size` is stated.

    Raises:
        ValueError: `embed_dims` is not divisible by 8.
    """

    stride = 16

    def __init__(self, embed_dims: int, in_channels: int = 3, input_size: int = 224) -> None:
        super().__init__()
        if embed_dims % 8:
            raise ValueError(f'`embed_dims` must be divisible by 8, got {embed_dims}')
        widths = [in_channels, embed_dims // 8, embed_dims // 4, embed_dims // 2, embed_dims]
        stages = []
        for narrow, wide in pairwise(widths):
            stages.append(
                nn.Sequential(
                    nn.Conv2d(narrow, wide, 3, stride=2, padding=1, bias=False),
                    nn.GroupNorm(1, wide, eps=1e-6),
                    nn.GELU(),
                )
            )
        stages[-1].append(nn.Conv2d(embed_dims, embed_dims, 1))
        self.proj = nn.Sequential(*stages)
        self.embed_dims = embed_dims
        self.init_out_size = (input_size // self.stride, input_size // self.stride)

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """(N, C, H, W) image -> (N, h * w, embed_dims) tokens and their grid (h, w)."""
        x = self.proj(image)
        return x.flatten(2).transpose(1, 2), (x.shape[2], x.shape[3])
