"""The text of a config: read back as it was meant, and formatted once instead of five times.

mmengine reads a config's text with its own substitutions, before Python sees it: `{{$NAME:x}}`
becomes an environment variable or x, `{{ fileDirname }}` a folder, `{{_base_.x}}` a value. It does
so inside strings too, so that a category or folder of such a name would become another one, or
end its string and run as code. Every config that mal_mm, or a Runner of it, writes passes here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from yapf.yapflib import yapf_api


def write_configs_literally() -> None:
    """Let `Config.pretty_text`, and with it `Config.dump`, write text that means what it says."""
    from mmengine.config import Config

    original = Config.pretty_text.fget
    if hasattr(original, 'literal'):
        return

    @functools.wraps(original)
    def literal(self: Config) -> str:
        return literal_text(original(self))

    literal.literal = True
    Config.pretty_text = property(literal)


def literal_text(text: str) -> str:
    """Python text in which mmengine finds nothing to substitute.

    Outside of strings two braces never follow each other in it, and inside `\\x7b` is a brace.
    """
    return re.sub(r'\{(?=\{)', r'\\x7b', text)


def comment(text: str) -> str:
    """A comment line for a config, whatever is in the text."""
    printable = ''.join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return f'# {re.sub(r"{(?={)", "{ ", printable)}'


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
