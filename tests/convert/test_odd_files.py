"""Damaged files: a reader lists what is odd, or refuses in a sentence; a writer never trips."""

from __future__ import annotations

import json
import random

import pytest
from coco_files import ENDINGS, awkward, write_images
from test_matrix import READ, WRITTEN, source_in

from mal_mm.convert import Findings, ReadOptions, WriteOptions, find_format
from mal_mm.convert.merge import merge_corrections

pytestmark = pytest.mark.slow
JUNK = [None, True, -1, 0, 1e308, float('nan'), 'x', '', [], {}, [1], {'a': 1}, 2**70, '../x']
BYTES = [b'', b'nan', b'-1', b'1e999', b'\xff', b'<', b'"', b'\n']


def with_junk(value, rng: random.Random, share: float):
    """JSON in which a share of the values is something else, and some keys are gone."""
    if rng.random() < share:
        return rng.choice(JUNK)
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if rng.random() > share / 2}
        return {k: with_junk(v, rng, share) for k, v in kept.items()}
    if isinstance(value, list) and len(value) < 50:
        return [with_junk(v, rng, share) for v in value]
    return value


def damaged(content: bytes, is_json: bool, rng: random.Random) -> bytes:
    if is_json:
        share = rng.choice([0.01, 0.05, 0.2])
        return json.dumps(with_junk(json.loads(content), rng, share)).encode()
    content = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(content) + 1)
        content[place : place + rng.randint(0, 6)] = rng.choice(BYTES)
    return bytes(content)


@pytest.mark.parametrize('name', READ)
def test_a_damaged_file_is_read_in_part_or_refused(name, tmp_path):
    source = source_in(name, tmp_path)
    write_images(awkward(), tmp_path / 'pictures')
    options = ReadOptions(img_root=tmp_path / 'pictures' if name == 'openimages' else None)
    endings = ('.json', '.xml', '.txt', '.csv', '.yaml')
    files = [source] if source.is_file() else sorted(source.rglob('*'))
    files = [path for path in files if path.suffix in endings and path.is_file()]
    for seed in range(20):
        rng = random.Random(seed)
        path = rng.choice(files)
        sound = path.read_bytes()
        path.write_bytes(damaged(sound, path.suffix == '.json', rng))
        try:
            data = find_format(name).reader()(source, options, Findings())
            to = rng.choice(WRITTEN)
            out = tmp_path / f'{seed}{ENDINGS.get(to, "")}'
            shapes = rng.choice([None, 'masks', 'polygons'])
            find_format(to).writer()(data, out, WriteOptions(shapes=shapes), Findings())
            merge_corrections(data, awkward(), None, Findings())
        except (ValueError, OSError) as error:
            assert str(error)
        finally:
            path.write_bytes(sound)
