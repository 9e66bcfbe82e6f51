"""MaskLabeler: masks from boxes in three lines of Python."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mal_mm_runtime.inputs import checked_boxes

from ..checkpoints.hub_folder import use_hub_folder
from ..checkpoints.loading import load_checkpoint
from ..checkpoints.public_weights import use_local_weights
from ..compat.config_bases import find_config
from ..labeling.crop import PseudoMask
from ..labeling.engine import LabelingEngine
from ..labeling.image_io import read_image
from ..labeling.plan import Selection
from ..labeling.portion_labeler import Output
from ..labeling.summary import Summary
from ..models.untrained_labeler import is_untrained
from ..precision import autocast
from .file_job import make_file_job
from .pretrained_labeler import find_pretrained

INSTANT_SIZES = ('small', 'base', 'large')


def find_device(device: str | torch.device | None) -> torch.device:
    """The device of a name; None: the GPU if there is one.

    Raises:
        ValueError: there is no such device on this machine.
    """
    try:
        found = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        torch.empty(1, device=found)  # refuses what is not there
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [''])[0]
        raise ValueError(
            f'device {str(device)!r} cannot be used here ({reason}); this machine shows '
            f'{torch.cuda.device_count()} GPUs, and cpu always works'
        ) from None
    return found


class MaskLabeler:
    """A labeler, ready to draw masks.

        labeler = MaskLabeler.instant()  # no training
        for mask in labeler.label('street.jpg', [[10, 20, 200, 180]]):
            print(mask.quality, mask.mask.sum())

        MaskLabeler('configs/mal/vit_mae_base.py', 'work_dirs/vit_mae_base/epoch_10.pth')

    Args:
        config: path of a config, 'mal_mm::NAME' for one of ours, or the config itself.
        checkpoint: path of its weights. None: an instant or prompted labeler needs none; others
            stay as initialised (for tests).
        device: 'cuda', 'cpu', ...; None takes the GPU if there is one.
        network: 'teacher', 'student' or 'both'. Of this and the next three, None takes what
            `model.test_cfg` says.
        flip: also look at the mirrored crop, and average.
        crop_size: side of the crops in pixels.
        mask_threshold: a pixel belongs to the mask above this probability; one, or three for
            small, medium and large boxes.
        batch_size: crops in one pass.
        precision: of the networks: 'fp32', 'bf16', 'fp16' (on a GPU), or 'auto': what the hardware
            gains by, and 'fp32' with `exact_crops`. None: what `model.test_cfg` says, else 'auto'.
        weights: folder of the weights of a labeler without training; None: see
            `checkpoints.public_weights.weight_folders` and `checkpoints.hub_folder`.
        download: fetch them if they are missing; a function is asked first, with a question.
        **options: further ones of LabelingEngine (refine, margin, exact_crops,
            carve_holes, ...), None likewise.

    Raises:
        CheckpointError: the checkpoint or the weights are missing, broken, or of another
            architecture.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path | None = None,
        device: str | torch.device | None = None,
        network: str | None = None,
        flip: bool | None = None,
        crop_size: int | None = None,
        mask_threshold: float | Sequence[float] | None = None,
        batch_size: int = 32,
        precision: str | None = None,
        weights: str | Path | None = None,
        download: bool | Callable[[str], bool] = False,
        **options: Any,
    ) -> None:
        init_default_scope('mmdet')
        if not isinstance(config, Config):
            config = Config.fromfile(find_config(config))
        device = find_device(device)
        self.config = config
        # what the result is said to come from
        self.name = str(config.filename or 'config')
        self.checkpoint = checkpoint
        untrained = is_untrained(config.model)
        if untrained:
            if checkpoint is not None:
                raise ValueError(
                    f'{config.model.type} is not trained and takes no checkpoint, got {checkpoint}'
                )
            config = copy.deepcopy(config)
            use_local_weights(config.model, weights, download)
            use_hub_folder(config.model, weights, download)
            self.config = config
        self.model = MODELS.build(config.model)
        if checkpoint is not None:
            load_checkpoint(self.model, checkpoint)
        elif untrained:
            self.model.init_weights()
        self.model.to(device).eval()
        options.update(
            network=network,
            flip=flip,
            crop_size=crop_size,
            mask_threshold=mask_threshold,
            precision=precision,
        )
        chosen = {key: value for key, value in options.items() if value is not None}
        asked = {**self.model.test_cfg, **chosen}
        if not untrained:  # the others have it in their config
            asked.setdefault('precision', 'auto')
        self._refuse_unknown(asked)
        self.engine = LabelingEngine(self.model, batch_size=batch_size, **asked)
        autocast(self.model.precision, self.model, device)  # refuses what is not for the device

    def _refuse_unknown(self, options: Mapping[str, object]) -> None:
        unknown = sorted(options.keys() - set(LabelingEngine.OPTIONS))
        if unknown:
            raise ValueError(
                f'{self.name}: labeling has no option {", ".join(unknown)} (`model.test_cfg`, or '
                f'an argument); remove it. There are {", ".join(LabelingEngine.OPTIONS)}'
            )

    @classmethod
    def instant(cls, size: str = 'small', **options: Any) -> MaskLabeler:
        """A labeler that needs no training: DINOv2 tokens, the box and colours.

        Args:
            size: of the encoder: 'small', 'base' or 'large'.
            **options: of the constructor, such as `device`, `weights`, `download`.

        Raises:
            ValueError: unknown `size`.
            CheckpointError: the encoder's weights are not on this machine.
        """
        if size not in INSTANT_SIZES:
            raise ValueError(f'`size` must be one of {INSTANT_SIZES}, got {size!r}')
        return cls(f'mal_mm::mal/instant_dinov2_{size}.py', **options)

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        file: str | Path | None = None,
        address: str | None = None,
        offline: str | Path | None = None,
        download: bool | Callable[[str], bool] = False,
        **options: Any,
    ) -> MaskLabeler:
        """A labeler whose weights others have published; docs/model_zoo.md lists them.

        The licence is printed. The file's digest is kept beside it at its first use.

        Args:
            name: such as 'instant-dinov2-small'.
            file: where the weights lie; None: they are sought, see `checkpoints.zoo.obtain`.
            address: in place of the one that is listed.
            offline: look into this folder only, and never download.
            download: fetch them if they are missing; a function is asked first, with a question.
            **options: of the constructor, such as `device`.

        Raises:
            ValueError: nothing is published under the name, or it is no labeler.
            CheckpointError: the file is not to be had, has changed, or is none of the kind.
        """
        return cls(*find_pretrained(name, file, address, offline, download), **options)

    def label(self, image: str | Path | np.ndarray, boxes_xyxy: np.ndarray) -> list[PseudoMask]:
        """Draw one mask per box.

        Args:
            image: path, or (H, W, 3) uint8 RGB.
            boxes_xyxy: (n, 4) image pixels, x1 > x0 and y1 > y0.

        Returns:
            One PseudoMask per box, in order.

        Raises:
            ValueError: the image or a box is not as described.
            OSError: the image file cannot be read.
        """
        if isinstance(image, (str, Path)):
            image = read_image(image)
        boxes = checked_boxes(image, boxes_xyxy)
        return self.engine.label(self.engine.make_crops(image, boxes))

    def label_file(
        self,
        ann: str | Path,
        img_root: str | Path,
        out: str | Path,
        only_missing: bool = False,
        categories: Collection[Hashable] | None = None,
        min_quality: float = 0.0,
        polygons: float | None = None,
        threads: int = 2,
        progress: Callable[[int, int], None] | None = None,
    ) -> Summary:
        """Rewrite a COCO-style annotation file with a mask for every box.

        What `mal-mm generate` does: all other fields stay, what cannot be labelled is kept and
        marked, and a run that was interrupted goes on when it is called again.

        Args:
            ann: the file with boxes.
            img_root: folder that its file names are relative to.
            out: the file to write.
            only_missing: leave annotations alone that have a mask.
            categories: names or ids to label; None: all.
            min_quality: masks of lower quality are marked `ignore`.
            polygons: write polygons, at most so many pixels off, instead of RLE.
            threads: that read images.
            progress: called with the numbers of boxes done and in all.

        Returns:
            What came out, `summary.skips` included.

        Raises:
            AnnotationError: the annotation file cannot be used.
            JobError: another run writes the same file, or one with other settings was begun.
        """
        job = make_file_job(
            self,
            Path(ann),
            Path(img_root),
            Path(out),
            Selection(only_missing, frozenset(categories) if categories else None),
            Output(min_quality, polygons),
            threads,
        )
        summary = job.run(resume=True, on_progress=progress)
        assert summary is not None  # other ranks than the first have none
        return summary
