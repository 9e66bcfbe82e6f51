"""The job of a labeler on an annotation file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mal_mm_runtime.image_file import BITS_VARIABLE

from ..checkpoints.hub_folder import hub_folder_digest
from ..formats.plain_file import sha256
from ..labeling.job import LabelingJob
from ..labeling.plan import Selection
from ..labeling.portion_labeler import Output
from ..labeling.review import describe_marks
from ..version import __version__

if TYPE_CHECKING:
    from .mask_labeler import MaskLabeler


def make_file_job(
    labeler: MaskLabeler,
    ann: str | Path,
    img_root: str | Path,
    out: str | Path,
    selection: Selection,
    output: Output,
    threads: int = 2,
    detections: Path | None = None,
) -> LabelingJob:
    """A job that can be interrupted and resumed, with all that its result depends on written down.

    Args:
        labeler: draws the masks.
        ann, img_root, out, selection, output, threads, detections: see `LabelingJob`.
    """
    model = labeler.config.model.to_dict()
    weights = labeler.checkpoint
    if weights is None:  # then the encoder's are all there are, wherever they lie
        init_cfg = model.get('encoder', {}).pop('init_cfg', None) or {}
        weights = init_cfg.get('checkpoint') or model.pop('checkpoint', None)
    digest = hashlib.sha256(str(model).encode()).hexdigest()
    categories = selection.categories
    identity = dict(
        version=__version__,
        config=f'{Path(labeler.name).name} (sha256 of the model {digest[:16]})',
        checkpoint=weights and f'{Path(weights).name} (sha256 {_digest(weights)[:16]})',
        **{name: getattr(labeler.engine, name) for name in labeler.engine.OPTIONS},
        only_missing=selection.only_missing,
        redo=selection.redo and describe_marks(selection.redo),
        categories=categories and sorted(categories, key=str),
        min_quality=output.min_quality,
        polygons=output.polygon_tolerance,
        # how files of more than 8 bits are read, see mal_mm_runtime.image_file
        image_bits=os.environ.get(BITS_VARIABLE) or None,
    )
    return LabelingJob(
        ann, out, img_root, labeler.engine, identity, selection, threads, output, detections
    )


def _digest(weights: str | Path) -> str:
    return hub_folder_digest(weights) if Path(weights).is_dir() else sha256(weights)
