"""Boxes that are no boxes in pixels are told as such, in labeling and in training."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.logging import MMLogger
from PIL import Image
from sharp_labeler import blotches, sharp_model

from mal_mm.datasets import CocoBoxDataset, RoIDataset
from mal_mm.formats.box_survey import survey_boxes
from mal_mm.labeling import JobError, LabelingEngine, LabelingJob
from mal_mm.labeling.dry_run import describe_job

W, H = 120, 90
RANDOM = np.random.default_rng(0)
CORNERS = np.sort(RANDOM.uniform(0, 1, (50, 2, 2)), axis=1).reshape(50, 4) * [W, H, W, H]
RIGHT = np.hstack([CORNERS[:, :2], CORNERS[:, 2:] - CORNERS[:, :2] + 2])
SHARES = RIGHT / [W, H, W, H]
KINDS = {
    'shares': (SHARES, '100 % of the boxes are narrower .* shares of the image'),
    'corners': (CORNERS, 'reach beyond their image: they look like x0, y0, x1, y1'),
    'right': (RIGHT, None),
}


def survey(boxes_xywh: np.ndarray) -> list[str]:
    boxes = np.hstack([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]])
    return survey_boxes(boxes, np.tile([W, H], (len(boxes), 1)))


@pytest.mark.parametrize('kind', KINDS)
def test_each_kind_of_mistake_is_named(kind):
    boxes, sentence = KINDS[kind]
    said = survey(boxes)
    if sentence is None:
        assert said == [] or kind != 'right' or 'look like' not in ' '.join(said)
    else:
        assert any(re.search(sentence, each) for each in said)


@given(st.integers(0, 50))
def test_shares_are_counted(number):
    boxes = np.tile([10.0, 10, 20, 20], (50, 1))
    boxes[:number, 2] = 0.5
    said = survey(boxes)
    assert said == (
        [f'{2 * number} % of the boxes are narrower or lower than a pixel'] if number else []
    )
    assert survey(np.empty((0, 4))) == []


@pytest.fixture
def job(tmp_path):
    """job(boxes) -> a labeling job on a file with them."""
    Image.fromarray(blotches(H, W)).save(tmp_path / 'a.png')
    engine = LabelingEngine(sharp_model(), crop_size=32, mask_threshold=0.5)

    def make(boxes: np.ndarray, name: str = 'a.png') -> LabelingJob:
        data = {
            'images': [{'id': 1, 'file_name': name, 'width': W, 'height': H}],
            'annotations': [
                {'id': n, 'image_id': 1, 'category_id': 1, 'bbox': box}
                for n, box in enumerate(boxes.tolist())
            ],
            'categories': [{'id': 1, 'name': 'x'}],
        }
        (tmp_path / 'ann.json').write_text(json.dumps(data))
        return LabelingJob(tmp_path / 'ann.json', tmp_path / 'out.json', tmp_path, engine, {})

    return make


@pytest.mark.parametrize('kind', ['shares', 'corners'])
def test_labeling_says_it_in_the_dry_run_and_in_the_summary(job, kind):
    boxes, _sentence = KINDS[kind]
    made = job(boxes)
    words = 'shares of the image' if kind == 'shares' else 'x0, y0, x1, y1'
    assert words in describe_job(made)[0]
    summary = made.run()
    assert any(words in each for each in summary.warnings)
    assert summary.as_dict()['warnings'] == summary.warnings


def test_a_run_without_any_image_refuses_to_start(job, tmp_path):
    made = job(RIGHT, 'A.PNG')
    text = describe_job(made)[0]
    assert 'none of the images is under --img-root' in text and 'letter case differs' in text
    with pytest.raises(JobError, match=r"none of the 1 images is under .*'a\.png': letter case"):
        made.run()
    assert not made.out.exists() and not made.folder.exists()


def train_on(tmp_path, boxes, **options) -> RoIDataset:
    return RoIDataset(
        CocoBoxDataset(ann_file=str(tmp_path / 'ann.json'), data_prefix={'img': str(tmp_path)}),
        [dict(type='LoadImageFromFile')],
        **options,
    )


def test_training_says_it_instead_of_advising_a_lower_area(job, tmp_path):
    job(SHARES)
    with pytest.raises(
        ValueError, match=r'no box left to train on.*shares of the image'
    ) as caught:
        train_on(tmp_path, SHARES, min_area=2048)
    assert 'lower `min_area`' not in str(caught.value)


def test_training_warns_where_a_fifth_of_the_boxes_goes(job, tmp_path, monkeypatch):
    boxes = np.tile([10.0, 10, 50, 50], (10, 1))
    said = []
    monkeypatch.setattr(MMLogger, 'warning', lambda self, text, *_: said.append(text))
    boxes[:2, 2:] = 5
    job(boxes)
    train_on(tmp_path, boxes, min_area=100)
    assert said == []
    boxes[:3, 2:] = 5
    job(boxes)
    train_on(tmp_path, boxes, min_area=100)
    assert 'RoIDataset: 7 of 10 boxes' in said[0]
