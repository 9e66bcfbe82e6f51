"""Strings that come out of annotation files and paths, in the text of configs."""

from __future__ import annotations

import string

import pytest
from hostile_strings import HOSTILE
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from mal_mm.compat.config_text import comment

pytestmark = pytest.mark.usefixtures('configs_with_layout')


def read_back(value: object, folder) -> object:
    """What another process reads from a written config."""
    path = folder / 'config.py'
    Config(
        {'x': value, 'model': {'type': 'A', 'names': (value, [value]), 'deep': {'y': value}}}
    ).dump(path)
    return Config.fromfile(path)


def test_strings_come_back_from_a_config_as_they_were(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = read_back(HOSTILE, tmp_path)
    assert [*cfg.x] == [*cfg.model.deep.y] == [*cfg.model.names[0]] == HOSTILE
    assert not (tmp_path / 'PWNED').exists()


pieces = st.sampled_from(
    ['{', '{{', '}}', '$', 'HOME', ':', '_base_.', 'fileDirname', ' ', '\\', "'", '"', '\n']
)


@settings(max_examples=60, deadline=None)
@given(st.lists(pieces | st.text(string.printable, max_size=3), max_size=8).map(''.join))
def test_any_string_comes_back_from_a_config_as_it_was(tmp_path_factory, text):
    assert read_back(text, tmp_path_factory.mktemp('config')).x == text


def test_a_comment_stays_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [comment(text) for text in HOSTILE]
    (tmp_path / 'a.py').write_text('\n'.join([*lines, 'x = 1', '']))
    assert Config.fromfile(tmp_path / 'a.py').to_dict() == {'x': 1}
    assert not (tmp_path / 'PWNED').exists()
