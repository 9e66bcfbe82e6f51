import json
import re
import sys
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from mal_mm.visualization.pictures import MASK_COLOR, read_image
from PIL import Image
from pycocotools import mask as mask_utils

from mal_mm.formats import AnnotationError
from mal_mm.visualization import write_report

HOSTILE = '<script>alert("x")</script>'
WIDTH, HEIGHT = 96, 64
# JPEG at quality 92 moves flat colours by a few grey levels.
TOLERANCE = 12


def rle(y0, x0, y1, x1, height=HEIGHT, width=WIDTH):
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[y0:y1, x0:x1] = 1
    encoded = mask_utils.encode(np.asfortranarray(mask))
    return {'size': [height, width], 'counts': encoded['counts'].decode()}


def annotation(number, image_id, quality=0.5, category=1, **fields):
    """A box of 40 x 30 px at (20, 10) whose mask leaves out its last 8 columns."""
    return {
        'id': number,
        'image_id': image_id,
        'category_id': category,
        'bbox': [20, 10, 40, 30],
        'segmentation': rle(10, 20, 40, 52),
        'area': 32 * 30,
        'iscrowd': 0,
        'mal_quality': quality,
        **fields,
    }


@pytest.fixture
def root(tmp_path):
    """Three grey pictures in a folder with a space in its name."""
    folder = tmp_path / 'img root'
    (folder / 'süb').mkdir(parents=True)
    for name in ('a.png', 'b c.png', 'süb/c.png'):
        Image.new('RGB', (WIDTH, HEIGHT), (120, 120, 120)).save(folder / name)
    return folder


@pytest.fixture
def pred():
    names = ('a.png', 'b c.png', 'süb/c.png')
    return {
        'images': [
            {'id': i, 'file_name': name, 'width': WIDTH, 'height': HEIGHT}
            for i, name in enumerate(names, start=1)
        ],
        'categories': [{'id': 1, 'name': 'cat'}, {'id': 2, 'name': HOSTILE}],
        'annotations': [
            annotation(11, 1, 0.9),
            annotation(12, 1, 0.2, category=2),
            annotation(13, 2, 0.6),
            annotation(14, 3, 0.4),
        ],
    }


def with_human_masks(pred):
    """The same boxes with masks that fill them: IoU is 32 / 40 = 0.8 everywhere."""
    gt = json.loads(json.dumps(pred))
    for entry in gt['annotations']:
        entry['segmentation'] = rle(10, 20, 40, 60)
        del entry['mal_quality']
    return gt


class Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.links, self.tags, self.text = [], [], ''
        self.html = path.read_text(encoding='utf-8')
        self.feed(self.html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ('src', 'href')]

    def handle_data(self, data):
        self.text += f'{data} '

    @property
    def words(self):
        return ' '.join(self.text.split())


def read_picture(path):
    return np.array(Image.open(path).convert('RGB')).astype(int)


def test_report_links_only_to_pictures_that_lie_beside_it(root, pred, tmp_path):
    index = write_report(pred, root, tmp_path / 'report', gt=with_human_masks(pred))
    assert index == tmp_path / 'report' / 'index.html'
    page = Page(index)
    files = {link for link in page.links if not link.startswith('#')}
    assert files == {f'images/{path.name}' for path in (index.parent / 'images').glob('*.jpg')}
    # 3 images in 5 views, 4 instances drawn and bare.
    assert len(files) == 3 * 5 + 4 * 2
    assert 'url(' not in page.html
    assert 'http' not in page.html


def test_pictures_hold_the_masks_colour_inside_and_the_photo_outside(root, pred, tmp_path):
    pred['annotations'] = [annotation(1, 1)]
    images = write_report(pred, root, tmp_path / 'out').parent / 'images'
    scale = 8
    drawn = read_picture(images / 'image-000-masks.jpg')
    assert drawn.shape == (HEIGHT * scale, WIDTH * scale, 3)
    inside = drawn[12 * scale : 38 * scale, 22 * scale : 50 * scale]
    assert np.ptp(inside, axis=(0, 1)).max() <= TOLERANCE
    assert np.abs(inside.mean((0, 1)) - 120).max() > 20
    outside = np.ones(drawn.shape[:2], dtype=bool)
    outside[8 * scale : 42 * scale, 18 * scale : 54 * scale] = False
    assert np.abs(drawn[outside] - 120).max() <= TOLERANCE
    photo = read_picture(images / 'image-000-photo.jpg')
    assert np.abs(photo - 120).max() <= TOLERANCE


