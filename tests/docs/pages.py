"""The pages that people read, and the commands on them."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md'), ROOT / 'benchmarks' / 'README.md'])


def name(page: Path) -> str:
    """What a failure calls the page."""
    return page.relative_to(ROOT).as_posix()


def code_blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a language."""
    return re.findall(rf'^```{language}\n(.*?)^```$', page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """Words of every indented command; lines that end with a backslash go on."""
    text = re.sub(r'\$\(.*?\)', 'FILE', page.read_text().replace('\\\n', ' '))
    lines = [line.strip() for line in text.splitlines() if re.match(r' {4,}\S', line)]
    starts = ('mal-mm ', 'python tools/', 'bash tools/', 'torchrun ')
    # what is in brackets may be left out; where output goes is the shell's business
    lines = [re.sub(r' >.*', '', re.sub(r'\[(--.*?)\]', r'\1', line)) for line in lines]
    found = [part.strip() for line in lines for part in line.split(' && ')]
    return [shlex.split(each, comments=True) for each in found if each.startswith(starts)]


def command_of_script(script: Path) -> str | None:
    """Module of mal_mm_cli that a script in tools/ is the door of."""
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'partial':
            return node.args[1].value
    return None
