"""A JSON object with one very long list, read an entry at a time.

The text is held, the parsed entries are not: as Python objects, annotations take five times the
memory of their text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .json_file import parsing, read_text

_SPACE = re.compile(r'[ \t\n\r]*')
_decode = json.JSONDecoder().raw_decode


class JsonStream:
    """The values of an object by key; one list among them entry by entry.

    Args:
        path: a JSON file in UTF-8, plain or gzipped.
        long_key: key of the long list.

    Attributes:
        value: the file's value, whose long list, where it is one, is an empty one here.
        count: entries of the long list.

    Raises:
        AnnotationError: the file cannot be read or is not JSON; says where and how to fix it.
    """

    def __init__(self, path: str | Path, long_key: str) -> None:
        self.path = Path(path)
        self.count = 0
        self._start: int | None = None
        self._text = read_text(self.path)
        with parsing(self.path):
            cursor = _Cursor(self._text)
            self.value = (
                self._read_object(cursor, long_key) if cursor.at_a('{') else cursor.value()
            )
            cursor.end()

    def _read_object(self, cursor: _Cursor, long_key: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key in cursor.members():
            if key == long_key and cursor.at_a('['):
                values[key] = []
                self._start = cursor.position
                self.count = sum(1 for _ in cursor.entries())
            else:
                values[key] = cursor.value()
        return values

    def __iter__(self) -> Iterator[Any]:
        """The entries of the long list, parsed anew each time."""
        if self._start is not None:
            yield from _Cursor(self._text, self._start).entries()


class _Cursor:
    """A place in a JSON text."""

    def __init__(self, text: str, position: int = 0) -> None:
        self.text = text
        self.position = position

    def at_a(self, char: str) -> bool:
        space = _SPACE.match(self.text, self.position)
        assert space  # of no length, if need be
        self.position = space.end()
        return self.text.startswith(char, self.position)

    def take(self, char: str) -> bool:
        found = self.at_a(char)
        self.position += found
        return found

    def expect(self, char: str) -> None:
        if not self.take(char):
            raise json.JSONDecodeError(f"Expecting '{char}' delimiter", self.text, self.position)

    def value(self) -> Any:
        self.at_a('')
        value, self.position = _decode(self.text, self.position)
        return value

    def members(self) -> Iterator[str]:
        """Keys of an object; the caller reads the value behind each."""
        self.expect('{')
        if self.take('}'):
            return
        while True:
            if not self.at_a('"'):
                raise json.JSONDecodeError(
                    'Expecting property name enclosed in double quotes', self.text, self.position
                )
            key = self.value()
            self.expect(':')
            yield key
            if self.take('}'):
                return
            self.expect(',')

    def entries(self) -> Iterator[Any]:
        self.expect('[')
        if self.take(']'):
            return
        while True:
            yield self.value()
            if self.take(']'):
                return
            self.expect(',')

    def end(self) -> None:
        self.at_a('')
        if self.position != len(self.text):
            raise json.JSONDecodeError('Extra data', self.text, self.position)