def test_crops_hold_the_masks_colour_inside_and_the_photo_outside(root, pred, tmp_path):
    pred['annotations'] = [annotation(1, 1)]
    images = write_report(pred, root, tmp_path / 'out').parent / 'images'
    drawn = read_picture(images / 'instance-000.jpg')
    # The window is 64 px square: margin 0.3 * 40 on each side of the longer side, at (8, 0).
    assert drawn.shape == (384, 384, 3)
    fill = 0.7 * 120 + 0.3 * np.array(MASK_COLOR)
    inside = drawn[6 * 12 : 6 * 38, 6 * (22 - 8) : 6 * (50 - 8)]
    assert np.abs(inside - fill).max() <= TOLERANCE
    assert np.abs(drawn[6 * 44 :] - 120).max() <= TOLERANCE
    bare = read_picture(images / 'instance-000-photo.jpg')
    assert np.abs(bare - 120).max() <= TOLERANCE


def test_hostile_names_are_shown_as_text(root, pred, tmp_path):
    (root / 'a.png').rename(root / '<img src=x onerror=alert(1)>.png')
    pred['images'][0]['file_name'] = '<img src=x onerror=alert(1)>.png'
    pred['annotations'][0]['id'] = '"><script>1</script>'
    pred['annotations'][0]['mal_flag'] = '<b onclick=1>'
    pred['mal_mm'] = {'config': HOSTILE, 'skipped': [{'reason': HOSTILE}]}
    page = Page(write_report(pred, root, tmp_path / 'out', title=HOSTILE))
    assert 'script' not in page.tags
    assert 'onerror=alert(1)>' not in page.html.replace('&gt;', '')
    # Title, headline, class in the table and on a crop, provenance, skip.
    assert page.text.count(HOSTILE) >= 6
    assert '<img src=x onerror=alert(1)>.png' in page.text


def test_missing_and_unusable_pictures_are_listed_and_the_rest_is_shown(root, pred, tmp_path):
    (root / 'a.png').unlink()
    (root / 'b c.png').write_bytes((root / 'b c.png').read_bytes()[:60])
    extra = ['/etc/passwd', '../a.png', 'süb/small.png', None]
    Image.new('RGB', (8, 8)).save(root / 'süb' / 'small.png')
    for number, name in enumerate(extra, start=4):
        pred['images'].append({'id': number, 'file_name': name, 'width': WIDTH, 'height': HEIGHT})
        pred['annotations'].append(annotation(20 + number, number))
    pred['annotations'].append(annotation(99, 77))
    index = write_report(pred, root, tmp_path / 'out')
    page = Page(index)
    left_out = page.text[page.text.index('Not shown on this page') :]
    for words in (
        'a.png',
        'not found under',
        'b c.png',
        '/etc/passwd',
        'is an absolute path',
        "steps out of its folder through '..'",
        'the picture is 8 x 8 pixels, the annotation file says 96 x 64',
        'NoneType, not a string',
        'image 77',
    ):
        assert words in left_out
    assert len(list((index.parent / 'images').glob('image-*-masks.jpg'))) == 1


def test_broken_annotations_never_stop_the_report(root, pred, tmp_path):
    broken = [
        {'bbox': [float('nan'), 1, 2, 3], 'segmentation': None},
        {'bbox': None, 'mal_quality': float('nan')},
        {'bbox': [1, 2, 0, -3]},
        {'bbox': 'box'},
        {'bbox': [5000, 5000, 3, 3]},
        {'category_id': 999, 'mal_quality': 'good'},
        {'category_id': [1]},
        {'image_id': [1]},
        {'segmentation': {'size': [HEIGHT, WIDTH], 'counts': 'zz~~'}},
        {'segmentation': rle(0, 0, 4, 4, 8, 8)},
        {'segmentation': [[1, 2, 3]]},
    ]
    for number, fields in enumerate(broken, start=100):
        pred['annotations'].append(annotation(number, 1) | fields)
    page = Page(write_report(pred, root, tmp_path / 'out', gt=with_human_masks(pred)))
    assert 'unknown category 999' in page.text
    assert 'annotation 108' in page.text
    assert 'annotation 109' in page.text


def test_empty_file_gives_a_page(tmp_path):
    index = write_report({'images': [], 'annotations': []}, tmp_path, tmp_path / 'out')
    assert 'No image could be shown' in Page(index).text


def test_crops_come_lowest_quality_first_then_a_sample_of_the_others(root, pred, tmp_path):
    for number in range(40):
        pred['annotations'].append(annotation(1000 + number, 1, 0.5 + number / 100))
    page = Page(write_report(pred, root, tmp_path / 'out', max_instances=8))
    ids = [int(number) for number in re.findall(r'class="id"[^>]*>#(\d+)<', page.html)]
    assert ids[:4] == [12, 14, 1000, 1001]
    assert len(set(ids)) == 8


def test_number_of_images_is_limited_and_the_choice_repeats(root, pred, tmp_path):
    pages = [
        Page(write_report(pred, root, tmp_path / name, max_images=2, seed=3)).html
        for name in ('one', 'two')
    ]
    assert pages[0] == pages[1]
    assert pages[0].count('class="shot-masks"') == 2


