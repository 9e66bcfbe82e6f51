"""The labeler: encoder, decoder, losses, student and teacher."""

from .data_preprocessor import MALDataPreprocessor
from .decoders import AttentionDecoder
from .encoders import MemoisedEncoder, ViTEncoder
from .losses import CRFLoss, MeanField, MILLoss
from .mask_auto_labeler import MaskAutoLabeler
from .mask_network import MaskNetwork

__all__ = [
    'AttentionDecoder',
    'CRFLoss',
    'MALDataPreprocessor',
    'MILLoss',
    'MaskAutoLabeler',
    'MaskNetwork',
    'MeanField',
    'MemoisedEncoder',
    'ViTEncoder',
]
