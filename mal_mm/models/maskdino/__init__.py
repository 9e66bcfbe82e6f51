"""Mask DINO (arXiv 2206.02777): boxes and masks from one set of queries."""

from .criterion import MaskDINOCriterion
from .decoder_output import DecoderOutput, SelectionOutput
from .denoising import DenoisingNoise, DenoisingQueries, QueryDenoising
from .mask_points import PointSampler
from .maskdino import MaskDINO
from .maskdino_decoder import MaskDINODecoder
from .maskdino_fusion_head import MaskDINOFusionHead
from .maskdino_head import MaskDINOHead
from .matching import HybridMatcher
from .pixel_decoder import MaskDINOPixelDecoder
from .targets import SegmentTargets

__all__ = [
    'DecoderOutput',
    'DenoisingNoise',
    'DenoisingQueries',
    'HybridMatcher',
    'MaskDINO',
    'MaskDINOCriterion',
    'MaskDINODecoder',
    'MaskDINOFusionHead',
    'MaskDINOHead',
    'MaskDINOPixelDecoder',
    'PointSampler',
    'QueryDenoising',
    'SegmentTargets',
    'SelectionOutput',
]
