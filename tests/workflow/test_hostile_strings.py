"""What anybody may have called a category or a folder, through every file that a run writes."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from hostile_strings import HOSTILE, HOSTILE_NAMES
from mmengine.config import Config

from mal_mm.workflow import TwoPhaseRun

pytestmark = [
    pytest.mark.slow,  # the text of configs is the same on both stacks
    pytest.mark.usefixtures('configs_with_layout'),
]


class Tags(HTMLParser):
    """Scripts, pictures and attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.handlers: list[str] = []
        self.text = ''
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.handlers += [name for name, _ in attributes if name.startswith('on')]
        if tag == 'script':
            self.scripts.append('')

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def hostile_run(options, human, rewrite, recipes, tmp_path, monkeypatch):
    """A run whose categories and folder have hostile names, in an empty working folder."""

    def make(folder: str, classes: list[str]) -> TwoPhaseRun:
        def rename(content: dict) -> None:
            extra = [{'id': 1000 + n, 'name': name} for n, name in enumerate(classes)]
            content['categories'] = [*content['categories'], *extra]

        place = tmp_path / folder
        place.mkdir()
        files = {}
        for name, path in dict(ann=recipes / 'train.json', **human).items():
            files[name] = path
            if path.is_file():
                files[name] = place / path.name
                shutil.copy(rewrite(path, rename), files[name])
        monkeypatch.chdir(place)
        given = options(work_dir=place / 'run', **files)
        given.work_dir.mkdir()
        return TwoPhaseRun(given, tmp_path)

    return make


def test_hostile_class_names_are_classes_and_nothing_else(hostile_run, tmp_path):
    run = hostile_run('plain', HOSTILE)
    run._write_configs()
    for name in ('segmenter', 'segmenter_gt'):
        cfg = Config.fromfile(run.work_dir / f'{name}.py')
        assert tuple(cfg.train_dataloader.dataset.metainfo.classes[-len(HOSTILE) :]) == tuple(
            HOSTILE
        )
        assert cfg.to_dict() == Config(run.configs[name].to_dict()).to_dict()
        # a Runner writes it once more, for people to test with
        cfg.dump(tmp_path / 'again.py')
        assert Config.fromfile(tmp_path / 'again.py').to_dict() == cfg.to_dict()
    assert not list(tmp_path.rglob('PWNED'))


ALL_IN_ONE = (
    '{{$HOME:x}} {{fileDirname}} '
    + "'''"
    + '""" \\ \\N{BULLET} $(touch PWNED) `touch PWNED` <img onerror=x>\né'
)


@pytest.mark.parametrize(
    'folder', [ALL_IN_ONE, *(pytest.param(name, marks=pytest.mark.long) for name in HOSTILE_NAMES)]
)
def test_hostile_folders_are_folders_and_nothing_else(hostile_run, folder, tmp_path):
    run = hostile_run(folder, ['x'])
    run._write_configs()
    cfg = Config.fromfile(run.work_dir / 'segmenter.py')
    assert cfg.train_dataloader.dataset.ann_file == str(run.work_dir / 'pseudo_masks.json')
    assert cfg.val_evaluator.ann_file == str(tmp_path / folder / 'unseen_gt.json')
    # what --dry-run shows can be given to a shell
    (run.work_dir / 'labeler').mkdir()
    (run.work_dir / 'labeler' / 'last_checkpoint').write_text('labeler.pth')
    for step in run.steps[:2]:
        words = shlex.join(step.command()[1:])
        shown = subprocess.run(
            ['bash', '-c', f'printf "%s\\0" {words}'], capture_output=True, check=True
        )
        assert shown.stdout.decode().split('\0')[:-1] == step.command()[1:]
        assert words in run.describe()
    # and the page
    run.state.save()
    page, _ = run.write_summary()
    tags = Tags(page.read_text())
    assert not tags.handlers and 'alert(1)' not in ''.join(tags.scripts)
    assert not list(tmp_path.rglob('PWNED'))


@pytest.mark.parametrize('folder', ['$(touch PWNED)', 'a b', "it's"])
def test_the_placeholder_of_a_checkpoint_names_its_folder_alone(hostile_run, folder, tmp_path):
    run = hostile_run(folder, ['x'])
    (line,) = [
        line for line in run.describe().splitlines() if '$(cat ' in line and '--ann' in line
    ]
    (run.work_dir / 'labeler').mkdir()
    (run.work_dir / 'labeler' / 'last_checkpoint').write_text('labeler.pth')
    words = line.partition(' ')[2]
    shown = subprocess.run(
        ['bash', '-c', f'printf "%s\\0" {words}'], capture_output=True, check=True
    )
    assert shown.stdout.decode().split('\0')[2] == 'labeler.pth'
    assert not list(tmp_path.rglob('PWNED'))
