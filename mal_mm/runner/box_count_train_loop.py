"""BoxCountTrainLoop: a training as long as the number of boxes asks for."""

from __future__ import annotations

import math

from mmdet.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader


@LOOPS.register_module()
class BoxCountTrainLoop(EpochBasedTrainLoop):
    """mmengine's epoch loop; the number of epochs follows from the number of boxes.

    Few boxes are memorised when they come back too often, many need to be seen. The length
    is clamp(boxes * iters_per_box, min_iters, max_iters) iterations, rounded up to whole epochs.
    Schedules without `end` follow it.

    Args:
        runner, dataloader: see mmengine; the dataset is a RoIDataset.
        iters_per_box: iterations for each box.
        min_iters, max_iters: bounds of the length.
        max_epochs: a length that overrides the rule; None for none.
        **kwargs: further arguments of mmengine's EpochBasedTrainLoop.

    Raises:
        ValueError: the bounds are not 0 < min_iters <= max_iters.
        TypeError: the dataset does not tell its boxes.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        iters_per_box: float = 1.0,
        min_iters: int = 300,
        max_iters: int = 3000,
        max_epochs: int | None = None,
        **kwargs: object,
    ) -> None:
        if not 0 < min_iters <= max_iters:
            raise ValueError(
                f'`min_iters` and `max_iters` must be 0 < min_iters <= max_iters, got {min_iters} '
                f'and {max_iters}'
            )
        super().__init__(runner, dataloader, max_epochs=max_epochs or 1, **kwargs)
        if max_epochs is not None:
            return
        dataset = self.dataloader.dataset
        if not hasattr(dataset, 'boxes_xyxy'):
            raise TypeError(
                f'BoxCountTrainLoop needs a RoIDataset, got {type(dataset).__name__}; set '
                "train_cfg.type='EpochBasedTrainLoop' and max_epochs"
            )
        boxes, length = len(dataset.boxes_xyxy), len(self.dataloader)
        wanted = min(max(boxes * iters_per_box, min_iters), max_iters)
        self._max_epochs = math.ceil(wanted / length)
        self._max_iters = self._max_epochs * length
        runner.logger.info(
            f'{boxes} boxes: {self._max_epochs} epochs of {length} iterations '
            f'({self._max_iters} in all)'
        )
