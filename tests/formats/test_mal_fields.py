"""The fields that labeling adds: one file knows their names."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest

from mal_mm.formats import mal_fields

pytestmark = pytest.mark.slow  # nothing here depends on the stack

NAMES = (
    mal_fields.QUALITY,
    mal_fields.FLAG,
    mal_fields.SKIPPED,
    mal_fields.POLYGON_IOU,
    mal_fields.HUMAN,
    mal_fields.EMPTY_MASK,
    mal_fields.LOW_QUALITY,
)


def literals(path: Path) -> set[str]:
    """The strings of a module, docstrings and other texts left out."""
    tree = ast.parse(path.read_text())
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_no_other_module_spells_a_field(repo_root):
    spelled = {
        str(path.relative_to(repo_root)): sorted(literals(path) & set(NAMES))
        for folder in ('mal_mm', 'mal_mm_cli', 'tools')
        for path in (repo_root / folder).rglob('*.py')
        if path.name != 'mal_fields.py' and '.mim' not in path.parts
    }
    assert {path: names for path, names in spelled.items() if names} == {}


def test_what_is_written_is_read_back():
    annotation = {'id': 3, 'ignore': 1, 'note': 'mine'}
    annotation.update(mal_fields.drawn([[1, 2]], 4, 0.33333, mal_fields.LOW_QUALITY, True, 0.9))
    assert mal_fields.quality_of(annotation) == 0.3333
    assert mal_fields.flag_of(annotation) == mal_fields.LOW_QUALITY
    assert mal_fields.has_quality(annotation) and mal_fields.was_labelled(annotation)
    assert not mal_fields.is_sound(annotation) and mal_fields.skip_reason(annotation) is None
    mal_fields.clear(annotation)
    assert annotation == {
        'id': 3,
        'note': 'mine',
        'segmentation': [[1, 2]],
        'area': 4,
        mal_fields.QUALITY: 0.3333,
    }
    annotation.update(mal_fields.skipped('no such file'))
    assert mal_fields.skip_reason(annotation) == 'no such file'


@pytest.mark.parametrize('odd', [None, 'good', True, [0.5]])
def test_an_odd_quality_is_none(odd):
    assert math.isnan(mal_fields.quality_of({mal_fields.QUALITY: odd}))


def test_a_head_of_an_earlier_run_goes():
    data = {'images': [], mal_fields.HEAD: {'config': 'old'}}
    assert mal_fields.head_of(data) == {'config': 'old'}
    assert mal_fields.without_head(data) == {'images': []}
    head = mal_fields.new_head({'config': 'new'})
    assert head == {'fields_version': mal_fields.VERSION, 'config': 'new'}
    assert mal_fields.head_of({mal_fields.HEAD: 'odd'}) == {}
