"""What the boxes of a COCO-style file are, told or guessed."""

from __future__ import annotations

import numpy as np
import pytest

from mal_mm.convert import Findings
from mal_mm.convert.box_formats import BOX_FORMATS, to_xywh

pytestmark = pytest.mark.slow


def boxes_in(form: str, number: int = 60) -> tuple[dict, list]:
    """A file with boxes in a form, and what they are as x, y, width, height."""
    rng = np.random.default_rng(3)
    images, annotations, wanted = [], [], []
    for i in range(number):
        width, height = rng.integers(40, 90, 2).tolist()
        w, h = rng.integers(10, 35, 2).tolist()
        x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        box = [x, y, w, h]
        kind, _, shares = form.partition('-')
        given = {
            'xywh': box,
            'xyxy': [x, y, x + w, y + h],
            'cxcywh': [x + w / 2, y + h / 2, w, h],
        }[kind]
        if shares:
            given = [v / side for v, side in zip(given, (width, height) * 2, strict=True)]
        images.append(dict(id=i, file_name=f'{i}.png', width=width, height=height))
        annotations.append(dict(id=i, image_id=i, category_id=1, bbox=given))
        wanted.append(box)
    return dict(images=images, annotations=annotations), wanted


@pytest.mark.parametrize('form', BOX_FORMATS)
def test_boxes_are_brought_to_xywh_and_the_guess_is_said(form):
    for said in (form, 'auto'):
        data, wanted = boxes_in(form)
        findings = Findings()
        to_xywh(data, said, findings)
        got = [a['bbox'] for a in data['annotations']]
        np.testing.assert_allclose(got, wanted, atol=1e-3)
        assert bool(findings.noted) is (said == 'auto' and form != 'xywh')


def test_boxes_that_fit_no_form_stay_as_they_are():
    data = dict(
        images=[dict(id=1, width=10, height=10)],
        annotations=[dict(id=1, image_id=1, bbox=[8, 8, 7, 7]), dict(id=2, bbox='x')],
    )
    findings = Findings()
    assert to_xywh(data, 'auto', findings)['annotations'][0]['bbox'] == [8, 8, 7, 7]
    assert not findings.noted


def test_shares_of_an_image_without_a_size_are_listed():
    data = dict(images=[dict(id=1)], annotations=[dict(id=7, image_id=1, bbox=[0, 0, 0.5, 0.5])])
    findings = Findings()
    to_xywh(data, 'xywh-shares', findings)
    assert findings.lost == {'share of an image without a size': ['annotation 7']}


def test_loose_boxes_that_reach_beyond_their_image_are_no_other_form():
    # one object fills each image; one box in ten is three pixels too large
    images = [dict(id=n, width=50, height=50) for n in range(50)]
    boxes = [[2, 3, 48 + 3 * (n % 10 == 0), 40] for n in range(50)]
    annotations = [dict(id=n, image_id=n, bbox=list(box)) for n, box in enumerate(boxes)]
    findings = Findings()
    data = to_xywh(dict(images=images, annotations=annotations), 'auto', findings)
    assert [a['bbox'] for a in data['annotations']] == boxes and not findings.noted