def test_scores_stand_beside_their_floors(root, pred, tmp_path):
    text = Page(write_report(pred, root, tmp_path / 'out', gt=with_human_masks(pred))).words
    assert '0.800 mean IoU with human masks' in text
    # The human masks fill their boxes, so box fill is perfect.
    assert 'box filled 1.000' in text
    assert 'pseudo-masks 0.800' in text
    assert text.count('IoU 0.80') >= 4


def test_metrics_need_no_human_masks(root, pred, tmp_path):
    from mal_mm.evaluation import evaluate

    metrics = tmp_path / 'metrics.json'
    metrics.write_text(json.dumps(evaluate(pred, with_human_masks(pred))))
    page = Page(write_report(pred, root, tmp_path / 'out', metrics=metrics))
    assert '0.800' in page.text
    assert 'id="view-human"' not in page.html
    with pytest.raises(ValueError, match='evaluate_pseudo_masks'):
        write_report(pred, root, tmp_path / 'out', metrics={'mIoU': 1})


def test_missing_mask_counts_as_zero_as_in_the_evaluation(root, pred, tmp_path):
    gt = with_human_masks(pred)
    pred['annotations'][0].pop('segmentation')
    text = Page(write_report(pred, root, tmp_path / 'out', gt=gt)).text
    # (3 * 0.8 + 0) / 4, once in the headline, in the panel and in both tables.
    assert text.count('0.600') >= 4


def test_skips_are_counted_by_reason(root, pred, tmp_path):
    pred['annotations'] += [
        annotation(50 + i, 1, segmentation=None, bbox=[i, 0, 0, 5]) for i in range(3)
    ]
    pred['annotations'].append(annotation(60, 1, segmentation=None, mal_skipped='no such image'))
    text = Page(write_report(pred, root, tmp_path / 'out')).words
    assert 'bbox has zero width or height 3 annotation 50, annotation 51, annotation 52' in text
    assert 'no such image 1 annotation 60' in text
    assert '4 skipped' in text


def test_files_give_the_same_page_as_dicts(root, pred, tmp_path):
    path = tmp_path / 'pred.json'
    path.write_text(json.dumps(pred))
    assert (
        write_report(path, str(root), str(tmp_path / 'one')).read_text()
        == write_report(pred, root, tmp_path / 'two').read_text()
    )
    path.write_text('{"images": [')
    with pytest.raises(AnnotationError, match=r'pred\.json: not valid JSON'):
        write_report(path, root, tmp_path / 'one')


def test_new_report_replaces_the_old_one_and_spares_other_files(root, pred, tmp_path):
    out = tmp_path / 'out'
    write_report(pred, root, out)
    (out / 'notes.txt').write_text('mine')
    pred['annotations'] = pred['annotations'][:1]
    write_report(pred, root, out)
    assert len(list((out / 'images').glob('instance-*-photo.jpg'))) == 1
    assert (out / 'notes.txt').read_text() == 'mine'
    assert {path.name for path in tmp_path.iterdir()} == {'img root', 'out'}


def test_failed_report_leaves_the_old_one_whole(root, pred, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    write_report(pred, root, out)
    before = {path: path.read_bytes() for path in out.rglob('*') if path.is_file()}

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('mal_mm.visualization.pictures.write_image', full)
    with pytest.raises(OSError, match='No space left'):
        write_report(pred, root, out)
    assert {path: path.read_bytes() for path in out.rglob('*') if path.is_file()} == before
    assert {path.name for path in tmp_path.iterdir()} == {'img root', 'out'}


def test_images_folder_of_a_user_is_never_touched(root, pred, tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / 'precious.png').write_bytes(b'data')
    with pytest.raises(FileExistsError, match='choose another output folder'):
        write_report(pred, root, tmp_path)
    assert (tmp_path / 'images' / 'precious.png').read_bytes() == b'data'


def test_missing_jinja_is_named_with_its_cure(root, pred, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'jinja2', None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install mal-mm\[report\]'):
        write_report(pred, root, tmp_path / 'out')


def test_turned_photos_are_read_in_the_frame_of_the_annotations(tmp_path):
    pixels = np.zeros((4, 6, 3), dtype=np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side: show turned by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / 'a.png', exif=exif)
    turned = read_image(tmp_path / 'a.png')
    assert turned.shape == (6, 4, 3)
    assert turned[0, 3, 0] == 255
    assert (read_image(tmp_path / 'a.png', (6, 4)) == turned).all()
    assert (read_image(tmp_path / 'a.png', (4, 6)) == pixels).all()


def test_grey_and_16_bit_pictures_become_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / 'deep.png'), np.full((3, 5), 0x80FF, dtype=np.uint16))
    Image.new('L', (5, 3), 128).save(tmp_path / 'grey.png')
    for name in ('deep.png', 'grey.png'):
        image = read_image(tmp_path / name)
        assert image.dtype == np.uint8
        assert (image == np.full((3, 5, 3), 128)).all()
