"""A user's COCO-style files: there or not, and which classes they have. Needs no MMDetection."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..formats import AnnotationError
from ..formats.videos import read_annotations

_VAL = ('val_ann', 'val_img_root')


def class_names(ann: str | Path) -> tuple[str, ...]:
    """Names of the categories of a COCO-style file, in the order of the file.

    That order is the one in which MMDetection numbers the classes, whatever the ids.

    Raises:
        AnnotationError: there is no category, one has no name, or two have the same.
    """
    names = [each.get('name') for each in read_annotations(ann).get('categories') or []]
    if not names:
        raise AnnotationError(f"{ann}: has no 'categories'; MMDetection needs at least one")
    for name in names:
        if not isinstance(name, str) or not name or names.count(name) > 1:
            raise AnnotationError(
                f"{ann}: the categories' names must be texts and differ, got {name!r} "
                f'{names.count(name)} x; MMDetection tells classes apart by them'
            )
    return tuple(names)


def check_same_classes(path: str | Path, classes: Sequence[str], ann: str | Path) -> None:
    """Refuse a file whose classes would get other numbers than those of `ann`.

    Raises:
        AnnotationError: the names or their order differ.
    """
    others = class_names(path)
    if others != classes:
        n = next(
            (n for n, pair in enumerate(zip(classes, others, strict=False)) if len({*pair}) > 1),
            min(len(classes), len(others)),
        )
        first, second = (names[n] if n < len(names) else None for names in (classes, others))
        raise AnnotationError(
            f'{path}: its categories differ from those of {ann} (number {n + 1} is {second!r}, '
            f'there {first!r}); MMDetection numbers classes in the order of the file, so both '
            "need the same 'categories' in the same order"
        )


@dataclass(frozen=True)
class OwnData:
    """A user's COCO-style files.

    Attributes:
        ann: what to learn from.
        img_root: folder that its file names are relative to.
        val_ann: human masks to judge by; None: no evaluation.
        val_img_root: folder of its images.
    """

    ann: Path
    img_root: Path
    val_ann: Path | None = None
    val_img_root: Path | None = None

    @classmethod
    def of(cls, args: Namespace) -> OwnData | None:
        """What the command line says; None where it leaves the data to the config.

        Raises:
            ValueError: arguments that go together are not together.
            OSError: a file or folder does not exist.
        """
        given: dict[str, Any] = {
            name: getattr(args, name, None) for name in ('ann', 'img_root', *_VAL)
        }
        if not any(given.values()):
            return None
        for first, second in (('ann', 'img_root'), _VAL):
            if (given[first] is None) != (given[second] is None) or given['ann'] is None:
                raise ValueError(
                    f'--{first} and --{second}'.replace('_', '-')
                    + ' go together'
                    + (', and with --ann' if given['ann'] is None else '')
                )
        for name, path in given.items():
            if path is not None and not (path.is_dir() if 'root' in name else path.is_file()):
                kind = 'folder' if 'root' in name else 'file'
                raise OSError(f'--{name.replace("_", "-")} {path}: no such {kind}')
        return cls(**given)
