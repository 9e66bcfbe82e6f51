"""Weights that others have published: what there is, under which licence, and how to get it.

The list is zoo.yml beside this file. Nothing is downloaded unasked, the licence is said before,
and the digest of a file is written down when it is first used: it is refused if it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlparse

import yaml

from ..formats.atomic import atomic_write
from ..formats.plain_file import sha256
from .errors import CheckpointError
from .local_file import is_address
from .public_weights import fetch_weights, find_weights, weight_folders

FILE = Path(__file__).with_suffix('.yml')
KINDS = {
    'instant': 'labels without training',
    'encoder': 'training starts from it',
    'labeler': "the authors' trained labeler",
    'masks': "an annotation file with the authors' masks",
    'segmenter': 'Mask DINO, for phase 2',
}
_SUM = '.sha256'


@dataclass(frozen=True)
class ZooEntry:
    """Something that others have published.

    Attributes:
        name: in the list.
        kind: one of `KINDS`.
        licence: of the file, by its SPDX name or near to it.
        page: where its owner tells of it.
        address: of the file; None: none is known outside the owner's page.
        config: ours that uses it, under `mal_mm::`; None where there is none.
        sha256: what the digest begins with, as the owner has put it into the name; '' unknown.
    """

    name: str
    kind: str
    licence: str
    page: str
    address: str | None = None
    config: str | None = None
    sha256: str = ''

    @property
    def non_commercial(self) -> bool:
        """Whether the licence forbids commercial use."""
        return '-NC' in self.licence

    def terms(self) -> str:
        """The licence in a sentence, to be shown before use."""
        extra = ': no commercial use' if self.non_commercial else ''
        extra += ', changed versions under the same licence' if '-SA' in self.licence else ''
        return f'{self.name}: licence {self.licence}{extra}; published at {self.page}'


@cache
def zoo() -> Mapping[str, ZooEntry]:
    """All entries by name, in the order of the list."""
    listed = yaml.safe_load(FILE.read_text('utf-8'))
    return MappingProxyType({name: ZooEntry(name, **entry) for name, entry in listed.items()})


def find_entry(name: str) -> ZooEntry:
    """The entry of a name.

    Raises:
        ValueError: there is none; names those there are.
    """
    if name not in zoo():
        raise ValueError(f'nothing is published under {name!r}; there are {", ".join(zoo())}')
    return zoo()[name]


def obtain(
    entry: ZooEntry,
    file: str | Path | None = None,
    address: str | None = None,
    offline: str | Path | None = None,
    may_download: bool | Callable[[str], bool] = False,
    announce: Callable[[str], object] = print,
) -> Path:
    """The file of an entry on this machine, checked.

    Args:
        entry: see `find_entry`.
        file: where it lies; then nothing is sought.
        address: in place of the entry's, such as one that its page gives.
        offline: look into this folder only, and never download.
        may_download: fetch what is missing; a function is asked first, with a question.
        announce: told the licence, and what is downloaded.

    Raises:
        CheckpointError: it is not here and may not be fetched, or has changed since its first use.
    """
    announce(entry.terms())
    if file is None:
        file = _sought(entry, address or entry.address, offline, may_download, announce)
    path = Path(file)
    if not path.is_file():
        raise CheckpointError(f'{path}: no such file')
    _check_digest(path, entry, announce)
    return path


def _sought(
    entry: ZooEntry,
    address: str | None,
    offline: str | Path | None,
    may_download: bool | Callable[[str], bool],
    announce: Callable[[str], object],
) -> Path:
    if offline is not None and not Path(offline).is_dir():
        raise CheckpointError(f'--offline {offline} is no folder')
    if address is None:
        raise CheckpointError(
            f'no address of {entry.name} is known to mal_mm. Look it up at {entry.page}, and give '
            'it with --address, or download the file yourself and give it with --file'
        )
    if not is_address(address):
        raise CheckpointError(f'--address {address} is no http(s) address')
    folders = [Path(offline)] if offline is not None else weight_folders()
    found = find_weights(address, folders)
    if found is not None:
        return found
    name = Path(urlparse(address).path).name
    if offline is not None:
        raise CheckpointError(f'{name} is not in {offline}; it comes from {address}')
    question = f'{name} is not here. Download {address} under the licence {entry.licence}?'
    allowed = may_download(question) if callable(may_download) else may_download
    if not allowed:
        raise CheckpointError(
            f'{name} is not on this machine (sought in {" and ".join(map(str, folders))}). Fetch '
            f'it from {address} and name its folder with --offline, or add --download'
        )
    return fetch_weights(address, announce)


def _check_digest(path: Path, entry: ZooEntry, announce: Callable[[str], object]) -> None:
    """Compare with the owner's name of the file, and with the first use."""
    digest, note = sha256(path), path.with_name(path.name + _SUM)
    published = entry.sha256 if entry.address and path.name == Path(entry.address).name else ''
    if not digest.startswith(published):
        raise CheckpointError(
            f'{path}: its SHA-256 begins with {digest[:8]}, published is {published}; the file is '
            'damaged or another one. Delete it and download it again'
        )
    try:
        expected = note.read_text('utf-8').split()[0]
    except FileNotFoundError:
        with suppress(OSError):  # a folder that is only read
            with atomic_write(note) as stream:
                stream.write(f'{digest}  {path.name}\n')  # as sha256sum writes and checks it
            announce(f'SHA-256 {digest} is kept in {note.name}')
        return
    except (OSError, IndexError) as error:
        raise CheckpointError(f'{note}: cannot be read ({error}); delete it') from error
    if digest != expected:
        raise CheckpointError(
            f'{path}: is not the file of its first use (SHA-256 {digest[:16]}..., then '
            f'{expected[:16]}...). If it was changed on purpose, delete {note}'
        )
