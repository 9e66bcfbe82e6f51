"""All readers of pixels, side by side, on every kind of file."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from mal_mm.datasets import LoadAnyImage
from mal_mm.labeling.image_io import read_image as read_for_labeling
from mal_mm_runtime.image_file import decode_image, without_addresses

H, W = 12, 17
RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (H, W, 3), dtype=np.uint8)
SMOOTH = np.array(Image.fromarray(RGB[:3, :3]).resize((W, H), Image.BICUBIC))
DEEP = RANDOM.integers(0, 2**16, (H, W), dtype=np.uint16)
DARK = (DEEP >> 4).astype(np.uint16)  # 12 bits in a file of 16
SHARE = RANDOM.random((H, W), dtype=np.float32)


def pillow(pixels: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def opencv(pixels: np.ndarray, ending: str) -> bytes:
    return cv2.imencode(ending, pixels)[1].tobytes()


def exif(orientation: int) -> Image.Exif:
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


palette = Image.fromarray(RGB).convert('P')
alpha = np.dstack([RGB, RANDOM.integers(0, 256, (H, W), dtype=np.uint8)])
# name -> (content of the file, what has to come out, whether mmdet's own reader says the same)
FILES = {
    'rgb png': (pillow(RGB, 'PNG'), RGB, True),
    'rgb bmp': (pillow(RGB, 'BMP'), RGB, True),
    'rgb tiff': (pillow(RGB, 'TIFF'), RGB, True),
    'rgb webp': (pillow(RGB, 'WEBP', lossless=True), RGB, True),
    'grey png': (pillow(RGB[..., 0], 'PNG'), grey(RGB[..., 0]), True),
    'grey tiff': (pillow(RGB[..., 0], 'TIFF'), grey(RGB[..., 0]), True),
    'palette png': (pillow(palette, 'PNG'), np.array(palette.convert('RGB')), True),
    'black and white png': (
        pillow(Image.fromarray(RGB).convert('1'), 'PNG'),
        grey(np.array(Image.fromarray(RGB).convert('1')) * np.uint8(255)),
        True,
    ),
    'alpha png': (pillow(alpha, 'PNG'), RGB, True),
    'grey alpha png': (
        pillow(Image.fromarray(alpha[..., ::3].copy(), 'LA'), 'PNG'),
        grey(RGB[..., 0]),
        True,
    ),
    '16 bits grey png': (pillow(DEEP, 'PNG'), grey((DEEP >> 8).astype(np.uint8)), True),
    '16 bits grey tiff': (pillow(DEEP, 'TIFF'), grey((DEEP >> 8).astype(np.uint8)), False),
    '12 bits in 16 png': (pillow(DARK, 'PNG'), grey((DARK >> 8).astype(np.uint8)), True),
    '16 bits rgb png': (
        opencv(np.dstack([DEEP, DEEP // 2, DEEP // 3]), '.png'),
        (np.dstack([DEEP // 3, DEEP // 2, DEEP]) >> 8).astype(np.uint8),
        True,
    ),
    'float tiff': (pillow(SHARE, 'TIFF'), grey(np.rint(SHARE * 255).astype(np.uint8)), False),
    **{
        f'exif {n} png': (pillow(RGB, 'PNG', exif=exif(n)), turned, False)
        for n, turned in enumerate(
            [
                RGB,
                RGB[:, ::-1],
                RGB[::-1, ::-1],
                RGB[::-1],
                RGB.transpose(1, 0, 2),
                np.rot90(RGB, -1),
                RGB[::-1, ::-1].transpose(1, 0, 2),
                np.rot90(RGB),
            ],
            1,
        )
    },
    'exif 6 deep png': (
        pillow(DEEP, 'PNG', exif=exif(6)),
        np.rot90(grey((DEEP >> 8).astype(np.uint8)), -1),
        False,
    ),
}
READERS = {
    'labeling': read_for_labeling,
    'training': lambda path: load(LoadAnyImage(imdecode_backend='pillow'), path),
    'phase 2': lambda path: load(LoadAnyImage(), path),
}


def load(transform: LoadImageFromFile, path) -> np.ndarray:
    results = transform({'img_path': str(path)})
    assert results['img_shape'] == results['ori_shape'] == results['img'].shape[:2]
    return results['img'][..., ::-1]


@pytest.mark.parametrize('name', FILES)
def test_all_readers_see_the_same_pixels(name, tmp_path):
    content, expected, stock = FILES[name]
    path = tmp_path / 'image'
    path.write_bytes(content)
    for reader, read in READERS.items():
        np.testing.assert_array_equal(read(path), expected, err_msg=reader)
    if stock:
        np.testing.assert_array_equal(load(LoadImageFromFile(), path), expected)


@pytest.mark.parametrize('mode', ['RGB', 'L', 'CMYK'])
def test_all_readers_see_the_same_jpeg(mode, tmp_path):
    path = tmp_path / 'image.jpg'
    Image.fromarray(SMOOTH).convert(mode).save(path, quality=95)
    found = {reader: read(path) for reader, read in READERS.items()}
    for reader, pixels in found.items():
        np.testing.assert_array_equal(pixels, found['labeling'], err_msg=reader)
    assert np.abs(found['labeling'].astype(int) - SMOOTH).mean() < (60 if mode == 'L' else 8)


def test_the_environment_says_how_deep_a_camera_is(tmp_path, monkeypatch):
    path = tmp_path / 'image'
    deep = grey(np.rint(DARK.astype(float) * 255 / 4095).astype(np.uint8))
    for content, expected in (
        (pillow(DARK, 'PNG'), deep),
        (pillow(DARK, 'TIFF'), deep),
        (opencv(np.dstack([DARK] * 3), '.png'), deep),
        (pillow(DARK.astype(np.int32), 'TIFF'), deep),
        (pillow(DARK.astype(np.float32), 'TIFF'), deep),
        (pillow(RGB, 'PNG'), RGB),  # 8 bits stay what they are
    ):
        path.write_bytes(content)
        monkeypatch.setenv('MAL_IMAGE_BITS', '12')
        for reader, read in READERS.items():
            np.testing.assert_array_equal(read(path), expected, err_msg=reader)
    monkeypatch.setenv('MAL_IMAGE_BITS', 'twelve')
    path.write_bytes(pillow(DARK, 'PNG'))
    with pytest.raises(OSError, match='MAL_IMAGE_BITS must be a number of bits from 9 to 32'):
        read_for_labeling(path)


def test_the_range_follows_the_file_and_not_what_is_in_it(tmp_path):
    dark = np.full((H, W), 700, dtype=np.uint16)
    assert (decode_image(pillow(dark, 'PNG')) == 2).all()
    assert (decode_image(pillow(np.full((H, W), 0.1, np.float32), 'TIFF')) == 26).all()
    beyond = np.array([[-1, 2, np.nan, 0.5]], np.float32)
    assert decode_image(pillow(beyond, 'TIFF'))[0, :, 0].tolist() == [0, 255, 0, 128]
    with pytest.raises(ValueError, match='32 bits have no usual range; set MAL_IMAGE_BITS'):
        decode_image(pillow(DARK.astype(np.int32), 'TIFF'))


@pytest.mark.parametrize(
    'content',
    [b'', b'hello', pillow(RGB, 'PNG')[:-30], pillow(RGB, 'JPEG')[:300], b'\x89PNG\r\n\x1a\n' * 3],
)
def test_what_is_wrong_is_said_in_the_same_words_each_time(content, tmp_path):
    said = set()
    for _ in range(3):
        with pytest.raises(ValueError) as caught:
            decode_image(content)
        said.add(str(caught.value))
    assert len(said) == 1 and '0x' not in said.pop()
    (tmp_path / 'a').write_bytes(content)
    for read in READERS.values():
        with pytest.raises((OSError, ValueError)):
            read(tmp_path / 'a')
    skip = LoadAnyImage(skip_unreadable=True)
    assert skip({'img_path': str(tmp_path / 'a')}) is None
    assert skip({'img_path': str(tmp_path / 'missing')}) is None


def test_addresses_are_taken_out_of_messages():
    text = f'cannot identify {io.BytesIO()!r} of {object()!r}'
    assert without_addresses(text) == 'cannot identify <_io.BytesIO> of <object>'


def test_large_pictures_are_refused_with_a_cure(monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 50)
    content = pillow(RGB, 'PNG')
    with pytest.raises(ValueError, match='set MAL_MAX_IMAGE_PIXELS to its number of pixels'):
        decode_image(content)
    monkeypatch.setenv('MAL_MAX_IMAGE_PIXELS', str(H * W))
    np.testing.assert_array_equal(decode_image(content), RGB)
