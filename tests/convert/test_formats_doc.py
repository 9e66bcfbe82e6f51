"""docs/formats.md: every command on the page is one, and the table of formats is complete."""

from __future__ import annotations

import re
import shlex

import pytest

import mal_mm_cli.convert
from mal_mm.convert import FORMATS, find_format
from mal_mm_cli.door import parse

pytestmark = pytest.mark.slow


@pytest.mark.parametrize('page', ['formats.md', 'custom_dataset.md'])
def test_the_commands_of_the_page_can_be_typed(repo_root, page):
    text = (repo_root / 'docs' / page).read_text('utf-8')
    commands = re.findall(r'mal-mm convert ([^`#\n]+?)(?:`|#|\n|  )', text)
    assert len(commands) >= 2
    for command in commands:
        args = parse(mal_mm_cli.convert, shlex.split(command), 'mal-mm convert')
        name, _, target, _ = mal_mm_cli.convert._parse_items(args)
        find_format(target, to_write=True)
        assert name is None or find_format(name)


def test_the_page_lists_every_format_and_every_tool(repo_root):
    text = (repo_root / 'docs' / 'formats.md').read_text('utf-8')
    for name in FORMATS:
        assert f'`{name}`' in text
