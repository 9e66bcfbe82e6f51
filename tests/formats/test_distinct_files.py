import os

import pytest

from mal_mm.formats.distinct_files import SameFileError, check_distinct


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a.json, and other names for it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.json').write_text('{}')
    (tmp_path / 'soft.json').symlink_to('a.json')
    os.link('a.json', 'hard.json')
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'linked').symlink_to('folder')
    (tmp_path / 'dangling.json').symlink_to('folder/new.json')
    return tmp_path


SAME = [
    ('a.json', 'a.json'),
    ('a.json', './folder/../a.json'),
    ('a.json', 'soft.json'),
    ('soft.json', 'a.json'),
    ('a.json', 'hard.json'),
    ('folder', 'linked/'),
    ('folder/new.json', 'linked/new.json'),  # neither is there yet
    ('folder/new.json', 'dangling.json'),
]


@pytest.mark.parametrize(('one', 'other'), SAME)
def test_what_is_read_is_not_written_over(place, one, other):
    with pytest.raises(SameFileError, match=r'--out .* is the same file as --ann .*choose anoth'):
        check_distinct({'--ann': one}, {'--out': other})
    with pytest.raises(SameFileError, match='or say --yes if that is meant'):
        check_distinct({'--ann': one}, {'--out': other}, '--yes')
    with pytest.raises(SameFileError, match=r'--two .* is the same file as --one'):
        check_distinct({}, {'--one': one, '--two': other})


def test_an_absolute_name_is_the_same_as_a_relative_one(place):
    with pytest.raises(SameFileError):
        check_distinct({'--ann': place / 'a.json'}, {'--out': 'a.json'})


def test_names_that_differ_in_letter_case_alone_are_not_both_written(place):
    with pytest.raises(SameFileError):
        check_distinct({}, {'--one': 'b.json', '--two': 'B.json'})


def test_others_pass(place):
    check_distinct(
        {'--ann': 'a.json', '--boxes': None, '--img-root': 'folder'},
        {'--out': 'b.json', '--summary': None, '--report': 'report', '--x': 'folder/a.json'},
    )
