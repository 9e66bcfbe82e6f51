"""Links, names of files and commands on the pages are right; nothing is run here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pages import PAGES, ROOT, command_of_script, commands, name
from test_rooms import FLOORS

from mal_mm.compat.config_bases import config_path
from mal_mm_cli.door import parse
from mal_mm_cli.main import COMMANDS

pytestmark = pytest.mark.slow  # nothing here depends on the stack


def test_every_relative_link_leads_to_a_file():
    broken = []
    for page in PAGES:
        for target in re.findall(r'\]\(([^)\s]+)\)', page.read_text()):
            if not re.match(r'https?:|mailto:|#', target):
                path = page.parent / target.split('#')[0]
                if not path.exists():
                    broken.append(f'{name(page)}: {target}')
    assert not broken, '\n'.join(broken)


def test_every_file_that_is_named_exists():
    broken = []
    folders = 'tools|configs|mal_mm|mal_mm_cli|tests|benchmarks|requirements'
    pattern = rf'(?<![\w/.-])((?:{folders})/[\w./-]*\w\.\w+)'
    for page in PAGES:
        if page.name == 'CHANGELOG.md':  # names what is gone
            continue
        for path in re.findall(pattern, page.read_text()):
            yours = path.endswith('/mine.py')  # a file that the reader is told to make
            if not yours and not (ROOT / path).exists():
                broken.append(f'{name(page)}: {path}')
    assert not broken, '\n'.join(broken)


def test_the_navigation_names_every_page_once():
    config = yaml.safe_load((ROOT / 'mkdocs.yml').read_text())

    def leaves(node):
        for entry in node:
            (value,) = entry.values()
            yield from leaves(value) if isinstance(value, list) else [value]

    listed = list(leaves(config['nav']))
    docs = ROOT / 'docs'
    assert sorted(listed) == sorted(
        page.relative_to(docs).as_posix() for page in docs.rglob('*.md')
    )


def test_the_readme_is_short():
    assert len((ROOT / 'README.md').read_text().split()) <= 600


def module_and_arguments(words: list[str]) -> tuple[str | None, list[str]]:
    """The command behind `mal-mm ...`, a script or a launcher; None: a script without one."""
    if words[0] == 'mal-mm':
        n = 2 if ' '.join(words[1:3]) in COMMANDS else 1
        assert ' '.join(words[1 : n + 1]) in COMMANDS or words[1].startswith('-'), words
        return COMMANDS.get(' '.join(words[1 : n + 1])), words[n + 1 :]
    script = next(Path(word) for word in words if word.startswith('tools/'))
    rest = words[words.index(script.as_posix()) + 1 :]
    assert (ROOT / script).is_file(), script
    if script.name in ('dist_train.sh', 'dist_test.sh'):
        here = 1 + (script.name == 'dist_test.sh')
        return script.stem.removeprefix('dist_'), rest[:here] + rest[here + 1 :]
    if script.name.startswith('slurm_'):
        return script.stem.removeprefix('slurm_'), [rest[2], *rest[4:]]
    return (command_of_script(ROOT / script) if script.suffix == '.py' else None), rest


def test_every_command_is_understood_by_the_program_it_names(capsys):
    misunderstood = []
    checked = 0
    for page in PAGES:
        for words in commands(page):
            module, arguments = module_and_arguments(words)
            if module is None or '...' in arguments or '--help' in arguments:
                continue
            checked += 1
            try:
                parse(__import__(f'mal_mm_cli.{module}', fromlist=['']), arguments, module)
            except SystemExit as end:
                if end.code:
                    said = capsys.readouterr().err.splitlines()[-1]
                    misunderstood.append(f'{name(page)}: {" ".join(words)}: {said}')
    assert not misunderstood, '\n'.join(misunderstood)
    assert checked > 30


def test_every_config_that_is_named_exists():
    broken = []
    for page in PAGES:
        for config in re.findall(r'mal_mm::([\w./-]+\.py)', page.read_text()):
            try:
                config_path(config)
            except FileNotFoundError:
                broken.append(f'{name(page)}: mal_mm::{config}')
    assert not broken, '\n'.join(broken)


def test_the_architecture_page_has_the_floors_that_the_test_of_imports_keeps():
    page = (ROOT / 'docs' / 'architecture.md').read_text()
    table = page[page.index('| floor,') : page.index('`registry.py` is outside')]
    floors: list[list[str]] = []
    for floor, rooms in re.findall(r'^\| ?(\d*) \| (`.*?`) \|', table, re.MULTILINE):
        if floor:
            floors.append([])
        floors[-1] += re.findall(r'`(\w+)`', rooms)
    there = {path.stem for path in (ROOT / 'mal_mm').iterdir()}
    assert [there & set(each) for each in floors] == [there & set(floor) for floor in FLOORS]


def test_the_architecture_page_names_every_patch_of_the_import():
    page = (ROOT / 'docs' / 'architecture.md').read_text()
    stack = (ROOT / 'mal_mm' / 'compat' / 'stack.py').read_text()
    patches = set(re.findall(r'from \.(\w+) import', stack))
    assert {name for name in patches if f'compat/{name}.py' not in page} == set()
