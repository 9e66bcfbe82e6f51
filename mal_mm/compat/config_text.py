"""The text of a config, read back as it was meant.

mmengine reads a config's text with its own substitutions, before Python sees it: `{{$NAME:x}}`
becomes an environment variable or x, `{{ fileDirname }}` a folder, `{{_base_.x}}` a value. It does
so inside strings too, so that a category or folder of such a name would become another one, or
end its string and run as code. Every config that mal_mm, or a Runner of it, writes passes here.
"""

from __future__ import annotations

import functools
import re

_LITERAL = 'literal'  # marks the function that is in place


def write_configs_literally() -> None:
    """Let `Config.pretty_text`, and with it `Config.dump`, write text that means what it says."""
    from mmengine.config import Config

    original = Config.pretty_text.fget
    if hasattr(original, _LITERAL):
        return

    @functools.wraps(original)
    def literal(self: Config) -> str:
        return literal_text(original(self))

    setattr(literal, _LITERAL, True)
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
