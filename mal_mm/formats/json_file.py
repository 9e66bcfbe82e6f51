"""JSON files with clear errors and at the speed of the C parser."""

from __future__ import annotations

import gc
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from .atomic import atomic_write
from .errors import AnnotationError, shorten
from .plain_file import read_plain_file

_BOMS = (
    (b'\xff\xfe\x00\x00', 'UTF-32'),
    (b'\x00\x00\xfe\xff', 'UTF-32'),
    (b'\xff\xfe', 'UTF-16'),
    (b'\xfe\xff', 'UTF-16'),
)
# What may stand at the end of a cut file: the start of a word, or of a number's second half.
_CUT_SHORT = ('true', 'false', 'null', 'NaN', 'Infinity', '-Infinity', '.', 'e+', 'e-', 'E+', 'E-')


def read_json(path: str | Path) -> Any:
    """Read a JSON file in UTF-8, plain or gzipped.

    Args:
        path: of the file.

    Returns:
        Its value.

    Raises:
        AnnotationError: the file cannot be read or is not JSON; says where and how to fix it.
    """
    path = Path(path)
    text = read_text(path)
    with parsing(path):
        return json.loads(text)


def read_text(path: Path) -> str:
    """The text of a JSON file in UTF-8, plain or gzipped; errors as for `read_json`."""
    return _decode(_read_bytes(path), path)


def write_json(data: Mapping[str, Any], path: str | Path) -> None:
    """Write an object as compact JSON in UTF-8, whole or not at all.

    Args:
        data: the object; keys are strings. numpy numbers and arrays become plain ones, bytes
            become text, NaN and infinity are written as Python's json reads them. An iterator is
            written as a list, without ever being one.
        path: where to; its folder must exist. A name ending in .gz is gzipped.

    Raises:
        AnnotationError: something JSON cannot hold; names the top-level key.
        OSError: the file cannot be written; names it.
    """
    path = Path(path)
    with atomic_write(path, 'wb') as file:
        if path.suffix == '.gz':
            # Neither time nor name inside: the same annotations give the same bytes.
            with gzip.GzipFile(filename='', fileobj=file, mode='wb', mtime=0) as zipped:
                _write_object(data, zipped, path)
        else:
            _write_object(data, file, path)


def missing_file(path: Path) -> AnnotationError:
    """What to raise where there is no annotation file."""
    return AnnotationError(f'{path}: no such annotation file; check the path')


def _read_bytes(path: Path) -> bytes:
    try:
        raw, _ = read_plain_file(path)
    except FileNotFoundError:
        raise missing_file(path) from None
    except IsADirectoryError:
        raise AnnotationError(f'{path}: is a folder; give the annotation file in it') from None
    except OSError as error:
        raise AnnotationError(f'{path}: cannot be read ({error.strerror or error})') from error
    if raw[:2] == b'\x1f\x8b':
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise AnnotationError(
                f'{path}: the gzip data is damaged or truncated ({error}); copy or download the '
                'file again'
            ) from None
    return raw


def _decode(raw: bytes, path: Path) -> str:
    for bom, encoding in _BOMS:
        if raw.startswith(bom):
            raise AnnotationError(
                f'{path}: starts with the {encoding} byte order mark; save the file as UTF-8'
            )
    if not raw.strip():
        raise AnnotationError(f'{path}: the file is empty; copy or make it again')
    if b'\x00' in raw[:4]:
        raise AnnotationError(
            f'{path}: not JSON, or JSON in UTF-16; give a COCO-style JSON file saved as UTF-8'
        )
    try:
        return raw.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        if error.reason == 'unexpected end of data':
            raise AnnotationError(f'{path}: {_TRUNCATED}') from None
        raise AnnotationError(
            f'{path}: not UTF-8 text (byte 0x{raw[error.start]:02x} at offset {error.start}); '
            'give a COCO-style JSON file saved as UTF-8'
        ) from None


_TRUNCATED = 'the file looks truncated; copy or download it again'


@contextmanager
def parsing(path: Path) -> Iterator[None]:
    """Say of json's errors which file, where and how to fix it; errors as for `read_json`."""
    try:
        with _garbage_collector_paused():
            yield
    except json.JSONDecodeError as error:
        where = f'line {error.lineno}, column {error.colno}: {error.msg}'
        fix = 'give a COCO-style JSON file'
        if _at_the_end(error):
            fix = _TRUNCATED
        raise AnnotationError(f'{path}: not valid JSON ({where}); {fix}') from None
    except RecursionError:
        raise AnnotationError(f'{path}: nested too deeply for a COCO-style file') from None
    except AnnotationError:
        raise
    except ValueError as error:  # a whole number of thousands of digits
        raise AnnotationError(f'{path}: not usable JSON ({error})') from None


def _at_the_end(error: json.JSONDecodeError) -> bool:
    """Whether the text stops where the parser gave up, as it does when a file was cut."""
    rest = error.doc[error.pos :].strip()
    if not rest or error.msg.startswith('Unterminated string'):
        return True
    if 'escape' in error.msg:
        return len(rest) < len('\\u0000"')
    return any(start.startswith(rest) for start in _CUT_SHORT)


@contextmanager
def _garbage_collector_paused() -> Iterator[None]:
    # Millions of fresh containers make the collector walk all of them time and again, for
    # nothing: parsing takes half as long again with it.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _write_object(data: Mapping[str, Any], file: IO[bytes] | gzip.GzipFile, path: Path) -> None:
    separator = b'{'
    for key, value in data.items():
        file.write(separator + _encode(str(key)) + b':')
        separator = b','
        try:
            for piece in _pieces(value):
                file.write(piece)
        except (TypeError, ValueError, RecursionError) as error:
            raise AnnotationError(f'{path}: {key!r} cannot be written as JSON: {error}') from error
    file.write(b'}' if separator == b',' else b'{}')


def _pieces(value: object, at_once: int = 2000) -> Iterator[bytes]:
    # json.dump goes through Python for every value, json.dumps through C but holds the whole
    # text: some entries at a time are as quick as the one and as modest as the other.
    if not isinstance(value, (list, Iterator)):
        yield _encode(value)
        return
    entries, separator = iter(value), b'['
    while some := list(islice(entries, at_once)):
        yield separator + _encode(some)[1:-1]
        separator = b','
    yield b']' if separator == b',' else b'[]'


def _plain(value: object) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, bytes):
        return value.decode('ascii')
    raise TypeError(f'{shorten(value)} ({type(value).__name__})')


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(',', ':'), default=_plain)
_ASCII_ENCODER = json.JSONEncoder(separators=(',', ':'), default=_plain)


def _encode(value: object) -> bytes:
    try:
        return _ENCODER.encode(value).encode('utf-8')
    except UnicodeEncodeError:  # half of a surrogate pair: JSON can escape it, UTF-8 cannot
        return _ASCII_ENCODER.encode(value).encode('ascii')
