"""What two segmenters predict, side by side, to judge by eye (MAL, supplement, Fig. 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from mal_mm.formats import annotation_to_rle
from mal_mm.visualization.overlay import display_scale, draw_masks, instance_colors

CAPTION = 28  # height of the strip with a panel's name, px
GAP = 8  # white between panels, px
SAME_OBJECT = 0.5  # IoU of boxes from which two instances get one colour


@dataclass(frozen=True)
class Instances:
    """The objects of one picture, in its frame.

    Attributes:
        boxes_xywh: (N, 4) px.
        masks: N masks, each (H, W) bool or RLE; None of a detector without masks.
    """

    boxes_xywh: np.ndarray
    masks: Sequence[Any] | None


def find_run(run: str | Path) -> tuple[Path, Path]:
    """Config and checkpoint of a run.

    Args:
        run: a work dir, whose config and last checkpoint are taken, or 'CONFIG.py,CHECKPOINT.pth'.

    Raises:
        FileNotFoundError: one of both is missing.
        ValueError: the work dir holds several configs.
    """
    config_name, comma, checkpoint_name = str(run).partition(',')
    if comma:
        config, checkpoint = Path(config_name), Path(checkpoint_name)
    else:
        folder = Path(run)
        if not folder.is_dir():
            raise FileNotFoundError(
                f'{folder} is no work dir; give one, or CONFIG.py,CHECKPOINT.pth'
            )
        configs = sorted(folder.glob('*.py'))
        if len(configs) > 1:
            names = ', '.join(each.name for each in configs)
            raise ValueError(
                f'{folder} holds several configs ({names}); say which: CONFIG.py,CHECKPOINT.pth'
            )
        config = configs[0] if configs else folder / 'the config that train.py leaves there'
        pointer = folder / 'last_checkpoint'
        checkpoint = Path(pointer.read_text().strip()) if pointer.is_file() else pointer
        if not checkpoint.is_file():  # the work dir has been moved
            checkpoint = folder / checkpoint.name
    for file in (config, checkpoint):
        if not file.is_file():
            raise FileNotFoundError(f'{file} does not exist (from {Path.cwd()})')
    return config, checkpoint


class Predictor:
    """A trained segmenter or detector of MMDetection.

    Args:
        run: see `find_run`.
        device: such as 'cuda:0' or 'cpu'.
        min_score: what a prediction needs to be shown, in [0, 1].

    Raises:
        FileNotFoundError, ValueError: see `find_run`.
    """

    def __init__(self, run: str | Path, device: str, min_score: float) -> None:
        from mmdet.apis import init_detector  # which takes seconds; to look at runs does not

        config, checkpoint = find_run(run)
        self._model = init_detector(str(config), str(checkpoint), device=device)
        self._min_score = min_score

    def __call__(self, image_rgb: np.ndarray) -> Instances:
        """Predict the objects of an (H, W, 3) uint8 picture, the surest first.

        Raises:
            ValueError: the model predicts no instances (semantic segmentation).
        """
        from mmdet.apis import inference_detector

        sample = inference_detector(self._model, np.ascontiguousarray(image_rgb[..., ::-1]))
        if 'pred_instances' not in sample:
            raise ValueError(f'{type(self._model).__name__} predicts no instances')
        found = sample.pred_instances
        found = found[found.scores >= self._min_score]
        found = found[found.scores.argsort(descending=True)].cpu().numpy()
        corners = np.asarray(found.bboxes, dtype=float).reshape(-1, 4)
        boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        masks = [*np.asarray(found.masks, dtype=bool)] if 'masks' in found else None
        if masks is not None and not corners.any():  # SOLOv2 gives masks alone
            boxes = np.array([_box_of(mask) for mask in masks]).reshape(-1, 4)
        return Instances(boxes, masks)


def true_instances(
    annotations: Sequence[Mapping[str, Any]], size_hw: tuple[int, int]
) -> Instances:
    """The human annotations of a picture, without crowds.

    Raises:
        ValueError: a mask cannot be decoded or a box is missing; the annotation is named.
    """
    single = [each for each in annotations if not each.get('iscrowd')]
    for each in single:
        if len(each.get('bbox') or ()) != 4:
            raise ValueError(f'annotation {each.get("id")!r}: `bbox` must be four numbers')
    boxes = np.array([each['bbox'] for each in single], dtype=float).reshape(-1, 4)
    return Instances(boxes, [annotation_to_rle(each, *size_hw) for each in single])


def side_by_side(image_rgb: np.ndarray, panels: Mapping[str, Instances]) -> np.ndarray:
    """Draw the same picture once for each panel, an object in the same colour everywhere.

    Args:
        image_rgb: (H, W, 3) uint8.
        panels: name -> its objects; the first panel gives the colours.

    Returns:
        (H', W', 3) uint8: the panels from left to right, each below its name.
    """
    scale = display_scale(image_rgb.shape[:2])
    places = same_objects([each.boxes_xywh for each in panels.values()])
    palette = instance_colors(1 + max((max(each, default=0) for each in places), default=0))
    drawn = []
    for (name, instances), place in zip(panels.items(), places, strict=True):
        boxes = instances.boxes_xywh if instances.masks is None else None
        colors = palette[np.array(place, dtype=int)]
        picture = draw_masks(image_rgb, instances.masks, boxes, colors, scale=scale)
        drawn += [_captioned(picture, f'{name} ({len(place)})'), _blank(picture, GAP)]
    return np.concatenate(drawn[:-1], axis=1)


def same_objects(boxes_xywh: Sequence[np.ndarray]) -> list[list[int]]:
    """Number the objects of several predictions, so that an object has one number in all.

    An instance is the not yet taken object that its box overlaps most, from an IoU of
    `SAME_OBJECT` on; else it is a new one.

    Args:
        boxes_xywh: of each prediction (N, 4) px.

    Returns:
        Of each prediction N numbers, each once.
    """
    known = np.zeros((0, 4))
    numbers = []
    for boxes in boxes_xywh:
        iou = np.zeros((len(boxes), len(known)))
        if iou.size:
            iou = mask_utils.iou(boxes.astype(float), known, [0] * len(known))
        mine: list[int] = []
        for row, box in zip(iou, boxes, strict=True):
            row = row.copy()
            row[[number for number in mine if number < len(row)]] = 0
            best = int(row.argmax()) if len(row) and row.max() >= SAME_OBJECT else len(known)
            if best == len(known):
                known = np.concatenate([known, np.asarray(box, dtype=float)[None]])
            mine.append(best)
        numbers.append(mine)
    return numbers


def sheet(pictures: Sequence[np.ndarray], width: int = 1200) -> np.ndarray:
    """Pictures below each other, all `width` px wide, on white: (H, width, 3) uint8."""
    rows = []
    for picture in pictures:
        height = max(1, round(picture.shape[0] * width / picture.shape[1]))
        how = cv2.INTER_AREA if width < picture.shape[1] else cv2.INTER_CUBIC
        scaled = cv2.resize(picture, (width, height), interpolation=how)
        rows += [scaled, np.full((GAP, width, 3), 255, np.uint8)]
    return np.concatenate(rows[:-1])


def _box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return (0, 0, 0, 0)
    return (
        columns[0],
        rows[0],
        columns[-1] - columns[0] + 1,
        rows[-1] - rows[0] + 1,
    )


def _captioned(picture: np.ndarray, text: str) -> np.ndarray:
    strip = np.full((CAPTION, picture.shape[1], 3), 255, np.uint8)
    place = (4, CAPTION - 9)
    cv2.putText(strip, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([strip, picture])


def _blank(picture: np.ndarray, width: int) -> np.ndarray:
    return np.full((picture.shape[0] + CAPTION, width, 3), 255, np.uint8)
