"""The notebook runs from its first cell to its last, on a labeler that is small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_instant import write_encoder, write_instant_config

from mal_mm.formats import read_coco


def test_the_notebook_leads_from_boxes_to_a_review_page(repo_root, tmp_path, capsys):
    notebook = json.loads((repo_root / 'notebooks' / 'boxes_to_masks.ipynb').read_text())
    config = write_instant_config(tmp_path / 'tiny.py', write_encoder(tmp_path / 'encoder.pth'))
    own = dict(config=str(config), work_dir=str(tmp_path / 'work'), download=False)
    names: dict = {}
    for number, cell in enumerate(notebook['cells']):
        assert cell.get('outputs', []) == [], 'outputs do not belong into the repository'
        if cell['cell_type'] != 'code':
            continue
        exec(compile(''.join(cell['source']), f'cell {number}', 'exec'), names)
        if 'settings' in cell['metadata'].get('tags', ()):
            assert own.keys() <= names.keys()
            names.update(own)
    said = capsys.readouterr().out
    assert '2 images, 30 boxes' in said and '30 masks; 0 boxes could not be labelled' in said
    assert names['metrics']['counts']['evaluated'] == 30
    assert len(read_coco(tmp_path / 'work' / 'masks.json')['annotations']) == 30
    assert Path(names['page'].path).is_file()


@pytest.mark.parametrize('key', ['nbformat', 'nbformat_minor', 'metadata'])
def test_the_notebook_has_what_jupyter_needs(repo_root, key):
    notebook = json.loads((repo_root / 'notebooks' / 'boxes_to_masks.ipynb').read_text())
    assert key in notebook and all('id' in cell for cell in notebook['cells'])
