"""What the page's files say; what a browser makes of them is in test_review_page.py."""

from __future__ import annotations

import json
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

from mal_mm.formats import AnnotationError
from mal_mm.formats.review_marks import mask_digest
from mal_mm.visualization import write_report
from mal_mm_cli.door import enter

HOSTILE = '<script>alert("x")</script>'
WIDTH, HEIGHT = 96, 64


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


def read_data(page, kind):
    """What the files of a kind ('boxes', 'images', 'masks') give the browser."""
    files = sorted((page.path.parent / 'data').glob(f'{kind}-*.js'))
    parts = []
    for file in files:
        call, _, rest = file.read_text(encoding='ascii').partition('(')
        assert call == f'MalReview.add{kind.capitalize()}' and rest.endswith(');\n')
        parts.append(json.loads(rest[:-3]))
    return parts


def test_the_folder_needs_nothing_but_the_photos(root, pred, tmp_path):
    page = write_report(pred, root, tmp_path / 'report', gt=with_human_masks(pred))
    assert page.path == tmp_path / 'report' / 'index.html'
    assert (page.boxes, page.images, page.photos, page.problem) == (4, 3, 3, None)
    html = Page(page.path)
    for link in html.links:
        assert link == 'data:,' or (page.path.parent / link).is_file()
    texts = [path.read_text() for path in page.path.parent.rglob('*.*s')] + [html.html]
    assert not any('http://' in text or 'https://' in text for text in texts)
    (images,) = read_data(page, 'images')
    assert images['src'] == [
        '../img%20root/' + n for n in ('a.png', 'b%20c.png', 's%C3%BCb/c.png')
    ]


def test_the_index_holds_each_box_and_its_mask_as_the_file_has_them(root, pred, tmp_path):
    pred['annotations'].reverse()  # the index goes by image
    page = write_report(pred, root, tmp_path / 'out', gt=with_human_masks(pred))
    (boxes,), (masks,) = read_data(page, 'boxes'), read_data(page, 'masks')
    ids = boxes['ids'].split('\n')
    assert ids == ['12', '11', '13', '14']
    assert boxes['place'] == [3 - i for i in (1, 0, 2, 3)]
    by_id = {str(a['id']): a for a in pred['annotations']}
    for k, name in enumerate(ids):
        own = by_id[name]
        assert boxes['box'][4 * k : 4 * k + 4] == own['bbox']
        assert boxes['quality'][k] == own['mal_quality']
        assert boxes['digests'].split('\n')[k] == mask_digest(own['segmentation'])
        assert masks['masks'][k] == own['segmentation']['counts']
    assert boxes['iou'] == [0.8] * 4
    assert boxes['fill'] == [0.8] * 4
    assert masks['human'] == [rle(10, 20, 40, 60)['counts']] * 4


def test_photos_are_copied_whole_or_small_where_asked_for(root, pred, tmp_path):
    Image.new('RGB', (1000, 500)).save(root / 'a.png')
    pred['images'][0].update(width=1000, height=500)
    for entry in pred['annotations'][:2]:
        entry['segmentation'] = rle(10, 20, 40, 52, 500, 1000)
    whole = write_report(pred, root, tmp_path / 'copy', images='copy')
    assert read_data(whole, 'images')[0]['src'][0] == 'images/000000.png'
    copied = whole.path.parent / 'images' / '000000.png'
    assert copied.read_bytes() == (root / 'a.png').read_bytes()
    small = write_report(pred, root, tmp_path / 'small', images='small')
    with Image.open(small.path.parent / 'images' / '000000.jpg') as image:
        assert image.size == (640, 320)


def test_pictures_that_no_browser_shows_are_taken_along_as_jpeg(root, pred, tmp_path):
    Image.new('RGB', (WIDTH, HEIGHT), (120, 60, 20)).save(root / 'a.tif')
    pred['images'][0]['file_name'] = 'a.tif'
    page = write_report(pred, root, tmp_path / 'out')
    assert read_data(page, 'images')[0]['src'][0] == 'images/000000.jpg'
    with Image.open(page.path.parent / 'images' / '000000.jpg') as image:
        assert np.abs(np.array(image).astype(int) - (120, 60, 20)).max() < 4


@pytest.mark.parametrize('size', [(6, 4), (4, 6)])
def test_turned_photos_are_shown_in_the_frame_of_the_annotations(pred, tmp_path, size):
    pixels = np.zeros((40, 60, 3), dtype=np.uint8)
    pixels[:20, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side: show turned by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / 'a.jpg', exif=exif)
    pred['images'] = [
        {'id': 1, 'file_name': 'a.jpg', 'width': 10 * size[0], 'height': 10 * size[1]}
    ]
    pred['annotations'] = [annotation(1, 1, segmentation=None)]
    page = write_report(pred, tmp_path, tmp_path / 'out')
    src = read_data(page, 'images')[0]['src'][0]
    # the browser turns the photo itself; where boxes lie in the stored picture it gets a copy
    assert src == ('images/000000.jpg' if size == (6, 4) else '../a.jpg')
    if size == (6, 4):
        with Image.open(page.path.parent / src) as image:
            assert image.size == (60, 40) and image.getpixel((5, 5))[0] > 250


