"""Sample set `photos`: five photographs of scikit-image with ten hand-drawn instance masks.

The masks are part of mal_mm. The photographs are not: they are taken, unchanged, from scikit-image
where it is installed, otherwise from its wheel.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from ..pip_download import default_cache, download_wheel
from .coco_writer import CC0, PUBLIC_DOMAIN, SplitWriter
from .data_dir import default_data_dir

REQUIREMENT = 'scikit-image==0.26.0'
WHEEL_PATTERN = 'scikit_image-0.26.0-*.whl'
WHEEL_MEGABYTES = 14
# One wheel whatever the machine: the photographs are the same in all of them, but not every
# Python that mal_mm runs on has one.
WHEEL_OPTIONS = (
    *('--implementation', 'cp', '--python-version', '3.11'),
    *('--platform', 'manylinux_2_28_x86_64', '--platform', 'manylinux_2_24_x86_64'),
)


def make_photos(
    out_dir: str | Path,
    data_dir: str | Path | None = None,
    wheel: str | Path | None = None,
    download: bool = False,
    announce: Callable[[str], object] = lambda message: None,
) -> dict[str, Path]:
    """Write the photographs, their boxes and their masks.

    There is one split: so few photographs are no set to learn from. The labelers that need no
    training are shown on them, and a trained one labels the boxes that it was trained on.

    Args:
        out_dir: gets photos/* (the files of scikit-image, byte by byte) and {photos,
            photos_gt}.json. Files of the same names are replaced.
        data_dir: folder with photos.json; None: the one that came with mal_mm.
        wheel: wheel of scikit-image to read; None: the installed package, then the wheel in
            `default_cache()`.
        download: let pip fetch the wheel if there is none.
        announce: told what is downloaded before it is.

    Returns:
        JSON files by name: 'photos' holds boxes only, 'photos_gt' the same annotations with masks.

    Raises:
        FileNotFoundError: the photographs or the masks are not there, and where to get them.
        ValueError: `wheel` holds other files than those that were annotated.
        RuntimeError: the download failed.
    """
    data_dir = Path(data_dir) if data_dir is not None else default_data_dir('photos')
    masks_file = data_dir / 'photos.json'
    if not masks_file.is_file():
        raise FileNotFoundError(
            f'{masks_file} is missing; `data_dir` must be the folder tools/sample_data/photos of '
            'mal_mm'
        )
    data = json.loads(masks_file.read_text())
    contents = None if wheel is not None else _read_installed(data['images'])
    if contents is None:
        path = Path(wheel) if wheel is not None else _cached_wheel(download, announce)
        contents = _read_wheel(path, data['images'])

    categories = list(dict.fromkeys(each['category'] for each in data['instances']))
    writer = SplitWriter(
        Path(out_dir),
        'photos',
        description=f'Photographs of {data["package"]}, instance masks drawn by hand for mal_mm',
        categories=categories,
        info={'url': 'https://scikit-image.org/docs/stable/api/skimage.data.html'},
    )
    for image in data['images']:
        name = image['file_name']
        instances = [
            (1 + categories.index(each['category']), _decode(each['segmentation']))
            for each in data['instances']
            if each['image'] == name
        ]
        licence = CC0 if image['licence'] == 'CC0' else PUBLIC_DOMAIN
        size_hw = (image['height'], image['width'])
        writer.add_file(name, contents[name], size_hw, instances, licence)
    return writer.write()


def _decode(rle: dict) -> np.ndarray:
    return coco_mask.decode(rle).astype(bool)


def _read_installed(images: list[dict]) -> dict[str, bytes] | None:
    """Files by name, or None unless all are there and those that were annotated."""
    spec = find_spec('skimage')  # without importing it
    if spec is None or not spec.origin:
        return None
    root = Path(spec.origin).parent.parent
    contents = {}
    for image in images:
        path = root / image['path']
        content = path.read_bytes() if path.is_file() else b''
        if not _is_annotated(image, content):
            return None
        contents[image['file_name']] = content
    return contents


def _read_wheel(wheel: Path, images: list[dict]) -> dict[str, bytes]:
    contents = {}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for image in images:
                contents[image['file_name']] = archive.read(image['path'])
    except FileNotFoundError:
        raise FileNotFoundError(f'{wheel} does not exist') from None
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f'{wheel} is no wheel of {REQUIREMENT}: {error}') from error
    for image in images:
        if not _is_annotated(image, contents[image['file_name']]):
            raise ValueError(
                f'{wheel}: {image["path"]} is not the file that was annotated (its SHA-256 is not '
                f'{image["sha256"]}); take the wheel of {REQUIREMENT}'
            )
    return contents


def _is_annotated(image: dict, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == image['sha256']


def _cached_wheel(download: bool, announce: Callable[[str], object]) -> Path:
    cache = default_cache()
    found = sorted(cache.glob(WHEEL_PATTERN))
    if found:
        return found[0]
    if not download:
        raise FileNotFoundError(
            f'the photographs come from {REQUIREMENT}, which is neither installed nor in {cache}; '
            f'pass --download ({WHEEL_MEGABYTES} MB) or --wheel FILE'
        )
    announce(
        f'downloading {REQUIREMENT} from PyPI, {WHEEL_MEGABYTES} MB, no dependencies, into '
        f'{cache}\nlicences: scikit-image: BSD-3-Clause; the photographs taken from it: CC0 or '
        'public domain'
    )
    return download_wheel(REQUIREMENT, WHEEL_PATTERN, cache=cache, options=WHEEL_OPTIONS)
