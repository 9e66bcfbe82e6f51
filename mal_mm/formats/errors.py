"""What the readers and writers raise."""

from __future__ import annotations


class AnnotationError(ValueError):
    """An annotation file, or a part of it, cannot be used; says which and how to fix it."""


def shorten(value: object, limit: int = 60) -> str:
    """repr of a value from a file, short enough for one line of an error message."""
    text = repr(value)
    return text if len(text) <= limit else f'{text[: limit - 3]}...'
