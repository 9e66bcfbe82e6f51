"""What a missing image may be called instead."""

from __future__ import annotations

import os
import unicodedata
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote


def name_hint(path: str | Path) -> str:
    """Why a file may not be found under its name: '; there is ...', or nothing.

    Looks at what makes names differ between systems: backslashes, %20 and its like, letter case,
    composed and decomposed accents.
    """
    path = str(path)
    for other, why in (
        (path.replace('\\', '/'), 'folders are separated by / here'),
        (unquote(path), 'the name is encoded as in a web address'),
        (unquote(path.replace('\\', '/')), 'the name is encoded as in a web address'),
    ):
        if other != path and '\0' not in other and os.path.isfile(other):  # noqa: PTH113
            return f'; there is {Path(other).name!r}: {why}'
    found = _without_case(path.replace('\\', '/'))
    if found is None or found == path:
        return ''
    forms = [unicodedata.normalize('NFC', each) for each in (found, path)]
    why = 'letter case differs' if forms[0] != forms[1] else 'accents are encoded otherwise'
    return f'; there is {Path(found).name!r}: {why}'


def _without_case(path: str) -> str | None:
    """The one file whose name differs in letter case and the encoding of accents alone."""
    known = Path(path)
    rest = []
    while not known.is_dir() and known != known.parent:
        rest.append(known.name)
        known = known.parent
    for name in reversed(rest):
        entry = _entries(str(known)).get(_folded(name))
        if entry is None:
            return None
        known = known / entry
    return str(known) if known.is_file() else None


@lru_cache(maxsize=4)
def _entries(folder: str) -> dict[str, str]:
    try:
        return {_folded(name): name for name in sorted(os.listdir(folder))}  # noqa: PTH208
    except OSError:
        return {}


def _folded(name: str) -> str:
    return unicodedata.normalize('NFC', unicodedata.normalize('NFC', name).casefold())
