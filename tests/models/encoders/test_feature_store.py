from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mal_mm.models.encoders import feature_store
from mal_mm.models.encoders.feature_store import FeatureStore

SHAPE = (2, 3, 4)
FILE_BYTES = 16 + 2 * 2 * 3 * 4


def make_map(seed=0):
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float16)


def maps_in(folder):
    return sorted(path.name for path in folder.rglob('*.map'))


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / 'features', 10 * FILE_BYTES)


def age(store, key, seconds):
    """Make a map one that was last used so long ago."""
    then = time.time() - seconds
    os.utime(store.folder / f'{key}.map', (then, then))


def test_a_map_comes_back_as_it_was(store):
    feature = make_map()
    assert store.put('a/b', feature)
    assert np.array_equal(store.get('a/b'), feature)
    assert store.get('a/b').dtype == np.float16
    assert maps_in(store.folder) == ['b.map']


def test_another_process_finds_it(store):
    store.put('a/b', make_map())
    assert np.array_equal(FeatureStore(store.folder, 1).get('a/b'), make_map())


def test_absent_map_is_none_and_makes_no_folder(store):
    assert store.get('a/b') is None
    assert not store.folder.exists()


def test_values_in_any_memory_order_are_kept(store):
    feature = make_map().transpose(1, 2, 0)
    store.put('t', feature)
    assert np.array_equal(store.get('t'), feature)


@pytest.mark.parametrize('damage', ['cut', 'longer', 'flipped bit', 'head only', 'empty'])
def test_damaged_file_counts_as_absent_and_is_written_anew(store, damage):
    store.put('k', make_map())
    path = store.folder / 'k.map'
    content = bytearray(path.read_bytes())
    if damage == 'cut':
        content = content[:-1]
    elif damage == 'longer':
        content += b'x'
    elif damage == 'flipped bit':
        content[-5] ^= 4
    elif damage == 'head only':
        content = content[:16]
    else:
        content = b''
    path.write_bytes(bytes(content))
    assert store.get('k') is None
    store.put('k', make_map(1))
    assert np.array_equal(store.get('k'), make_map(1))


def test_folder_is_bounded_and_maps_of_this_process_stay(store):
    kept = [store.put(f'{n}', make_map(n)) for n in range(15)]
    assert kept == [True] * 10 + [False] * 5
    assert store.full
    assert all(np.array_equal(store.get(f'{n}'), make_map(n)) for n in range(10))
    assert len(maps_in(store.folder)) == 10


def test_longest_unused_maps_of_earlier_processes_make_room(tmp_path):
    old = FeatureStore(tmp_path, 10 * FILE_BYTES)
    for n in range(10):
        old.put(f'old{n}', make_map(n))
        age(old, f'old{n}', 1000 - n)
    new = FeatureStore(tmp_path, 10 * FILE_BYTES)
    assert new.get('old0') is not None  # used again: no longer the oldest
    assert new.put('new', make_map())
    assert maps_in(tmp_path) == ['new.map', 'old0.map', *(f'old{n}.map' for n in range(2, 10))]
    for n in range(12):
        new.put(f'more{n}', make_map())
    # of the old ones only the one that was used stays
    assert len(maps_in(tmp_path)) == 10
    assert [name for name in maps_in(tmp_path) if 'old' in name] == ['old0.map']


def test_rests_of_killed_processes_are_removed_when_an_hour_old(store):
    store.put('a', make_map())
    old, new = store.folder / '.b.map.123.tmp', store.folder / '.c.map.123.tmp'
    for path in (old, new):
        path.write_bytes(b'half')
    os.utime(old, (time.time() - 4000,) * 2)
    FeatureStore(store.folder, 10 * FILE_BYTES).put('d', make_map())
    assert not old.exists() and new.exists()


def test_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError):
        FeatureStore(tmp_path / 'file', 1000).put('a', make_map())


# the file by itself: importing all of mal_mm takes seconds
WRITER = """
import runpy, sys
import numpy as np

store = runpy.run_path(sys.argv[2])['FeatureStore'](sys.argv[1], 10**9)
print('ready', flush=True)
n = 0
while True:
    store.put(f'{n % 20}', np.full((64, 40, 40), n % 20, np.float16))
    n += 1
"""


def test_two_writers_killed_at_any_moment_leave_whole_maps_only(tmp_path):
    writers = [
        subprocess.Popen(
            [sys.executable, '-c', WRITER, str(tmp_path), feature_store.__file__],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    store = FeatureStore(tmp_path, 10**9)
    for writer in writers:
        assert writer.stdout.readline() == 'ready\n'
    deadline = time.time() + 60
    while len(maps_in(tmp_path)) < 20 and time.time() < deadline:
        for n in range(20):
            feature = store.get(f'{n}')
            assert feature is None or (feature == n).all()
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    for n in range(20):
        assert (store.get(f'{n}') == n).all()
