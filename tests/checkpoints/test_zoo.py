"""Published weights: the list, and the way from an address to a labelled file."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from PIL import Image
from sharp_labeler import blotches

from mal_mm.apis import MaskLabeler
from mal_mm.checkpoints import zoo as module
from mal_mm.checkpoints.loading import CheckpointError
from mal_mm.checkpoints.zoo import KINDS, ZooEntry, find_entry, obtain, zoo
from mal_mm_cli.main import main

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def empty_machine(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))


@pytest.fixture
def entry(server):
    return ZooEntry('thing', 'encoder', 'CC BY-NC-SA 4.0', 'page', f'{server.address}/vit.pth')


@pytest.fixture
def boxes(tmp_path):
    Image.fromarray(blotches()).save(tmp_path / 'a.png')
    content = dict(
        images=[dict(id=1, file_name='a.png', width=120, height=90)],
        annotations=[dict(id=1, image_id=1, category_id=1, bbox=[5, 5, 60, 50])],
        categories=[dict(id=1, name='blotch')],
    )
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    return tmp_path


def quietly(entry, **options):
    return obtain(entry, announce=lambda said: None, **options)


# -- the list -------------------------------------------------------------------------------------


def test_every_address_that_a_config_of_phase_1_names_is_listed_with_that_config(repo_root):
    listed = {entry.address for entry in zoo().values()}
    files = [
        *repo_root.glob('configs/mal/*.py'),
        *repo_root.glob('configs/mal/_base_/models/*.py'),
    ]
    named = {
        address
        for file in files
        for address in re.findall(r"checkpoint='(https://[^']+)'", file.read_text())
    }
    assert len(named) > 10 and named <= listed


def test_entries_are_complete(repo_root):
    for entry in zoo().values():
        assert entry.kind in KINDS and entry.licence and entry.page.startswith('https://')
        assert entry.address is None or entry.address.startswith('https://')
        assert entry.config is None or (repo_root / 'configs' / entry.config).is_file()
        assert entry.sha256 in (entry.address or '')
        assert (entry.config is None) == (entry.kind not in ('instant', 'encoder'))
    authors = [entry for name, entry in zoo().items() if name.startswith('mal-')]
    assert len(authors) == 4 and all(entry.non_commercial for entry in authors)


def test_the_page_in_the_docs_names_every_entry(repo_root):
    text = (repo_root / 'docs' / 'model_zoo.md').read_text()
    assert [name for name in zoo() if f'`{name}`' not in text] == []


# -- files ----------------------------------------------------------------------------------------


def test_the_licence_is_said_first_and_a_person_is_asked(entry, server):
    said, asked = [], []

    def refuse(question):
        assert said, 'asked before the licence was shown'
        asked.append(question)
        return False

    with pytest.raises(CheckpointError, match='not on this machine'):
        obtain(entry, may_download=refuse, announce=said.append)
    assert said == [
        'thing: licence CC BY-NC-SA 4.0: no commercial use, changed versions under the same '
        'licence; published at page'
    ]
    assert 'under the licence CC BY-NC-SA 4.0?' in asked[0]
    assert server.requests == []


def test_a_file_is_fetched_once_and_refused_when_it_changes(entry, server):
    path = quietly(entry, may_download=True)
    note = path.with_name('vit.pth.sha256')
    assert note.read_text() == f'{module.sha256(path)}  vit.pth\n'
    count = len(server.requests)
    assert quietly(entry) == path and len(server.requests) == count
    path.write_bytes(path.read_bytes() + b'!')
    with pytest.raises(CheckpointError, match=r'not the file of its first use.*delete .*sha256'):
        quietly(entry)
    note.unlink()
    assert quietly(entry) == path


def test_a_digest_in_the_published_name_is_checked(server, tmp_path):
    shutil.copy(tmp_path / 'web' / 'vit.pth', tmp_path / 'web' / 'vit-0a1b2c3d.pth')
    wrong = ZooEntry('x', 'encoder', 'MIT', 'page', f'{server.address}/vit-0a1b2c3d.pth')
    with pytest.raises(CheckpointError, match='published is 0a1b2c3d; the file is damaged'):
        quietly(ZooEntry(**{**vars(wrong), 'sha256': '0a1b2c3d'}), may_download=True)
    assert quietly(wrong).name == 'vit-0a1b2c3d.pth'


def test_offline_means_one_folder_and_no_network(entry, server, tmp_path):
    quietly(entry, may_download=True)  # in the cache, which must not be looked into
    (tmp_path / 'stick').mkdir()
    count = len(server.requests)
    with pytest.raises(CheckpointError, match=r'vit\.pth is not in .*stick'):
        quietly(entry, offline=tmp_path / 'stick', may_download=True)
    shutil.copy(tmp_path / 'web' / 'vit.pth', tmp_path / 'stick')
    assert quietly(entry, offline=tmp_path / 'stick') == tmp_path / 'stick' / 'vit.pth'
    assert len(server.requests) == count
    with pytest.raises(CheckpointError, match='none is no folder'):
        quietly(entry, offline=tmp_path / 'none')


def test_what_has_no_address_says_where_to_look():
    with pytest.raises(
        CheckpointError, match=r'no address of mal-vit-mae-base-coco is known'
    ) as e:
        quietly(find_entry('mal-vit-mae-base-coco'), may_download=True)
    assert '--address' in str(e.value) and '--file' in str(e.value)
    with pytest.raises(CheckpointError, match='ftp://x is no http'):
        quietly(find_entry('mal-vit-mae-base-coco'), address='ftp://x')
    with pytest.raises(ValueError, match=r"under 'dino'; there are instant-dinov2-small, "):
        find_entry('dino')


# -- labeling -------------------------------------------------------------------------------------


def test_one_command_goes_from_an_address_to_a_labelled_file(server, boxes, reference_dir, capsys):
    shutil.copy(reference_dir / 'nvlabs_mini.ckpt', boxes / 'web' / 'mal.ckpt')
    files = ['--ann', 'boxes.json', '--img-root', '.', '--out', 'masks.json']
    files = [str(boxes / each) if '.' in each else each for each in files]
    command = ['zoo', 'mal-vit-mae-base-coco', '--address', f'{server.address}/mal.ckpt']
    assert main([*command, '--download', '--device', 'cpu', *files]) == 0
    (annotation,) = json.loads((boxes / 'masks.json').read_text())['annotations']
    assert annotation['segmentation']['size'] == [90, 120] and annotation['area'] > 0
    said = capsys.readouterr().out
    assert said.startswith('mal-vit-mae-base-coco: licence CC BY-NC-SA 4.0: no commercial use')
    assert '1 masks, 0 skipped' in said


def test_from_pretrained_draws_what_the_imported_file_draws(boxes, reference_dir):
    path = shutil.copy(reference_dir / 'nvlabs_mini.ckpt', boxes)
    labeler = MaskLabeler.from_pretrained('mal-vit-mae-base-lvis', file=path, device='cpu')
    assert labeler.engine.network == 'student'
    (mask,) = labeler.label(boxes / 'a.png', [[5, 5, 65, 55]])
    assert mask.rle['size'] == [90, 120]
    with pytest.raises(CheckpointError):
        MaskLabeler.from_pretrained('instant-dinov2-small', file=path)


@pytest.mark.parametrize('name', ['mae-large', 'mal-masks-coco', 'maskdino-r50-hid2048'])
def test_what_draws_no_masks_says_what_it_is_for(name, boxes, capsys):
    with pytest.raises(ValueError, match=f'{name} draws no masks by itself: '):
        MaskLabeler.from_pretrained(name)
    (boxes / 'file').write_bytes(b'x')
    assert main(['zoo', name, '--file', str(boxes / 'file')]) == 0
    said = capsys.readouterr().out
    assert str(boxes / 'file') in said and ('train' in said or 'import' in said)


def test_the_list_is_printed(capsys):
    assert main(['zoo']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(zoo())
