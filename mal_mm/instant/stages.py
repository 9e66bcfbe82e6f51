"""From probabilities to masks that fit their box and the colours of the picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from kornia.color import rgb_to_lab
from torch import Tensor

from mal_mm_runtime.grabcut import colour_cut
from mal_mm_runtime.stages import SIZE, SLACK, shrink

from ..geometry import draw_box_masks
from .box_threshold import box_consistent_thresholds, recentre
from .colour_field import colour_field


@dataclass(frozen=True)
class DrawnCrops:
    """What comes out of the colour stages.

    Attributes:
        probs: (N, SIZE, SIZE) in [0, 1], above 0.5 in the mask.
        before: (N, SIZE, SIZE) the same before colours were looked at.
    """

    probs: Tensor
    before: Tensor


def colour_stages(
    probs: Tensor,
    crop_boxes: Tensor,
    in_image: Tensor,
    crops: Sequence[np.ndarray],
    map_each: Callable = map,
) -> DrawnCrops:
    """Threshold, GrabCut, colour field.

    Args:
        probs: (N, s, s) in [0, 1] on a map of any size.
        crop_boxes: (N, 4) `(x0, y0, x1, y1)` in crop pixels, unrounded.
        in_image: (N, 4) part of each crop that the image fills, likewise.
        crops: N crops (S, S, 3) uint8 RGB.
        map_each: `map`, or the map of a thread pool: GrabCut works on one crop at a time.

    Returns:
        Probabilities before and after.
    """
    S, device = crops[0].shape[0], probs.device
    probs = F.interpolate(probs[:, None], (SIZE, SIZE), mode='bilinear')[:, 0]
    boxes = crop_boxes * (SIZE / S)
    margin = SLACK * (crop_boxes[:, 2:] - crop_boxes[:, :2])
    loose = torch.cat([crop_boxes[:, :2] - margin, crop_boxes[:, 2:] + margin], 1)
    allowed = draw_box_masks(loose, S, SIZE) > 0.5
    centred = recentre(probs, box_consistent_thresholds(probs, boxes)) * allowed

    pixels = [shrink(crop) for crop in crops]
    cuts = list(map_each(colour_cut, centred.cpu().numpy(), pixels, allowed.cpu().numpy()))
    cut = torch.from_numpy(np.stack(cuts)).to(device)
    colours = torch.from_numpy(np.stack(pixels)).to(device).permute(0, 3, 1, 2)
    shown = draw_box_masks(in_image, S, SIZE) > 0.5
    settled = colour_field((centred + cut) / 2, rgb_to_lab(colours / 255), shown, allowed)
    return DrawnCrops(settled, centred)
