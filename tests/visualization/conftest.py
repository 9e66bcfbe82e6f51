"""A labelled file as the engine writes it, and a browser to look at its page."""

from __future__ import annotations

import json

import pytest
from browser import CHROMIUM, Browser
from PIL import Image
from sharp_labeler import blotches
from tiny_instant import write_encoder, write_instant_config

from mal_mm_cli.door import enter

BOXES = [[8, 6, 60, 44], [50, 30, 55, 50], [20, 40, 30, 30], [70, 5, 40, 35], [2, 2, 24, 60]]


@pytest.fixture(scope='session')
def labelled(tmp_path_factory):
    """Folder with images, boxes.json, masks.json and label(ann, out, *options)."""
    folder = tmp_path_factory.mktemp('labelled')
    images, annotations = [], []
    for number in range(4):
        name = f'{number}.png'
        Image.fromarray(blotches(seed=number)).save(folder / name)
        images.append(dict(id=number, file_name=name, width=120, height=90))
        for k, box in enumerate(BOXES):
            annotations.append(
                dict(id=100 + len(annotations), image_id=number, category_id=1 + k % 2, bbox=box)
            )
    categories = [dict(id=1, name='leaf'), dict(id=2, name='stone')]
    data = dict(images=images, annotations=annotations, categories=categories)
    (folder / 'boxes.json').write_text(json.dumps(data))
    config = write_instant_config(folder / 'instant.py', write_encoder(folder / 'encoder.pth'))

    def label(ann: str, out: str, *options: object) -> int:
        words = ['--ann', folder / ann, '--img-root', folder, '--out', folder / out]
        words += ['--config', config, '--method', 'instant', '--device', 'cpu', *options]
        return enter('label', [str(word) for word in words], 'label')

    folder.joinpath('label').mkdir()
    assert label('boxes.json', 'masks.json') == 0
    return folder, label


@pytest.fixture(scope='session')
def chromium(tmp_path_factory):
    """One browser for all tests."""
    if CHROMIUM is None:
        pytest.skip('there is no Chromium; install the package `chromium` of Debian')
    browser = Browser(tmp_path_factory.mktemp('chromium'))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium):
    """The browser, as large as a desktop's; it must not complain."""
    chromium.size(1400, 900)
    chromium.complaints.clear()
    for file in chromium.downloads.iterdir():
        file.unlink()
    yield chromium
    chromium.evaluate('localStorage.clear()')  # pages from the disk share it
    assert chromium.complaints == []
