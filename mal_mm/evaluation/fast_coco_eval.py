"""COCO's evaluation in C++, where the package faster-coco-eval is installed."""

from __future__ import annotations

import importlib.util

from .exact_ids import with_exact_ids


def use_fast_coco_eval() -> bool:
    """Let MMDetection's CocoMetric count with faster-coco-eval if that is installed.

    The scores are pycocotools' to the last digit but one (a test compares them). Its
    `init_as_pycocotools` would put other classes under pycocotools' name for everything in the
    process; here only CocoMetric's COCOeval is another, and its summary stays pycocotools' own.
    With or without the package, ids may be of any kind, see `exact_ids`.

    Returns:
        Whether it is installed.
    """
    from mmdet.datasets.api_wrappers import COCOeval
    from mmdet.evaluation.metrics import coco_metric

    installed = importlib.util.find_spec('faster_coco_eval') is not None
    coco_metric.COCOeval = fast_coco_eval() if installed else with_exact_ids(COCOeval)
    return installed


def fast_coco_eval() -> type:
    """pycocotools' COCOeval with faster-coco-eval's `evaluate` and `accumulate`.

    Raises:
        ImportError: faster-coco-eval is not installed.
    """
    from faster_coco_eval import COCOeval_faster
    from pycocotools.cocoeval import COCOeval

    class FastCOCOeval(COCOeval_faster):
        # The package's own summary takes other limits of detections than pycocotools'.
        summarize = COCOeval.summarize

        def __init__(self, gt: object, found: object, iou_type: str) -> None:
            # it prints what pycocotools prints, so that a log shows which of both counted
            super().__init__(gt, found, iou_type, print_function=print)

    return with_exact_ids(FastCOCOeval)
