import errno
import os
import stat

import pytest

from mal_mm.formats import atomic_write


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_only_when_the_block_is_done(tmp_path):
    path = tmp_path / 'out.txt'
    with atomic_write(path) as file:
        file.write('grüß')
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == 'grüß'.encode()
    assert names(tmp_path) == ['out.txt']


def test_an_error_inside_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'out.txt'
    path.write_text('old')
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as file:
        file.write('half')
        raise KeyboardInterrupt
    assert path.read_text() == 'old'
    assert names(tmp_path) == ['out.txt']


def test_binary_mode_takes_bytes(tmp_path):
    with atomic_write(tmp_path / 'a.bin', 'wb') as file:
        file.write(b'\x00\xff')
    assert (tmp_path / 'a.bin').read_bytes() == b'\x00\xff'


def test_text_has_unix_line_ends(tmp_path):
    with atomic_write(tmp_path / 'a.txt') as file:
        file.write('a\nb\n')
    assert (tmp_path / 'a.txt').read_bytes() == b'a\nb\n'


def test_a_missing_folder_is_named_with_the_cure(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r'missing does not exist; create it'),
        atomic_write(tmp_path / 'missing' / 'a.txt'),
    ):
        pass


def test_a_folder_cannot_be_overwritten(tmp_path):
    with pytest.raises(IsADirectoryError, match='is a folder'), atomic_write(tmp_path):
        pass


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='no pipes here')
def test_a_pipe_or_device_is_not_replaced_by_a_file(tmp_path):
    path = tmp_path / 'pipe'
    os.mkfifo(path)
    with pytest.raises(OSError, match='not a plain file'), atomic_write(path):
        pass
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_full_disk_is_reported_with_the_path(tmp_path):
    path = tmp_path / 'out.txt'
    with pytest.raises(OSError, match=r'cannot write: No space left.*out\.txt'):  # noqa: SIM117
        with atomic_write(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == []


def test_errors_about_other_files_pass_unchanged(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r'other\.txt') as caught,
        atomic_write(tmp_path / 'out.txt'),
    ):
        (tmp_path / 'other.txt').read_text()
    assert 'out.txt' not in str(caught.value)


def test_a_symbolic_link_stays_a_link(tmp_path):
    real, link = tmp_path / 'real.txt', tmp_path / 'link.txt'
    real.write_text('old')
    link.symlink_to(real)
    with atomic_write(link) as file:
        file.write('new')
    assert link.is_symlink()
    assert real.read_text() == 'new'


def test_the_file_gets_the_usual_permissions(tmp_path):
    (tmp_path / 'plain').write_text('')
    with atomic_write(tmp_path / 'atomic'):
        pass
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_other_modes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'a'"), atomic_write(tmp_path / 'a.txt', 'a'):
        pass
