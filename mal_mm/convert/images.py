"""Images that go along with their annotations, or are looked at for their sizes."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..formats.image_hints import name_hint
from ..formats.paths import resolve_under
from .findings import Findings
from .objects import Picture


def copy_image(picture: Picture, img_root: Path | None, to: Path, findings: Findings) -> None:
    """Copy an image into a new folder; one that is not there is said.

    Args:
        picture: of the file.
        img_root: the image folder; None: nothing is copied.
        to: where to.
        findings: gets what is missing.
    """
    if img_root is None:
        return
    source = resolve_under(img_root, picture.name)
    if not source.is_file():
        findings.note('image not found, not copied', f'{picture.name}{name_hint(source)}')
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, to)
