"""What the HTML pages have in common: templates, number formats, provenance in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TEMPLATE_DIR = Path(__file__).parent / 'templates'
ASSET_DIR = Path(__file__).parent / 'assets'


def load_template(name: str) -> Any:
    """A page of ours as a Jinja2 template; `assets/base.css` can be included.

    Raises:
        ModuleNotFoundError: Jinja2 is not installed.
    """
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'The HTML pages need Jinja2; install it with `pip install mal-mm[report]`.'
        ) from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([TEMPLATE_DIR, ASSET_DIR]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters['count'] = lambda number: f'{number:,}'
    environment.filters['decimal'] = lambda x, digits=3: '–' if x is None else f'{x:.{digits}f}'
    environment.filters['nice_top'] = nice_top
    environment.filters['short'] = short_number
    return environment.get_template(name)


def nice_top(largest: float) -> int:
    """End of an axis for whole numbers: the next of 2, 4, 6, 10, 20, 40, 60, 100 ..."""
    if largest <= 2:
        return 2
    unit = 10 ** math.floor(math.log10(largest))
    return next(int(unit * step) for step in (1, 2, 4, 6, 10) if unit * step >= largest)


def short_number(value: float) -> str:
    """A number for an axis: 950, 1.5k, 40k, 2M."""
    for limit, letter in ((1e6, 'M'), (1e3, 'k')):
        if abs(value) >= limit:
            return f'{value / limit:.3g}{letter}'
    return f'{value:.3g}'


def provenance(head: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    """What a file's head says about the run that drew its masks, as plain text.

    Args:
        head: `mal_mm` of the file.

    Returns:
        (title, rows of name and value): the run itself without a title, then what is nested in
        it; empty where there is nothing.
    """
    if not isinstance(head, Mapping):
        return []
    own = [
        (_words(key), f'{value:g}' if isinstance(value, float) else str(value))
        for key, value in head.items()
        if isinstance(value, (str, int, float, bool)) and value != ''
    ]
    groups = [('', own)] if own else []
    for key, value in head.items():
        groups += [(f'{_words(key)} {title}'.strip(), rows) for title, rows in provenance(value)]
    return groups


def _words(key: object) -> str:
    return str(key).replace('_', ' ')
