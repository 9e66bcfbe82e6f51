"""Encoders: crop -> one (N, C, h, w) feature map."""

from .conv_stem import ConvStem
from .memoised_encoder import MemoisedEncoder
from .vit_encoder import ViTEncoder

__all__ = ['ConvStem', 'MemoisedEncoder', 'ViTEncoder']
