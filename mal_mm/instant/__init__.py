"""Masks without training: what a box, the tokens of a frozen encoder and colours tell.

Pure functions, one stage a file, in the order in which they run. `stages.py` puts the last three
together; `models/instant_labeler.py` and `models/mask_auto_labeler.py` use the first.
"""

from mal_mm_runtime.grabcut import colour_cut

from .affinity import (
    background_seeds,
    centre_seeds,
    similarity_vote,
    token_affinity,
    vote_and_walk,
    walk,
    walk_logits,
)
from .box_threshold import box_consistent_thresholds, extent_iou, recentre
from .colour_field import colour_field
from .stages import DrawnCrops, colour_stages

__all__ = [
    'DrawnCrops',
    'background_seeds',
    'box_consistent_thresholds',
    'centre_seeds',
    'colour_cut',
    'colour_field',
    'colour_stages',
    'extent_iou',
    'recentre',
    'similarity_vote',
    'token_affinity',
    'vote_and_walk',
    'walk',
    'walk_logits',
]
