"""One formatting of a config's text instead of five at the start of every run."""

from __future__ import annotations

import functools
from collections.abc import Callable

from yapf.yapflib import yapf_api


def remember_formatted_configs() -> None:
    """Let mmengine format the same config once.

    Each `Config.pretty_text` formats it with yapf, and a Runner asks for it five times: 1 s for
    a labeler, several for a segmenter with long pipelines.
    """
    from mmengine.config import config

    # mmengine 0.10.12 imports it where it is used, 0.10.7 at the top of its module
    for module in (yapf_api, config):
        format_code = getattr(module, 'FormatCode', None)
        if format_code is not None and not hasattr(format_code, 'by_text'):
            module.FormatCode = _remembering(format_code)


def _remembering(format_code: Callable) -> Callable:
    by_text: dict[tuple[str, str], object] = {}

    @functools.wraps(format_code)
    def remembering(text: str, *args: object, **options: object) -> object:
        key = (text, repr((args, sorted(options.items(), key=str))))
        if key not in by_text:
            by_text.clear()  # of configs changed on the way the last one is asked for again
            by_text[key] = format_code(text, *args, **options)
        return by_text[key]

    remembering.by_text = by_text
    return remembering
