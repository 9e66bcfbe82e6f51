"""The labeler: encoder, decoder, losses, student and teacher. And segmenters for phase 2."""

from .data_preprocessor import MALDataPreprocessor
from .decoders import AttentionDecoder, FullyConnectedDecoder, FullyConvDecoder, QueryDecoder
from .encoders import CachedEncoder, ConvNeXtEncoder, SwinEncoder, ViTEncoder
from .instant_labeler import InstantLabeler
from .losses import ClassificationLoss, CRFLoss, MeanField, MILLoss, StartMaskLoss
from .mask_auto_labeler import MaskAutoLabeler
from .mask_network import MaskNetwork
from .maskdino import (
    MaskDINO,
    MaskDINODecoder,
    MaskDINOFusionHead,
    MaskDINOHead,
    MaskDINOPixelDecoder,
)
from .necks import ViTFPN
from .prompted_labeler import PromptedLabeler
from .segmenter_heads import QualityFCNMaskHead, QualityMask2FormerHead

__all__ = [
    'AttentionDecoder',
    'CRFLoss',
    'CachedEncoder',
    'ClassificationLoss',
    'ConvNeXtEncoder',
    'FullyConnectedDecoder',
    'FullyConvDecoder',
    'InstantLabeler',
    'MALDataPreprocessor',
    'MILLoss',
    'MaskAutoLabeler',
    'MaskDINO',
    'MaskDINODecoder',
    'MaskDINOFusionHead',
    'MaskDINOHead',
    'MaskDINOPixelDecoder',
    'MaskNetwork',
    'MeanField',
    'PromptedLabeler',
    'QualityFCNMaskHead',
    'QualityMask2FormerHead',
    'QueryDecoder',
    'StartMaskLoss',
    'SwinEncoder',
    'ViTEncoder',
    'ViTFPN',
]
