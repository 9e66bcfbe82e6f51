"""Encoders: crop -> one (N, C, H / stride, W / stride) feature map."""

from .cached_encoder import CachedEncoder, find_cached_encoders, log_cache_counts
from .conv_stem import ConvStem
from .convnext_encoder import ConvNeXtEncoder
from .swin_encoder import SwinEncoder
from .vit_encoder import ViTEncoder

__all__ = [
    'CachedEncoder',
    'ConvNeXtEncoder',
    'ConvStem',
    'SwinEncoder',
    'ViTEncoder',
    'find_cached_encoders',
    'log_cache_counts',
]
