"""Predictions of two tiny segmenters side by side."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from tiny_segmenter import shrink_segmenter

from mal_mm.reproduce.compare_predictions import (
    CAPTION,
    GAP,
    Instances,
    find_run,
    same_objects,
    sheet,
    side_by_side,
)
from mal_mm.samples import make_shapes
from mal_mm.samples.shapes import CATEGORIES
from mal_mm.visualization.overlay import instance_colors
from mal_mm_cli.main import main

RUNS = {'gt': 'mask-rcnn_r50_fpn_1x_coco_mal', 'mal': 'solov2_r50_fpn_3x_coco_mal'}


@pytest.fixture(scope='module')
def folder(repo_root, tmp_path_factory):
    """Two work dirs as train.py leaves them, and a data set of three images."""
    root = tmp_path_factory.mktemp('compare')
    make_shapes(root / 'data', num_images=2, num_unseen=3, size=64)
    for name, recipe in RUNS.items():
        cfg = Config.fromfile(repo_root / 'configs' / 'phase2' / f'{recipe}.py')
        shrink_segmenter(cfg, root / 'data', 'train_gt.json', root)
        work_dir = root / name
        work_dir.mkdir()
        cfg.dump(work_dir / f'{recipe}.py')
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope('mmdet'):
            model = MODELS.build(cfg.model)
        model.init_weights()
        torch.save(
            {'state_dict': model.state_dict(), 'meta': {'dataset_meta': {'classes': CATEGORIES}}},
            work_dir / 'epoch_1.pth',
        )
        # written on another machine
        (work_dir / 'last_checkpoint').write_text(f'/gone/{name}/epoch_1.pth')
    return root


def run(folder, *arguments):
    return main(
        [
            'reproduce',
            'predictions',
            str(folder / 'gt'),
            str(folder / 'mal'),
            '--device',
            'cpu',
            *arguments,
        ]
    )


def test_one_picture_for_each_image_and_a_sheet(folder, tmp_path, capsys):
    data = folder / 'data'
    options = ('--ann', str(data / 'unseen_gt.json'), '--img-root', str(data), '--sheet')
    options += ('--out', str(tmp_path / 'out'), '--min-score', '0')
    assert run(folder, *options) == 0
    names = sorted(path.name for path in (tmp_path / 'out').iterdir())
    assert names == ['001.png', '002.png', '003.png', 'sheet.png']
    side = 64 * 12  # small pictures are shown twelve times as large
    assert cv2.imread(str(tmp_path / 'out' / '001.png')).shape == (
        side + CAPTION,
        3 * side + 2 * GAP,  # truth and the two runs
        3,
    )
    assert cv2.imread(str(tmp_path / 'out' / 'sheet.png')).shape[1] == 1200
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_a_bad_picture_and_a_hostile_name_do_not_stop_the_others(folder, tmp_path, capsys):
    root = tmp_path / 'data'
    shutil.copytree(folder / 'data', root)
    data = json.loads((root / 'unseen_gt.json').read_text())
    data['images'][0]['file_name'] = '../../outside.png'
    (root / data['images'][1]['file_name']).write_bytes(b'no picture')
    (root / 'ann.json').write_text(json.dumps(data))
    options = ('--ann', str(root / 'ann.json'), '--img-root', str(root))
    assert run(folder, *options, '--out', str(tmp_path / 'out')) == 3
    first, second = capsys.readouterr().err.splitlines()[-2:]
    assert "steps out of its folder through '..'" in first
    assert second.startswith(data['images'][1]['file_name'])
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['003.png']


def test_a_run_is_a_work_dir_or_a_pair(folder, tmp_path):
    config, checkpoint = find_run(folder / 'gt')
    assert (config.name, checkpoint) == (f'{RUNS["gt"]}.py', folder / 'gt' / 'epoch_1.pth')
    assert find_run(f'{config},{checkpoint}') == (config, checkpoint)
    with pytest.raises(FileNotFoundError, match='is no work dir; give one, or CONFIG'):
        find_run(tmp_path / 'no')
    with pytest.raises(FileNotFoundError, match='last_checkpoint does not'):
        shutil.copy(config, tmp_path)
        find_run(tmp_path)
    with pytest.raises(ValueError, match=r'several configs \(mask-rcnn.*, other\.py\)'):
        (tmp_path / 'other.py').touch()
        find_run(tmp_path)


def test_same_object_keeps_its_number_and_a_new_one_gets_the_next():
    first = np.array([[0, 0, 10, 10], [20, 20, 10, 10]])
    # the second object, shifted: IoU 8 * 10 / 120; one that overlaps nothing; a second claim on 1
    second = np.array([[22, 20, 10, 10], [40, 40, 5, 5], [20, 20, 10, 10]])
    assert same_objects([first, second, np.zeros((0, 4))]) == [[0, 1], [1, 2, 3], []]


def test_panels_show_one_object_in_one_colour():
    image = np.zeros((800, 640, 3), np.uint8)  # shown as large as it is
    mask = np.zeros((800, 640), bool)
    mask[100:300, 200:400] = True
    box = np.array([[200.0, 100.0, 200.0, 200.0]])
    other = np.array([[0.0, 0.0, 10.0, 10.0]])
    picture = side_by_side(
        image,
        {
            'truth': Instances(np.concatenate([other, box]), [~mask, mask]),
            'mine': Instances(box, [mask]),
            'boxes': Instances(box, None),
        },
    )
    assert picture.shape == (800 + CAPTION, 3 * 640 + 2 * GAP, 3)
    inside = picture[CAPTION + 200, 300], picture[CAPTION + 200, 640 + GAP + 300]
    np.testing.assert_array_equal(*inside)
    np.testing.assert_array_equal(inside[0], np.rint(instance_colors(2)[1] * 0.45))
    frame = picture[CAPTION + 100, 2 * (640 + GAP) + 300]
    np.testing.assert_array_equal(frame, instance_colors(2)[1])


def test_sheet_stacks_pictures_of_one_width():
    pictures = [np.zeros((50, 100, 3), np.uint8), np.zeros((50, 200, 3), np.uint8)]
    assert sheet(pictures, width=100).shape == (50 + GAP + 25, 100, 3)
