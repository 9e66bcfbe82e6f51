import numpy as np
import pytest
from PIL import Image

from mal_mm.labeling.image_io import read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def test_an_image_is_read_as_rgb(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / 'a.png')
    image = read_image(tmp_path / 'a.png')
    np.testing.assert_array_equal(image, PIXELS)
    assert image.flags.c_contiguous


def test_grey_and_transparent_images_get_three_channels(tmp_path):
    grey = Image.fromarray(PIXELS[..., 0])
    grey.save(tmp_path / 'grey.png')
    np.testing.assert_array_equal(
        read_image(tmp_path / 'grey.png'), np.repeat(PIXELS[..., :1], 3, axis=2)
    )
    Image.fromarray(PIXELS).convert('RGBA').save(tmp_path / 'rgba.png')
    np.testing.assert_array_equal(read_image(tmp_path / 'rgba.png'), PIXELS)


def test_a_cameras_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # taken on the side: turn it clockwise by a quarter
    Image.fromarray(PIXELS).save(tmp_path / 'a.png', exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / 'a.png'), np.rot90(PIXELS, -1))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'no such image'),
        (b'', 'cannot be decoded'),
        (b'<html>', 'cannot be decoded'),
        ('truncated', r'cannot be decoded \(OSError: .*truncated'),
    ],
)
def test_an_image_that_cannot_be_read_is_named(tmp_path, content, message):
    path = tmp_path / 'a.jpg'
    if content == 'truncated':
        Image.fromarray(np.tile(PIXELS, (9, 9, 1))).save(path)
        path.write_bytes(path.read_bytes()[:1500])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(OSError, match=message) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
