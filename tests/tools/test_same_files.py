"""Every tool, given one name twice, refuses and leaves the file alone."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'
# tool -> words, whose names in capitals become files; the same name twice is the same file
LABEL = 'CFG CKPT --ann ANN --img-root DIR'
CASES = [
    ('generate_pseudo_masks', f'{LABEL} --out ANN'),
    ('generate_pseudo_masks', f'{LABEL} --out CFG'),
    ('generate_pseudo_masks', f'{LABEL} --out CKPT'),
    ('generate_pseudo_masks', f'{LABEL} --out OUT --summary ANN'),
    ('generate_pseudo_masks', f'{LABEL} --out OUT --summary OUT'),
    ('generate_pseudo_masks', f'{LABEL} --out OUT --boxes BOXES --summary BOXES'),
    ('generate_pseudo_masks', f'{LABEL} --out BOXES --boxes BOXES --overwrite-ann'),
    ('generate_pseudo_masks', f'{LABEL} --out ANN --overwrite-ann --summary ANN'),
    ('generate_pseudo_masks', f'{LABEL} --out OUT --report DIR'),
    ('evaluate_pseudo_masks', 'PRED GT --out PRED'),
    ('evaluate_pseudo_masks', 'PRED GT --out GT'),
    ('make_report', 'PRED --img-root DIR --out DIR'),
    ('make_report', 'PRED --img-root DIR --gt GT --out GT'),
    ('import_nvlabs_checkpoint', 'CKPT CKPT'),
    ('import_nvlabs_checkpoint', 'CKPT OUT --config-out OUT'),
    ('import_maskdino_checkpoint', 'CKPT CKPT'),
    ('import_maskdino_checkpoint', 'CKPT OUT --config-out CKPT'),
    ('convert_dinov2', '--wheel WHEEL WHEEL'),
    ('clustering_score', 'CFG CKPT --ann ANN --img-root DIR --out ANN'),
    ('evaluate_detector_boxes', 'CFG CKPT --detections D --gt GT --img-root DIR --out GT'),
    (
        'evaluate_detector_boxes',
        'CFG CKPT --detections D --gt GT --img-root DIR --out O --results-out O',
    ),
    ('retention', 'GT MAL --csv GT'),
    ('compare_predictions', 'GT MAL --ann ANN --img-root DIR --out DIR'),
    ('visualize_attention', 'CFG CKPT --image IMG --box 1 2 3 4 --out IMG'),
    ('test', 'CFG CKPT --out X.pkl'),
]
FOLDERS = ('DIR',)
NEW = ('OUT', 'O')  # not there yet


@pytest.mark.parametrize(('name', 'words'), CASES)
def test_a_tool_writes_over_nothing_that_it_reads(name, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    argv = words.split()
    if name == 'test':  # its output has to have an ending
        argv = [word.replace('CKPT', 'X.pkl') for word in argv]
    for word in argv:
        if word in FOLDERS:
            Path(word).mkdir(exist_ok=True)
        elif word[0].isupper() and word not in NEW:
            Path(word).write_text(f'my {word}')
    spec = importlib.util.spec_from_file_location(f'tool_{name}', TOOLS / f'{name}.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(sys, 'argv', [f'{name}.py', *argv])
    try:
        status, said = tool.main(), ''
    except SystemExit as end:  # with a sentence, which the interpreter prints
        status, said = 1, f'{end.code}\n'
    assert status == 1
    said += capsys.readouterr().err
    assert 'is the same file as' in said and said.count('\n') == 1
    for path in tmp_path.iterdir():
        assert path.is_dir() or path.read_text() == f'my {path.name}'


def test_a_run_of_two_phases_reads_none_of_its_own_files(tmp_path):
    from mal_mm.workflow import Options

    def options(**changes) -> Options:
        given = dict(ann=tmp_path / 'a.json', img_root=tmp_path, labeler='a.py', segmenter='b.py')
        return Options(**{**given, 'work_dir': tmp_path / 'run', **changes})

    for changes in (
        dict(ann=tmp_path / 'run' / 'pseudo_masks.json'),
        dict(labeler=str(tmp_path / 'run' / 'labeler.py')),
        dict(segmenter=str(tmp_path / 'run' / 'segmenter' / 'segmenter.py')),
        dict(ann=tmp_path / 'run' / 'summary.json'),
    ):
        with pytest.raises(ValueError, match=r'is a file that the run in --work-dir .* writes'):
            options(**changes).check()
