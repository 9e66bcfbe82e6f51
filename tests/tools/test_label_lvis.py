"""COCO -> LVIS: a labeler labels an LVIS file, which names its images by address alone."""

import importlib.util
import json
import sys

import pytest
from PIL import Image
from sharp_labeler import blotches, write_sharp_labeler

WRITTEN = ('segmentation', 'area', 'mal_quality')


def lvis_file():
    """As lvis_v1_val.json: an image of train2017 and one of val2017, of the same number."""
    url = 'http://images.cocodataset.org/'
    images = [
        {
            'id': number,
            'coco_url': f'{url}{folder}/000000391895.jpg',
            'width': 120,
            'height': 90,
            'neg_category_ids': [3, 1],
            'not_exhaustive_category_ids': [7],
        }
        for number, folder in ((1, 'train2017'), (2, 'val2017'))
    ]
    polygon = {'segmentation': [[10, 10, 40, 10, 40, 40]], 'area': 450.0}
    annotations = [
        {'id': 5, 'image_id': 2, 'category_id': 7, 'bbox': [5.5, 5, 50.5, 40], **polygon},
        {'id': 6, 'image_id': 1, 'category_id': 3, 'bbox': [60, 20, 40, 40.25], **polygon},
    ]
    categories = [
        {'id': number, 'name': name, 'synset': f'{name}.n.01', 'frequency': 'r'}
        for number, name in ((1, 'zebra'), (3, 'apple'), (7, 'ski'))
    ]
    return {'images': images, 'annotations': annotations, 'categories': categories}


@pytest.fixture
def run_tool(repo_root, tmp_path, monkeypatch, capsys):
    """run_tool(*more arguments) -> exit status, standard error, the written file."""

    def run(*arguments):
        tool = repo_root / 'tools' / 'generate_pseudo_masks.py'
        spec = importlib.util.spec_from_file_location('generate_pseudo_masks', tool)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        config, checkpoint = write_sharp_labeler(tmp_path)
        ann, out = tmp_path / 'lvis_v1_val.json', tmp_path / 'lvis_v1_val_mal.json'
        ann.write_text(json.dumps(lvis_file()))
        line = [config, checkpoint, '--ann', ann, '--out', out, '--img-root', tmp_path / 'coco']
        monkeypatch.setattr(sys, 'argv', [str(tool), *map(str, [*line, *arguments])])
        status = module.main()
        return status, capsys.readouterr().err, json.loads(out.read_text())

    for seed, folder in enumerate(('train2017', 'val2017')):
        (tmp_path / 'coco' / folder).mkdir(parents=True)
        picture = Image.fromarray(blotches(seed=seed))
        picture.save(tmp_path / 'coco' / folder / '000000391895.jpg')
    return run


def test_only_the_masks_of_an_lvis_file_change(run_tool, tmp_path):
    status, _, labelled = run_tool('--report', tmp_path / 'report')
    assert status == 0
    given = lvis_file()
    assert labelled['images'] == given['images']
    assert labelled['categories'] == given['categories']
    for before, after in zip(given['annotations'], labelled['annotations'], strict=True):
        assert after['segmentation']['size'] == [90, 120]
        assert after['mal_quality'] > 0
        unchanged = {key: value for key, value in after.items() if key not in WRITTEN}
        assert unchanged == {key: value for key, value in before.items() if key not in WRITTEN}
    index = (tmp_path / 'report' / 'data' / 'images-00000.js').read_text()
    assert 'val2017/000000391895.jpg' in index
    assert '"problem":{}' in index


def test_a_missing_lvis_image_is_named_with_its_folder(run_tool, tmp_path):
    (tmp_path / 'coco' / 'train2017' / '000000391895.jpg').unlink()
    status, said, labelled = run_tool()
    assert status == 3
    assert 'train2017/000000391895.jpg' in said
    assert 'mal_skipped' in labelled['annotations'][1]
    assert 'mal_skipped' not in labelled['annotations'][0]


def test_an_image_of_another_size_is_named(run_tool, tmp_path):
    Image.new('RGB', (30, 20)).save(tmp_path / 'coco' / 'val2017' / '000000391895.jpg')
    status, said, _ = run_tool()
    assert status == 3
    assert 'val2017/000000391895.jpg is 30 x 20 pixels but its record says 120 x 90' in said
