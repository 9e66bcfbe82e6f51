"""What docs and configs quote of the paper is what the data file holds."""

import re

import pytest

from mal_mm.reproduce.paper_figures import figure, rows
from mal_mm.reproduce.runs import segmenter_rows
from mal_mm.reproduce.tables import SEGMENTER_TABLES, table_rows

pytestmark = pytest.mark.slow  # the same files on both stacks


def test_table_of_segmenters_quotes_the_paper(repo_root):
    text = (repo_root / 'docs' / 'segmenters.md').read_text()
    quoted = {
        cells[1].strip('`').removesuffix('_mal.py'): (cells[0].split(', '), cells[-3:])
        for line in text.splitlines()
        if (cells := [cell.strip() for cell in line.strip('|').split('|')])[1:]
        and cells[1].endswith('_mal.py`')
    }
    expected = {}
    for table in SEGMENTER_TABLES:
        for row in table_rows(table):
            tables, figures = expected.setdefault(row.name, ([], ['-', '-', '-']))
            tables.append(table)
            if table in '12':
                human, ours = row.run('human').paper, row.run('MAL').paper
                figures[:] = map(str, (human['paper AP'], ours['paper AP'], ours['paper kept']))
    assert quoted == expected


def test_retention_rates_of_the_readme_span_those_of_the_paper(repo_root):
    printed = [
        value
        for table in '12'
        for row in rows('MAL', table).values()
        if row['Method'] == 'Mask Auto-Labeler'
        for column, value in row.items()
        if column.startswith('Ret.')
    ]
    (low, high) = re.search(
        r'retention rates of ([\d.]+) to ([\d.]+) %', (repo_root / 'README.md').read_text()
    ).groups()
    assert (float(low), float(high)) == (min(printed), max(printed))


def test_docs_quote_the_best_model_and_the_hours(repo_root):
    text = ' '.join((repo_root / 'docs' / 'retention.md').read_text().split())
    best = rows('MAL', '1')['MAL, Mask2Former, Swin-Small']
    assert f'{best["AP val"]} mask AP on val2017 and {best["AP test-dev"]} on test-dev' in text
    hours = [figure('MAL', 'Sec. 4.2', f'hours on {name}') for name in ('COCO', 'LVIS')]
    assert 'around {} hours on COCO and {} on LVIS, on 8 V100'.format(*hours) in text


def test_docstrings_of_the_recipes_quote_the_paper(repo_root):
    def text_of(config):
        return ' '.join((repo_root / config).read_text().split())

    for table in '127':
        for row in table_rows(table):
            for run in row.runs:
                if run.supervision == 'none':
                    assert f'paper reports {run.paper["paper AP"]} box AP' in text_of(run.config)
                elif run.supervision == 'MAL' and table != '7':
                    ap, text = run.paper['paper AP'], text_of(run.config)
                    if run.options:
                        assert f"with COCO's labeler {ap};" in text, run.name
                    else:
                        kept = run.paper['paper kept']
                        assert f'paper reports {ap} mask AP (retention {kept} %' in text, run.name


def test_docstrings_of_the_lvis_rows_quote_the_figures_on_human_masks(repo_root):
    for row in segmenter_rows('2'):
        text = ' '.join((repo_root / 'configs/phase2' / f'{row.name}_mal.py').read_text().split())
        mask = figure('MAL', '2', f'Mask R-CNN, {row.backbone}', 'AP val')
        box = figure('MAL', '7', f'{row.backbone}, GT mask', 'AP')
        # the paper's human figures are the model zoo's
        assert f'reports {mask} mask AP and {box} box AP' in text, row.name
