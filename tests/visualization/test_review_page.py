"""The review page in a browser, from the disk: looked at, filtered, marked, read back."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

from mal_mm.visualization import write_report

pytestmark = pytest.mark.slow  # nothing here depends on the stack

HOSTILE = '</script><img src=x onerror="window.hacked=1">&amp;\u2028"\'`'
IDS = '[...document.querySelectorAll("#grid .id")].map((each) => each.textContent)'
MARKS = "[...document.querySelectorAll('#grid .card')].map((card) => card.dataset.mark)"
DRAWN = "document.querySelector('#grid canvas').width > 50 && MalReview.photos.loaded > 0"


def rle(y0, x0, y1, x1, height=64, width=96):
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[y0:y1, x0:x1] = 1
    return rle_of(mask)


def rle_of(mask):
    encoded = mask_utils.encode(np.asfortranarray(mask))
    return {'size': list(mask.shape), 'counts': encoded['counts'].decode()}


def one_box(file_name='a.png', **fields):
    """A grey image of 96 x 64 px with a box of 40 x 30 whose mask ends 8 columns before it."""
    return {
        'images': [{'id': 1, 'file_name': file_name, 'width': 96, 'height': 64}],
        'categories': [{'id': 1, 'name': 'cat'}],
        'annotations': [
            {
                'id': 7,
                'image_id': 1,
                'category_id': 1,
                'bbox': [20, 10, 40, 30],
                'segmentation': rle(10, 20, 40, 52),
                'mal_quality': 0.5,
                **fields,
            }
        ],
    }


def write_grey(path, size=(96, 64), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size, (120, 120, 120)).save(path, **options)


def test_a_review_by_keyboard_ends_in_new_masks_for_what_was_rejected(browser, labelled, tmp_path):
    folder, label = labelled
    page = write_report(folder / 'masks.json', folder, tmp_path / 'page').path
    browser.open(page)
    browser.click('#classes .choice')  # one class alone: leaf, the larger one
    before = {a['id']: a for a in json.loads((folder / 'masks.json').read_text())['annotations']}
    leaves = [a for a in before.values() if a['category_id'] == 1]
    expected = [f'#{a["id"]}' for a in sorted(leaves, key=lambda a: a['mal_quality'])]
    assert browser.evaluate(IDS) == expected

    browser.press('r', 'r', 'r', 'a')
    assert browser.evaluate(MARKS)[:5] == ['reject', 'reject', 'reject', 'accept', '']
    browser.press('u')  # the acceptance was a slip
    browser.press('e')
    exported = browser.download()
    browser.open(page)  # what was marked stays
    assert browser.evaluate('MalReview.marks.counts') == [17, 0, 3, 0]

    moved = exported.rename(tmp_path / 'marks.json')
    options = ['--redo', moved, '--mask-threshold', 0.8, '--margin', 0.1, '--refine', 'none']
    assert label('masks.json', 'again.json', *options) == 0
    after = {a['id']: a for a in json.loads((folder / 'again.json').read_text())['annotations']}
    rejected = {int(text[1:]) for text in expected[:3]}
    assert {i for i in before if json.dumps(before[i]) != json.dumps(after[i])} == rejected
    assert all(before[i]['segmentation'] != after[i]['segmentation'] for i in rejected)

    # on the page of the new file the marks of the former masks say nothing
    browser.open(write_report(folder / 'again.json', folder, tmp_path / 'second').path)
    browser.choose_file('#import-file', moved)
    browser.wait_for("document.querySelector('#message').textContent.includes('taken over')")
    said = browser.evaluate("document.querySelector('#message').textContent")
    assert said == '0 marks taken over; 3 left out: their masks have been drawn anew since'
    # and on a page of the old one, in another browser, they are taken over
    browser.open(page)
    browser.evaluate('localStorage.clear()')
    browser.open(page)
    assert browser.evaluate('MalReview.marks.counts') == [20, 0, 0, 0]
    browser.choose_file('#import-file', moved)
    browser.wait_for('MalReview.marks.counts[2] === 3')

    # or the marks are written into the file, and its page begins with them
    assert label('masks.json', 'kept.json', '--reject', moved, '--report', tmp_path / 'kept') == 0
    kept = json.loads((folder / 'kept.json').read_text())['annotations']
    assert {a['id'] for a in kept if a.get('ignore')} == rejected
    browser.evaluate('localStorage.clear()')
    browser.open(tmp_path / 'kept' / 'index.html')
    assert browser.evaluate('MalReview.marks.counts') == [17, 0, 3, 0]


def test_everything_can_be_done_with_keys(browser, labelled, tmp_path):
    folder, _ = labelled
    data = json.loads((folder / 'masks.json').read_text())
    browser.open(write_report(data, folder, tmp_path / 'page').path)
    browser.press('?')
    assert browser.evaluate("document.querySelector('#help').open")
    browser.press('Escape')
    assert not browser.evaluate("document.querySelector('#help').open")

    browser.press('/')
    browser.type('#113')
    browser.wait_for('MalReview.order.length === 1')
    assert browser.evaluate(IDS) == ['#113']
    browser.press('Enter', 'Enter')  # leaves the field, opens the photo
    browser.wait_for('MalReview.viewer.scene && MalReview.viewer.scene.others.length === 4')
    assert browser.evaluate("document.querySelector('#box-name').textContent") == 'stone #113'
    facts = browser.evaluate("document.querySelector('#facts').textContent")
    assert '2.png' in facts and 'quality' in facts
    browser.press('w')
    assert browser.evaluate("document.querySelector('#box-mark').textContent") == 'needs work'
    before = browser.evaluate('MalReview.viewer.view.scale')
    browser.press('+', '+', '-')
    assert browser.evaluate('MalReview.viewer.view.scale') == pytest.approx(1.3 * before)
    browser.press('0')
    browser.press('m', 'b', 'o', 'p')
    pressed = "[...document.querySelectorAll('[data-layer][aria-pressed=true]')]"
    assert browser.evaluate(f'{pressed}.map((each) => each.dataset.layer)') == ['human', 'bare']
    browser.press('Escape', '/')
    browser.evaluate("document.querySelector('#search').select()")
    browser.type('3.png')
    browser.wait_for('MalReview.order.length === 5')
    browser.press('Escape', 'End')
    assert browser.evaluate('MalReview.cursor') == 4


def test_masks_are_decoded_and_painted_as_pycocotools_does(browser, tmp_path):
    write_grey(tmp_path / 'a.png')
    browser.open(write_report(one_box(), tmp_path, tmp_path / 'page').path)
    random = np.random.default_rng(0)
    masks = [random.random((h, w)) < p for h, w, p in ((7, 9, 0.5), (1, 40, 0.2), (33, 1, 0.9))]
    masks += [np.zeros((5, 6)), np.ones((5, 6)), np.zeros((3000, 50)), np.eye(300, 200)]
    masks[5][:, 20:30] = 1  # runs longer than five and ten bits
    masks[6][100:] = 1
    for mask in masks:
        mask = mask.astype(np.uint8)
        height, width = mask.shape
        for scale, x, y in ((1, 0, 0), (2, 3, -2)):
            columns, rows = 2 * width + 8, 2 * height + 8
            script = f"""(() => {{
                const raster = {{bits: new Uint16Array({columns * rows}), width: {columns},
                  height: {rows}}};
                MalReview.paintRuns(MalReview.decodeRuns({json.dumps(rle_of(mask)['counts'])}),
                  {height}, raster, {{x: {x}, y: {y}, scale: {scale}}}, 1, true);
                return raster.bits.join('');
            }})()"""
            text = browser.evaluate(script)
            painted = np.array([int(each) for each in text]).reshape(rows, columns)
            large = np.repeat(np.repeat(mask, scale, 0), scale, 1)
            wanted = np.zeros((rows + 99, columns + 99), dtype=int)
            top, left = max(0, -y * scale), max(0, -x * scale)
            shown = large[max(0, y) * scale :, max(0, x) * scale :]
            wanted[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
            np.testing.assert_array_equal(painted, wanted[:rows, :columns])


def test_the_viewer_shows_photo_mask_and_box_where_they_belong(browser, tmp_path):
    write_grey(tmp_path / 'a.png')
    browser.open(write_report(one_box(), tmp_path, tmp_path / 'page').path)
    browser.press('Enter')
    browser.wait_for('MalReview.viewer.scene && MalReview.viewer.scene.photo')
    browser.press('0')
    browser.evaluate('new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))')

    def colours(*places):
        picture = browser.call('Page.captureScreenshot')['data']
        pixels = np.array(Image.open(io.BytesIO(base64.b64decode(picture))).convert('RGB'))
        x0, y0, ratio = browser.evaluate(
            """(() => { const canvas = document.querySelector('#canvas');
            const place = canvas.getBoundingClientRect(), view = MalReview.viewer.view;
            const {x, y, scale} = view;
            return [place.x - x * scale, place.y - y * scale, scale]; })()"""
        )
        return [pixels[int(y0 + y * ratio), int(x0 + x * ratio)].tolist() for x, y in places]

    inside, beside, outside = colours((35, 25), (56, 25), (80, 50))
    assert outside == [120, 120, 120] and beside == outside
    pink, share = np.array([255, 45, 120]), 90 / 255
    np.testing.assert_allclose(inside, 120 * (1 - share) + pink * share, atol=3)
    frame = colours((60, 25))[0]
    assert frame[0] > 200 and frame[1] > 170 and frame[2] < 90
    browser.press('p')
    browser.evaluate('new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))')
    assert colours((35, 25)) == [[120, 120, 120]]


def test_human_masks_bring_iou_and_agreement(browser, tmp_path):
    write_grey(tmp_path / 'a.png')
    human = one_box(segmentation=rle(10, 20, 40, 60))
    page = write_report(one_box(), tmp_path, tmp_path / 'page', gt=human).path
    browser.open(page)
    browser.wait_for(DRAWN)
    caption = browser.evaluate("document.querySelector('.caption').textContent")
    assert 'IoU 0.80' in caption
    browser.evaluate("document.querySelector('#iou-low').value = 0.9")
    browser.evaluate("document.querySelector('#iou-low').onchange()")
    assert browser.evaluate('MalReview.order.length') == 0
    browser.click('#reset')
    browser.press('g', 's', 'Enter')
    browser.wait_for('MalReview.viewer.scene')
    assert browser.evaluate("document.querySelector('#canvas-human').clientWidth") > 100


def test_hostile_names_are_text(browser, tmp_path):
    data = one_box('x/\'" onerror=window.hacked=1 #?%41.png', id=HOSTILE, mal_flag=HOSTILE)
    write_grey(tmp_path / data['images'][0]['file_name'])
    data['categories'][0]['name'] = HOSTILE
    data['annotations'].append({**data['annotations'][0], 'id': 12345678901234567890123})
    data['annotations'].append({**data['annotations'][0], 'id': 3, 'mal_skipped': HOSTILE})
    data['mal_mm'] = {'config': HOSTILE, HOSTILE: {'a': HOSTILE}}
    browser.open(write_report(data, tmp_path, tmp_path / 'page', title=HOSTILE).path)
    browser.wait_for(DRAWN)  # the address of the photo is quoted
    browser.press('Enter', 'r', 'w', 'a')
    browser.click('#tab-summary')
    assert browser.evaluate('window.hacked') is None
    assert browser.evaluate("document.querySelector('h1').textContent") == HOSTILE
    assert browser.evaluate("document.querySelectorAll('img').length") == 0
    marks = json.loads(browser.evaluate('MalReview.marks.toJson()'))['marks']
    assert {m['annotation_id'] for m in marks} == {HOSTILE, 12345678901234567890123, 3}
    text = browser.evaluate('MalReview.marks.fromJson(MalReview.marks.toJson())')
    assert text == '3 marks taken over'


def test_photos_that_are_missing_turned_or_of_another_size_are_told_apart(browser, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    data = one_box()
    sizes = {'gone.png': (96, 64), 'turned.jpg': (64, 96), 'stored.jpg': (96, 64)}
    sizes |= {'other.png': (96, 64), 'cut.png': (96, 64)}
    data['images'] = [
        {'id': n, 'file_name': name, 'width': size[0], 'height': size[1]}
        for n, (name, size) in enumerate(sizes.items())
    ]
    template = data['annotations'][0]
    data['annotations'] = [
        {**template, 'id': n, 'image_id': n, 'segmentation': rle(10, 20, 40, 52, size[1], size[0])}
        for n, size in enumerate(sizes.values())
    ]
    write_grey(tmp_path / 'turned.jpg', exif=exif)
    write_grey(tmp_path / 'stored.jpg', exif=exif)
    write_grey(tmp_path / 'other.png', (50, 50))
    write_grey(tmp_path / 'cut.png')
    (tmp_path / 'cut.png').write_bytes((tmp_path / 'cut.png').read_bytes()[:60])
    page = write_report(data, tmp_path, tmp_path / 'page')
    assert (page.images, page.photos) == (5, 4)
    browser.open(page.path)
    browser.wait_for('MalReview.photos.loaded === 2 && MalReview.photos.failed === 3')
    said = """Object.fromEntries([...document.querySelectorAll('.card')].map((card) =>
        [card.querySelector('.id').textContent, card.querySelector('.message').textContent]))"""
    browser.wait_for(f"({said})['#4'] !== ''")
    said = browser.evaluate(said)
    assert said['#0'].startswith('not found under') and said['#1'] == said['#2'] == ''
    assert said['#3'] == 'the photo is 50 x 50 pixels, the annotation file says 96 x 64'
    assert said['#4'] == 'the photo is not there, or is damaged'


def test_a_page_that_was_moved_says_where_it_looked_and_copies_move_along(browser, tmp_path):
    for number in range(3):
        write_grey(tmp_path / 'photos' / f'{number}.png')
    data = one_box()
    data['images'] = [
        {'id': n, 'file_name': f'{n}.png', 'width': 96, 'height': 64} for n in range(3)
    ]
    data['annotations'] = [{**data['annotations'][0], 'id': n, 'image_id': n} for n in range(3)]
    for mode in ('link', 'small'):
        write_report(data, tmp_path / 'photos', tmp_path / 'a' / mode, images=mode)
        (tmp_path / 'elsewhere' / 'deep').mkdir(parents=True, exist_ok=True)
        moved = (tmp_path / 'a' / mode).rename(tmp_path / 'elsewhere' / 'deep' / mode)
        browser.open(moved / 'index.html')
        browser.wait_for('MalReview.photos.loaded + MalReview.photos.failed === 3')
        assert browser.evaluate('MalReview.photos.loaded') == (3 if mode == 'small' else 0)
        hidden = browser.evaluate("document.querySelector('#photo-problem').hidden")
        assert hidden == (mode == 'small')
        if mode == 'link':
            text = browser.evaluate("document.querySelector('#photo-problem').textContent")
            assert '../../photos' in text
            browser.complaints.clear()  # that a file is not there is said in the console too


@pytest.mark.parametrize('what', ['skipped', 'empty'])
def test_pages_with_nothing_to_draw_say_so(browser, tmp_path, what):
    data = one_box(segmentation=None, mal_quality=None, mal_skipped='cannot be read: a.png')
    if what == 'empty':
        data['annotations'] = []
    page = write_report(data, tmp_path, tmp_path / 'page')
    assert page.photos == 0
    browser.open(page.path)
    browser.click('#tab-summary')
    text = browser.evaluate("document.querySelector('#summary').innerText")
    if what == 'skipped':
        assert 'cannot be read: a.png' in text and "not found under '" in text
        browser.click('#tab-review')
        browser.press('Enter')
        browser.wait_for("document.querySelector('#facts').textContent.includes('cannot be read')")
    else:
        grid = browser.evaluate("document.querySelector('#grid').textContent")
        assert grid == 'The file has no boxes.'


def test_a_phone_of_390_px_shows_all_without_scrolling_sideways(browser, labelled, tmp_path):
    folder, _ = labelled
    gt = json.loads((folder / 'masks.json').read_text())
    browser.size(390, 844, phone=True)
    browser.open(write_report(folder / 'masks.json', folder, tmp_path / 'page', gt=gt).path)
    browser.wait_for(DRAWN)

    def fits():
        return browser.evaluate(
            """[...document.querySelectorAll('button, canvas, input, select, h2')].filter((each) =>
            each.offsetParent && each.getBoundingClientRect().right > 391 &&
            !each.closest('.layers, .table, dialog')).map((each) => each.outerHTML.slice(0, 80))
            .concat(document.documentElement.scrollWidth > 390 ? ['wide'] : [])"""
        )

    assert fits() == []
    assert browser.evaluate('MalReview.grid.columns()') == 2
    browser.click('.card .mark-reject')  # a finger needs no keyboard
    assert browser.evaluate(MARKS)[0] == 'reject'
    browser.click('#filter-open')
    assert fits() == []
    browser.click('#filter-close')
    browser.click('.card canvas')
    browser.wait_for('MalReview.viewer.scene')
    assert fits() == []
    browser.click("[data-set-mark='1']")
    browser.wait_for("document.querySelector('#position').textContent === '2 of 20'")
    assert browser.evaluate('MalReview.marks.counts') == [19, 1, 0, 0]
    browser.click('#tab-summary')
    assert fits() == []
    assert browser.evaluate("document.querySelector('#summary').scrollHeight") < 5000


def many_boxes(number):
    """`number` boxes, twenty to an image, of five classes."""
    images = range(-(-number // 20))
    masks = [rle(y, x, y + 9, x + 9) for y in range(5) for x in range(4)]
    return {
        'images': [{'id': i, 'file_name': f'{i}.png', 'width': 96, 'height': 64} for i in images],
        'categories': [{'id': c, 'name': f'class {c}'} for c in range(5)],
        'annotations': [
            {
                'id': n,
                'image_id': n // 20,
                'category_id': n % 5,
                'bbox': [n % 4, n % 20 // 4, 9, 9],
                'segmentation': masks[n % 20],
                'mal_quality': n * 7919 % 10_000 / 10_000,
            }
            for n in range(number)
        ],
    }


@pytest.mark.parametrize('number', [12_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_a_page_of_many_boxes_never_stands_still(browser, tmp_path, number):
    write_grey(tmp_path / '0.png')
    page = write_report(many_boxes(number), tmp_path, tmp_path / 'page').path
    watch = """window.tasks = []; new PerformanceObserver((list) => list.getEntries().forEach(
        (each) => window.tasks.push(each.duration)))
        .observe({type: 'longtask', buffered: true});"""
    added = browser.call('Page.addScriptToEvaluateOnNewDocument', source=watch)
    browser.open(page)
    assert browser.evaluate('MalReview.store.count') == number
    browser.click('#classes .choice')
    assert browser.evaluate('MalReview.order.length') == number // 5
    qualities = browser.evaluate('[...MalReview.order].map((n) => MalReview.store.quality[n])')
    assert qualities == sorted(qualities)
    browser.press('r', 'n', 'r', 'End', 'r')
    assert browser.evaluate('MalReview.marks.counts')[2] == 3
    browser.click('#reset')
    browser.evaluate("document.querySelector('#sort').value = 'file'")
    browser.evaluate("document.querySelector('#sort').onchange()")
    browser.press('End')
    assert browser.evaluate(f'{IDS}.pop()') == f'#{number - 1}'
    assert max(browser.evaluate('window.tasks'), default=0) < 1000
    assert browser.evaluate('performance.memory.usedJSHeapSize') < 200e6
    browser.call('Page.removeScriptToEvaluateOnNewDocument', identifier=added['identifier'])
    browser.complaints.clear()  # of the photos that are not there
