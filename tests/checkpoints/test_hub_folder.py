"""Weights that are published as folders: found on this machine, fetched only when asked."""

from __future__ import annotations

import pytest

from mal_mm.checkpoints import hub_folder
from mal_mm.checkpoints.hub_folder import hub_folder_digest, is_hub_folder, use_hub_folder
from mal_mm.checkpoints.loading import CheckpointError

pytestmark = pytest.mark.slow  # nothing here depends on the stack
NAME = 'facebook/sam-vit-base'


@pytest.fixture(autouse=True)
def empty_machine(monkeypatch, tmp_path):
    """No cache of ours or of the hub holds anything."""
    monkeypatch.setattr(hub_folder, 'default_cache', lambda: tmp_path / 'cache')
    monkeypatch.setattr(hub_folder, '_in_hub_cache', refuse_download)


def refuse_download(name, offline):
    assert offline, f'{name} would have been downloaded'


def write_folder(folder):
    folder.mkdir(parents=True)
    (folder / 'config.json').write_text('{"model_type": "sam"}')
    (folder / 'model.safetensors').write_bytes(b'weights')
    return folder


def test_folder_is_found_by_itself_in_another_and_in_the_cache(tmp_path):
    folder = write_folder(tmp_path / 'weights' / 'sam-vit-base')
    for weights in (folder, folder.parent):
        model = {'type': 'PromptedLabeler', 'checkpoint': NAME}
        use_hub_folder(model, weights)
        assert model['checkpoint'] == str(folder)
    cached = write_folder(tmp_path / 'cache' / 'sam-vit-base')
    model = {'checkpoint': NAME}
    use_hub_folder(model)
    assert model['checkpoint'] == str(cached)
    use_hub_folder(model, tmp_path)  # a folder stays
    assert model['checkpoint'] == str(cached)
    use_hub_folder(other := {'type': 'InstantLabeler'})
    assert other == {'type': 'InstantLabeler'}


def test_nothing_is_fetched_unasked_and_the_error_says_where_from(tmp_path):
    asked = []
    for answer in (False, lambda question: asked.append(question)):
        with pytest.raises(CheckpointError, match=r'huggingface\.co/facebook/sam-vit-base'):
            use_hub_folder({'checkpoint': NAME}, tmp_path, answer)
    assert asked == [f'{NAME} is not here. Download it from huggingface.co?']
    with pytest.raises(CheckpointError, match='not on this machine'):
        use_hub_folder({'checkpoint': 'no-such-folder'}, may_download=True)


def test_what_is_asked_for_is_fetched(monkeypatch, tmp_path):
    folder = write_folder(tmp_path / 'hub')
    monkeypatch.setattr(
        hub_folder, '_in_hub_cache', lambda name, offline: None if offline else folder
    )
    said = []
    model = {'checkpoint': NAME}
    use_hub_folder(model, may_download=True, announce=said.append)
    assert model['checkpoint'] == str(folder) and NAME in said[0]


def test_digest_follows_network_weights_and_processor(tmp_path):
    folder = write_folder(tmp_path / 'a')
    before = hub_folder_digest(folder)
    assert before == hub_folder_digest(write_folder(tmp_path / 'b'))
    (folder / 'README.md').write_text('not read')
    assert hub_folder_digest(folder) == before
    (folder / 'preprocessor_config.json').write_text('{}')
    assert hub_folder_digest(folder) != before
    (folder / 'config.json').unlink()
    assert not is_hub_folder(folder)
