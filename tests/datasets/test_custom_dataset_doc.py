"""The examples of docs/custom_dataset.md, run as they stand there."""

import re
import shutil

import pytest
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.registry import DefaultScope
from noise_image import write_image

from mal_mm.formats import read_coco, split_usable


@pytest.fixture
def example(repo_root):
    """example('text') -> the one code block of the page that holds the text."""
    page = (repo_root / 'docs' / 'custom_dataset.md').read_text()
    blocks = re.findall(r'^```\w+\n(.*?)^```$', page, re.MULTILINE | re.DOTALL)

    def find(text):
        (block,) = (block for block in blocks if text in block)
        return block

    return find


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """data/mine below the current folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'data' / 'mine'
    folder.mkdir(parents=True)
    with DefaultScope.overwrite_default_scope('mmdet'):  # examples set a scope for good
        yield folder


@pytest.fixture
def xml(mine):
    """Two images with boxes in VOC's format."""
    (mine / 'Annotations').mkdir()
    for seed, (name, kind, difficult) in enumerate([('a', 'cat', 0), ('b', 'dog', 1)]):
        write_image(mine / 'JPEGImages' / f'{name}.jpg', seed=seed)
        (mine / 'Annotations' / f'{name}.xml').write_text(
            '<annotation><size><width>60</width><height>40</height></size>'
            f'<object><name>{kind}</name><difficult>{difficult}</difficult>'
            '<bndbox><xmin>11</xmin><ymin>6</ymin><xmax>31</xmax><ymax>26</ymax></bndbox>'
            '</object></annotation>'
        )
    (mine / 'train.txt').write_text('a\nb\n')


def boxes(path):
    data = read_coco(path)
    assert split_usable(data)[1] == []
    return [(each['image_id'], each['category_id'], each['bbox']) for each in data['annotations']]


def test_the_smallest_file_is_read(example, mine, log):
    write_image(mine / 'images' / 'a' / '0001.jpg', 480, 640)
    (mine / 'train.json').write_text(example('"file_name"'))
    exec(example('the filter of the recipe'), {})
    assert 'RoIDataset: 1 of 1 boxes in 1 images, dropped: none' in log[-1]


def test_xml_becomes_a_coco_file(example, mine, xml):
    exec(example('instance.get(key)'), {})
    assert boxes('data/mine/train.json') == [(1, 1, [10, 5, 20, 20]), (2, 2, [10, 5, 20, 20])]
    data = read_coco('data/mine/train.json')
    assert [image['file_name'] for image in data['images']] == [
        'JPEGImages/a.jpg',
        'JPEGImages/b.jpg',
    ]
    assert [each['iscrowd'] for each in data['annotations']] == [0, 1]
    assert data['categories'] == [{'id': 1, 'name': 'cat'}, {'id': 2, 'name': 'dog'}]


def test_the_configs_read_xml_with_own_classes(example, mine, xml, repo_root):
    shutil.copytree(repo_root / 'configs' / 'mal', mine.parents[1] / 'mal')
    config = mine.parents[1] / 'mal' / 'mine.py'
    config.write_text(example('voc0712_boxes') + example('or a class of your own'))
    register_all_modules(init_default_scope=False)
    dataset = Config.fromfile(config).train_dataloader.dataset
    dataset.min_area = 0
    dataset = DATASETS.build(dataset)
    assert dataset.boxes_xyxy.tolist() == [[10, 5, 30, 25]]  # the other is difficult
    assert dataset.get_sample(0)['img_path'] == 'data/mine/JPEGImages/a.jpg'
