"""Every command of `mal-mm`: its help, its errors, its exit statuses, and its script."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from mal_mm_cli.errors import DEBUG_VARIABLE
from mal_mm_cli.main import COMMANDS, main, summary

pytestmark = pytest.mark.slow  # nothing here depends on the stack


def test_help_of_every_command_teaches_and_loads_nothing():
    script = """
import contextlib, io, sys
from mal_mm_cli.main import COMMANDS, main
for name in COMMANDS:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main([*name.split(), '--help'])
    text = said.getvalue()
    assert text.startswith(f'usage: mal-mm {name} '), (name, text[:80])
    for part in ('exit status', '--verbose', 'examples:', f'mal-mm {name} '):
        assert part in text, (name, part)
loaded = {'mal_mm', 'torch', 'mmengine', 'numpy'} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, '-c', script], check=True)


def test_the_list_names_each_command_in_a_line(capsys):
    assert main([]) == 0
    said = capsys.readouterr().out
    for name, module in COMMANDS.items():
        assert f'  {name} ' in said and summary(module) in said
        assert len(summary(module)) < 100


@pytest.mark.parametrize(
    ('words', 'status', 'said'),
    [
        ('lable', 2, "no command 'lable'; there are label, train"),
        ('import', 2, "'import' is one of: import nvlabs, import maskdino, import dinov2"),
        ('label', 2, 'the following arguments are required: --ann, --img-root, --out'),
        ('label --ann no.json --img-root . --out o.json', 1, 'no.json'),
        ('convert no.json out.json', 1, 'no.json: no such file'),
        ('convert only.json', 1, 'expected [FORMAT] SOURCE OUT.json'),
        ('label --ann no.json --img-root nowhere --out o.json', 1, '--img-root nowhere is no'),
        ('generate mal_mm::mal/no.py --ann a --img-root . --out o', 1, "no config 'mal/no.py'"),
        ('generate mal_mm::mal/vit_mae_base.py --ann a --img-root . --out o', 1, 'CHECKPOINT'),
        ('train no.py', 1, "config 'no.py' does not exist"),
        ('train mal_mm::mal/vit_mae_base.py --ann no.json', 1, '--ann and --img-root go together'),
        (
            'train mal_mm::mal/vit_mae_base.py --ann no.json --img-root .',
            1,
            '--ann no.json: no such file',
        ),
        (
            'train mal_mm::mal/vit_mae_base.py --cfg-options modle.x=1',
            1,
            "did you mean 'model'?",
        ),
        ('train mal_mm::mal/vit_mae_base.py --cfg-options x', 1, "takes KEY=VALUE, got 'x'"),
        ('test no.py no.pth', 1, 'no.pth: no such checkpoint file'),
        ('test a.py b.pth --out c.txt', 2, '--out must end in .pkl'),
        ('evaluate no.json gt.json', 1, 'no.json'),
        ('two-phase --ann no.json --img-root . --labeler l --segmenter s', 2, 'no.json'),
        ('retention gt no=x', 1, 'gt does not exist'),
        ('retention gt mal x', 2, "'x': a further run is NAME=RUN"),
        ('reproduce table 8', 2, "invalid choice: '8'"),
        ('reproduce table 2 --work-dirs nowhere', 1, '--work-dirs nowhere is no folder'),
        ('reproduce predictions gt mal --out o', 2, 'give either --images or --ann'),
        (
            'reproduce predictions gt mal --images a.jpg --out o',
            1,
            'gt is no work dir; give one, or CONFIG',
        ),
        ('samples', 2, 'required: {nuclei,photos,shapes}'),
        ('import nvlabs no.ckpt out.pth', 1, 'no.ckpt'),
        ('import maskdino a.pth b.pth --export --config-out c.py', 2, '--export writes no config'),
        ('import dinov2 out.pth --wheel no.whl', 1, 'no.whl'),
        ('plot nowhere', 1, 'nowhere: no scalars found'),
        (
            'evaluate-detector mal_mm::mal/vit_mae_base.py c --detections d --gt g --img-root no',
            1,
            '--img-root no is no folder',
        ),
    ],
)
def test_an_error_is_a_sentence_with_a_status(words, status, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DEBUG_VARIABLE, raising=False)
    try:
        found = main(words.split())
    except SystemExit as end:
        found = end.code
    error = capsys.readouterr().err
    assert found == status, error
    assert said in ' '.join(error.split())
    assert 'Traceback' not in error
    if status != 2 or words.startswith('two-phase'):
        (line,) = [line for line in error.splitlines() if line.startswith('mal-mm ')]
        assert line.startswith(f'mal-mm {" ".join(words.split()[:1])}')
    assert not list(tmp_path.iterdir()), 'a refused command leaves nothing behind'


def test_each_script_is_a_door_to_a_command(repo_root: Path):
    doors = {}
    for path in [*repo_root.glob('tools/*.py'), *repo_root.glob('tools/*/*.py')]:
        calls = [
            node.args[1].value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
            and getattr(node.func, 'id', '') == 'partial'
            and len(node.args) == 2
        ]
        doors[path.name] = calls
    assert doors.pop('ranks.py') == []  # torchrun with short errors: no command
    assert all(len(calls) == 1 for calls in doors.values()), doors
    assert {calls[0] for calls in doors.values()} == set(COMMANDS.values())


def test_with_debug_the_error_goes_on(monkeypatch):
    monkeypatch.setenv(DEBUG_VARIABLE, '1')
    with pytest.raises(ValueError, match='no scalars found'):
        main(['plot', 'nowhere'])
