"""The papers' figures, as printed: one place that tables, docs and configs take them from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_suffix('.yml')
Cell = float | int | str | None


def figure(paper: str, table: str, row: str, column: str = 'value') -> Cell:
    """One figure of a paper.

    Args:
        paper: a name of `papers()`, such as 'MAL'.
        table: a name of `tables(paper)`, such as '1' or 'Sec. 4.2'.
        row: a name of `rows(paper, table)`, such as 'MAL, Mask2Former, Swin-Small'.
        column: such as 'AP val'; the figures of a section are in 'value'.

    Returns:
        A number in the unit of the print (mostly %), or text; None where '-' is printed.

    Raises:
        ValueError: there is no such figure; names those there are.
    """
    cells = _find(rows(paper, table), row, f'{_place(paper, table)} has no row')
    return _find(cells, column, f'row {row!r} of {_place(paper, table)} has no column')


def rows(paper: str, table: str) -> Mapping[str, Mapping[str, Cell]]:
    """Row -> column -> figure of a table, in printed order.

    Raises:
        ValueError: there is no such paper or table; names those there are.
    """
    found = _table(paper, table)
    return {
        name: dict(zip(found['columns'], cells, strict=True))
        for name, cells in found['rows'].items()
    }


def about(paper: str, table: str) -> str:
    """What a table shows, in our words.

    Raises:
        ValueError: there is no such paper or table; names those there are.
    """
    return _table(paper, table)['about']


def note(paper: str, table: str) -> str:
    """Where a table's print contradicts itself or other parts of the paper; '' if nowhere.

    Raises:
        ValueError: there is no such paper or table; names those there are.
    """
    return _table(paper, table).get('note', '')


def papers() -> tuple[str, ...]:
    """Names of the papers."""
    return tuple(_load())


def tables(paper: str) -> tuple[str, ...]:
    """Names of a paper's tables and sections.

    Raises:
        ValueError: there is no such paper; names those there are.
    """
    return tuple(_find(_load(), paper, 'there is no paper'))


@cache
def _load() -> Mapping[str, Mapping[str, Any]]:
    return yaml.safe_load(FILE.read_text(encoding='utf-8'))


def _table(paper: str, table: str) -> Mapping[str, Any]:
    tables_ = _find(_load(), paper, 'there is no paper')
    return _find(tables_, table, f'the paper {paper!r} has no table')


def _place(paper: str, table: str) -> str:
    return f'{paper}, {table if " " in table else f"table {table}"},'


def _find(known: Mapping[str, Any], name: str, what: str) -> Any:
    try:
        return known[name]
    except KeyError:
        there_are = '; '.join(known) or 'none'
        raise ValueError(f'{what} {name!r}; there are: {there_are}') from None
