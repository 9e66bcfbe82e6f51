"""docs/maskdino.md says what the papers say, and names the configs there are."""

from __future__ import annotations

import re

import pytest

from mal_mm.reproduce.paper_figures import figure, rows

pytestmark = pytest.mark.slow  # touches no part of the stack


@pytest.fixture
def page(repo_root) -> str:
    return (repo_root / 'docs' / 'maskdino.md').read_text(encoding='utf-8')


def table(page: str, first_heading: str) -> list[list[str]]:
    """Cells of the rows of a table."""
    lines = page[page.index(f'| {first_heading} |') :].split('\n\n')[0].splitlines()
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines[2:]]


def test_table_of_large_models_is_the_printed_one(page):
    printed = [
        [name, *('-' if cell in (None, '-M') else str(cell) for cell in list(row.values())[1:])]
        for name, row in rows('Mask DINO', '1').items()
    ]
    assert table(page, 'task, method') == printed


def test_each_config_has_a_row_and_large_ones_the_printed_score(page, repo_root):
    found = {row[0]: row[2] for row in table(page, '`configs/maskdino/`')}
    names = [re.match(r'`(\S+)`', cell)[1] for cell in found]
    files = {path.name for path in (repo_root / 'configs' / 'maskdino').glob('*.py')}
    assert sorted(names) == sorted(files)
    large = 'maskdino_swin-l_lsj-1280-24e_objects365-coco'
    for suffix, task, unit in (('', 'instance', ''), ('-panoptic', 'panoptic', ' PQ')):
        score = figure('Mask DINO', '1', f'{task}, Mask DINO', 'w/o TTA')
        assert found[f'`{large}{suffix}.py`'] == f'{score}{unit} test-dev'


def test_drops_of_the_paper_are_its_fractions_of_the_runs(page):
    def printed(name: str) -> float:
        return figure('Mask DINO', 'App. B.1', name)

    shares = [printed(f'{which} learning rate drop elsewhere') for which in ('first', 'second')]
    lengths = {
        'COCO': 368750,  # of the authors' yaml
        'ADE20K': printed('iterations on ADE20K'),
        'Cityscapes': printed('iterations on Cityscapes'),
    }
    for name, length in lengths.items():
        (cell,) = re.findall(rf'^\| {name}[^|]*drops[^|]*\| (\d+, \d+)', page, re.MULTILINE)
        assert cell == ', '.join(str(int(length * share + 1e-6)) for share in shares)