def test_missing_and_unusable_pictures_are_listed_and_the_rest_is_shown(root, pred, tmp_path):
    (root / 'a.png').unlink()
    for number, name in enumerate(['/etc/passwd', '../a.png', None], start=4):
        pred['images'].append({'id': number, 'file_name': name, 'width': WIDTH, 'height': HEIGHT})
        pred['annotations'].append(annotation(20 + number, number))
    pred['annotations'].append(annotation(99, 77))
    page = write_report(pred, root, tmp_path / 'out')
    assert (page.images, page.photos) == (7, 2)
    assert page.problem == f"a.png: not found under '{root}'"
    text = Page(page.path).text
    left_out = text[text.index('Cannot be shown') :]
    for words in (
        'a.png',
        'not found under',
        '/etc/passwd',
        'is an absolute path',
        "steps out of its folder through '..'",
        'NoneType, not a string',
        'image 77',
    ):
        assert words in left_out
    (images,) = read_data(page, 'images')
    assert [bool(src) for src in images['src']] == [False, True, True, False, False, False, False]


@pytest.mark.parametrize('case', ['photos', 'no photos', 'no boxes'])
def test_a_page_without_a_single_picture_ends_with_status_3_and_a_sentence(
    root, pred, tmp_path, capsys, case
):
    if case == 'no boxes':
        pred['annotations'] = []
    (tmp_path / 'pred.json').write_text(json.dumps(pred))
    images = root if case == 'photos' else tmp_path
    words = [tmp_path / 'pred.json', '--img-root', images, '--out', tmp_path / 'page']
    status = enter('report', [str(word) for word in words], 'report')
    said = capsys.readouterr()
    assert str(tmp_path / 'page' / 'index.html') in said.out
    assert (status, bool(said.err)) == ((0, False) if case == 'photos' else (3, True))
    if case == 'no photos':
        assert 'shows no picture: of 3 images with boxes none is there (a.png: ' in said.err
    if case == 'no boxes':
        assert 'shows no picture: the file has no boxes' in said.err


def test_how_the_masks_were_made_is_on_the_page(root, pred, tmp_path):
    before = {'config': 'old.py', 'skipped': [{'reason': 'x'}]}
    pred['mal_mm'] = {'config': 'new.py', 'mask_threshold': 0.5, 'flip': False, 'before': before}
    words = Page(write_report(pred, root, tmp_path / 'out').path).words
    assert 'How these masks were made config new.py mask threshold 0.5 flip False' in words
    assert 'before config old.py' in words


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
    written = write_report(pred, root, tmp_path / 'out', gt=with_human_masks(pred))
    page = Page(written.path)
    assert written.boxes == 15
    assert 'unknown category 999' in page.text
    assert 'annotation 108' in page.text
    assert 'annotation 109' in page.text


def test_scores_stand_beside_their_floors(root, pred, tmp_path):
    text = Page(write_report(pred, root, tmp_path / 'out', gt=with_human_masks(pred)).path).words
    assert '0.800 mean IoU with human masks' in text
    # The human masks fill their boxes, so box fill is perfect.
    assert 'box filled 1.000' in text
    assert 'pseudo-masks 0.800' in text


def test_metrics_need_no_human_masks(root, pred, tmp_path):
    from mal_mm.evaluation import evaluate

    metrics = tmp_path / 'metrics.json'
    metrics.write_text(json.dumps(evaluate(pred, with_human_masks(pred))))
    page = write_report(pred, root, tmp_path / 'out', metrics=metrics)
    assert '0.800' in Page(page.path).text
    assert read_data(page, 'masks')[0]['human'] == 0
    with pytest.raises(ValueError, match='evaluate_pseudo_masks'):
        write_report(pred, root, tmp_path / 'out', metrics={'mIoU': 1})


def test_missing_mask_counts_as_zero_as_in_the_evaluation(root, pred, tmp_path):
    gt = with_human_masks(pred)
    pred['annotations'][0].pop('segmentation')
    text = Page(write_report(pred, root, tmp_path / 'out', gt=gt).path).text
    # (3 * 0.8 + 0) / 4, once in the headline, in the panel and in both tables.
    assert text.count('0.600') >= 4


def test_skips_are_counted_by_reason(root, pred, tmp_path):
    pred['annotations'] += [
        annotation(50 + i, 1, segmentation=None, bbox=[i, 0, 0, 5]) for i in range(3)
    ]
    pred['annotations'].append(annotation(60, 1, segmentation=None, mal_skipped='no such image'))
    text = Page(write_report(pred, root, tmp_path / 'out').path).words
    assert 'bbox has zero width or height 3 annotation 50, annotation 51, annotation 52' in text
    assert 'no such image 1 annotation 60' in text
    assert '4 skipped' in text


def test_files_give_the_same_page_as_dicts(root, pred, tmp_path):
    path = tmp_path / 'pred.json'
    path.write_text(json.dumps(pred))
    assert (
        write_report(path, str(root), str(tmp_path / 'one')).path.read_text()
        == write_report(pred, root, tmp_path / 'two', file_name='pred.json').path.read_text()
    )
    path.write_text('{"images": [')
    with pytest.raises(AnnotationError, match=r'pred\.json: not valid JSON'):
        write_report(path, root, tmp_path / 'one')


def test_new_report_replaces_the_old_one_and_spares_other_files(root, pred, tmp_path):
    out = tmp_path / 'out'
    write_report(pred, root, out)
    (out / 'notes.txt').write_text('mine')
    pred['annotations'] = pred['annotations'][:1]
    page = write_report(pred, root, out)
    assert read_data(page, 'boxes')[0]['ids'] == '11'
    assert (out / 'notes.txt').read_text() == 'mine'
    assert {path.name for path in tmp_path.iterdir()} == {'img root', 'out'}


def test_failed_report_leaves_the_old_one_whole(root, pred, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    write_report(pred, root, out)
    before = {path: path.read_bytes() for path in out.rglob('*') if path.is_file()}

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('mal_mm.visualization.report.write_index', full)
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
