"""A torchvision built for CUDA beside a CPU torch."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_library = None  # the schemas vanish with the object that declared them


def declare_torchvision_ops() -> bool:
    """Declare torchvision's operator schemas if its compiled library cannot do so.

    `mmpretrain.models` imports torchvision, which attaches fake implementations to
    `torchvision::nms`. Where its `_C.so` cannot be loaded (built for CUDA, torch for the CPU; or
    for another torch) the operator does not exist and the import dies with "operator
    torchvision::nms does not exist", taking even mmdet's register_all_modules() with it. With the
    schemas declared, transforms, box_iou and roi_align work; torchvision.ops.nms does not, and
    nothing here calls it.

    Returns:
        Whether schemas had to be declared. Does nothing where torchvision is missing. To be called
        before it is imported.
    """
    global _library
    if _library is not None:
        return False
    spec = importlib.util.find_spec('torchvision')
    if spec is None or not spec.submodule_search_locations:
        return False
    import torch

    for compiled in Path(next(iter(spec.submodule_search_locations))).glob('_C.*'):
        try:
            torch.ops.load_library(str(compiled))
            return False
        except OSError:
            continue
    _library = torch.library.Library('torchvision', 'DEF')
    for name in ('nms', 'qnms'):
        _library.define(f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    return True
