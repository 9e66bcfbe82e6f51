"""docs/paper.md: what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mal_mm.reproduce.ablation import ROWS
from mal_mm_cli.main import COMMANDS

pytestmark = pytest.mark.slow  # nothing here depends on the stack

FOLDERS = ('mal_mm', 'mal_mm_cli', 'configs', 'tests', 'tools', 'docs', 'benchmarks')


@pytest.fixture(scope='module')
def page(repo_root: Path) -> str:
    return (repo_root / 'docs' / 'paper.md').read_text()


def test_every_file_that_the_page_names_exists(page, repo_root):
    named = {
        word
        for word in re.findall(r'(?<![\w/])([\w-]+(?:/[\w.*-]+)+)', page)
        if word.split('/')[0] in FOLDERS
    }
    assert len(named) > 100
    assert [name for name in sorted(named) if not any(repo_root.glob(name.rstrip('.')))] == []


def test_every_command_and_every_row_that_the_page_names_exists(page):
    for words in re.findall(r'`mal-mm ([a-z -]+)', page):
        assert any(words == name or words.startswith(f'{name} ') for name in COMMANDS), words
    groups = {row.group for row in ROWS.values()}
    for name in re.findall(r'rows? `([\w-]+)`', page):
        assert name in ROWS or name in groups, name


def test_the_page_has_a_row_for_each_table_of_the_paper(page):
    for table in (*(f'Table {number}' for number in range(1, 7)), 'Supplement Sec. 3, Table 1'):
        assert re.search(rf'^\| {re.escape(table)}\b', page, re.MULTILINE), table
    for row in re.findall(r'^\|.*\|$', page, re.MULTILINE):
        assert row.count(' | ') == 3 or row.startswith('|---'), row
