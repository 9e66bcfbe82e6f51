"""A cut along colours, started from probabilities (OpenCV's GrabCut).

s x s pixels of one crop.
"""

from __future__ import annotations

import cv2
import numpy as np

# below and above it a pixel is what it seems to be, whatever its colour
SURE_BACKGROUND, SURE_FOREGROUND = 0.03, 0.97
ITERATIONS = 2
# a cut that changes the area by more than this factor has lost the object
MAX_CHANGE = 2.0


def colour_cut(probs: np.ndarray, pixels: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Cut the object out along colours.

    Source: Rother et al., GrabCut, SIGGRAPH 2004, in OpenCV. Without the sure zones photographs
    get holes.

    Args:
        probs: (s, s) float32 in [0, 1].
        pixels: (s, s, 3) uint8 RGB.
        allowed: (s, s) bool, where the object may be.

    Returns:
        (s, s) bool, a part of `allowed`; `probs` cut at 0.5 where colours do not help.
    """
    start = (probs > 0.5) & allowed
    labels = np.where(start, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[(probs < SURE_BACKGROUND) | ~allowed] = cv2.GC_BGD
    labels[(probs > SURE_FOREGROUND) & allowed] = cv2.GC_FGD
    before = int(start.sum())
    # GrabCut wants pixels of both for its colour models
    if before == 0 or before == start.size:
        return start
    # its k-means draws from OpenCV's generator, one a thread: the same masks in every run
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    bgr = np.ascontiguousarray(pixels[:, :, ::-1])
    cv2.grabCut(bgr, labels, None, *models, ITERATIONS, cv2.GC_INIT_WITH_MASK)
    cut = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    after = int(cut.sum())
    return cut if before / MAX_CHANGE < after < before * MAX_CHANGE else start
