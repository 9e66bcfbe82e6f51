"""The data file against the papers themselves, where they are at hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mal_mm.reproduce import paper_figures
from mal_mm.reproduce.paper_figures import figure, note, papers, rows, tables

pytestmark = pytest.mark.slow  # touches no part of the stack

TEXTS = {
    'MAL': ('mal_paper.md', 'mal_supplement.md', 'mal_paper_arxiv_with_appendix.txt'),
    'Mask DINO': ('maskdino_supplement.txt',),
}
PRINTED_TABLES = [
    (paper, table) for paper in papers() for table in tables(paper) if table.isdecimal()
]
SECTIONS = [
    (paper, table) for paper in papers() for table in tables(paper) if not table.isdecimal()
]
# Retention rates that the AP of the same tables do not give to 0.1: table, row, ratio.
PRINTED_OTHERWISE = {
    ('1', 'BoxLevelSet, ResNet-101-DCN', 'test-dev'): 84.7,
    ('1', 'DiscoBox, ResNet-101-DCN', 'test-dev'): 85.6,
    ('2', 'MAL of COCO, ResNeXt-101-32x4d-FPN', 'val'): 91.4,
}


@pytest.fixture(scope='module')
def lines() -> dict[str, list[str]]:
    """Lines of each paper's text, freed of citations, footnote marks and formula signs."""
    folder = Path(__file__).resolve().parents[3] / 'shared' / 'paper'
    if not folder.is_dir():
        pytest.skip('the papers are not beside the checkout (../shared/paper)')
    return {
        paper: [
            line
            for name in names
            for line in map(_plain, (folder / name).read_text(encoding='utf-8').splitlines())
            if line
        ]
        for paper, names in TEXTS.items()
    }


def _plain(text: str) -> str:
    text = re.sub(r'\[\d+(, ?\d+)*\]', '', text)  # citations
    text = re.sub(r'\\dagger|</?(sup|sub|b|i)>|[*†$]', '', text)
    text = re.sub(r'[—_](?=\s|$|M)', '-', text)
    return ' '.join(text.split())


def _printed(cell: float | str | None) -> str:
    return '-' if cell is None else str(cell)


def _number(text: str) -> float:
    text = re.sub(r'\s*(\\cdot|×|\\times)\s*10\^\{(-?\d+)\}', r'e\2', text)
    return float(re.sub('[kK]$', 'e3', text))


@pytest.mark.parametrize(('paper', 'table'), PRINTED_TABLES)
def test_table_is_the_printed_one_cell_by_cell(paper, table, lines):
    ours = [' '.join(map(_printed, row.values())) for row in rows(paper, table).values()]
    # Mask DINO's table has a heading for each of its two tasks
    text = [line for line in lines[paper] if not re.search(r'on COCO (AP|PQ)$', line)]
    starts = [at for at, line in enumerate(text) if line == ours[0]]
    assert starts, f'the first row is not printed: {ours[0]}'
    for start in starts:  # the CVPR text and the arXiv text
        end = start + len(ours)
        assert text[start:end] == ours
        assert not re.search(r' (-|\d+\.\d+)$', text[end]), f'a row is missing: {text[end]}'
        number = '1' if table == '7' else table  # its number in the supplement
        assert any(
            re.match(rf'Table ({table}|{number})[.:]', line) for line in text[end : end + 20]
        )


@pytest.mark.parametrize(('paper', 'table'), SECTIONS)
def test_value_of_a_section_is_the_printed_one(paper, table, lines):
    text = ' '.join(lines[paper])
    for name, row in rows(paper, table).items():
        before, number, after = re.fullmatch(r'(.*)\[([^\[\]]+)\](.*)', row['printed']).groups()
        assert f'{before}{number}{after}' in text, name
        assert _number(number) == row['value'], name


def test_retention_rates_are_the_ratio_of_the_printed_aps():
    of_human = {  # the segmenter of Tables 3 to 5 is one of Table 1
        table: rows('MAL', '1')['Cascade R-CNN, ConvNeXt-Small'] for table in '345'
    }
    checked = set()
    for table in '12345':
        for name, row in rows('MAL', table).items():
            twins = [
                other
                for other in rows('MAL', table).values()
                if other.get('Sup') == 'Mask'
                and all(other[key] == row[key] for key in ('InstSeg Backbone', 'InstSeg Model'))
            ]
            human = of_human.get(table) or (twins or [None])[0]
            for column in ('val', 'test-dev'):
                printed = row.get(f'Ret. {column}')
                if printed is None or name.startswith('BBTP'):  # its human masks: not printed
                    continue
                ratio = 100 * row[f'AP {column}'] / human[f'AP {column}']
                expected = PRINTED_OTHERWISE.get((table, name, column), printed)
                assert ratio == pytest.approx(expected, abs=0.1), (name, column)
                checked.add((table, name, column))
    assert len(checked) == 22 + 6 + 3 + 6 + 6


def test_unknown_figure_names_what_there_is():
    for arguments, known in (
        (('BoxInst', '1', 'x'), 'MAL; Mask DINO'),
        (('MAL', '9', 'x'), "'9'; there are: 1; 2; 3"),
        (('MAL', '6', 'x', 'Score'), 'ConvNeXt-Base; Swin-Base'),
        (('MAL', '6', 'Swin-Base', 'AP'), 'Backbone; Score'),
    ):
        with pytest.raises(ValueError, match=re.escape(known)):
            figure(*arguments)


def test_figure_gives_numbers_and_none_for_a_dash():
    assert figure('MAL', '1', 'MAL, Mask2Former, Swin-Small', 'AP test-dev') == 44.1
    assert figure('MAL', '3', 'Query-based decoder', 'AP val') is None
    assert figure('MAL', 'Sec. 4.2', 'hours on COCO') == 23


def test_contradiction_of_section_4_3_is_noted():
    best = rows('MAL', '1')['MAL, Mask2Former, Swin-Small']
    said = {name: row['value'] for name, row in rows('MAL', 'Sec. 4.3').items()}
    assert said['best mask AP, said of val'] == best['AP test-dev']
    assert said['best mask AP, said of test-dev'] == best['AP val']
    assert 'Table 1' in note('MAL', 'Sec. 4.3')


def test_every_row_fills_its_columns():
    for paper, table in PRINTED_TABLES + SECTIONS:
        rows(paper, table)  # zip is strict
    assert paper_figures.FILE.suffix == '.yml'
