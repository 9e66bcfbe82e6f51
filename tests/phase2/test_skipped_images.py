"""What labeling has skipped stays in the file; training on it goes on to the end."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import mmdet
import pytest
import warm_processes
from mmengine.config import Config
from mmengine.registry import DefaultScope
from sharp_labeler import sharp_model
from tiny_segmenter import shrink_segmenter
from tiny_training import cpu_environment

from mal_mm.formats import read_coco, write_coco
from mal_mm.labeling import LabelingEngine, label_coco
from mal_mm.launcher import build_runner
from mal_mm.phase2.image_file_check import NoImagesError, check_image_files
from mal_mm.phase2.mal_masks import apply_mal_masks
from mal_mm.phase2.mask_file_check import check_mask_file
from mal_mm.samples import make_shapes

GOOD = 2


@pytest.fixture(scope='module')
def labelled(tmp_path_factory):
    """A labelled set in which most images cannot be read: missing, empty, text, cut short."""
    root = tmp_path_factory.mktemp('shapes')
    make_shapes(root, num_images=GOOD + 4, num_unseen=1, size=64, jpeg=True)
    data = read_coco(root / 'train.json')
    paths = [root / image['file_name'] for image in data['images']]
    whole = paths[3].read_bytes()
    paths[0].unlink()
    paths[1].write_bytes(b'')
    paths[2].write_text('<html>')
    paths[3].write_bytes(whole[: len(whole) // 2])
    engine = LabelingEngine(sharp_model(), crop_size=32, mask_threshold=0.5)
    summary = label_coco(data, root, engine)
    assert summary.skips and summary.masks
    write_coco(data, root / 'mal.json')
    return root


@pytest.fixture
def segmenter(labelled, repo_root, tmp_path):
    path = repo_root / 'configs' / 'phase2' / 'solov2_r50_fpn_3x_coco_mal.py'
    cfg = shrink_segmenter(Config.fromfile(path), labelled, 'mal.json', tmp_path)
    cfg.mal_ann_file = 'mal.json'
    cfg.train_cfg.update(max_epochs=2, val_interval=2)
    return cfg


def test_our_tool_trains_to_the_end_and_says_what_is_left_out(segmenter, labelled):
    apply_mal_masks(segmenter)
    said = [*check_mask_file(segmenter), *check_image_files(segmenter)]
    assert any('could not be labelled' in each for each in said)
    assert any(f'1 of {GOOD + 4} images of {labelled}/mal.json are not in' in e for e in said)
    with DefaultScope.overwrite_default_scope('mmdet'):
        runner = build_runner(segmenter)
        runner.train()
    assert runner.epoch == 2
    # half a picture is not taken for a whole one without objects
    dataset = runner.train_dataloader.dataset
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    read = [dataset.prepare_data(n) for n in range(len(dataset))]
    assert sum(each is not None for each in read) == GOOD


@pytest.mark.slow
def test_mmdets_own_tool_trains_to_the_end_with_the_fragment(segmenter, labelled, tmp_path):
    segmenter.pop('mal_ann_file')
    segmenter.dump(tmp_path / 'stock.py')
    (tmp_path / 'mine.py').write_text(
        "_base_ = ['stock.py', __import__('mal_mm').config_path('phase2/mal_masks.py')]\n"
        "mal_ann_file = 'mal.json'\n"
    )
    tool = Path(mmdet.__file__).parent / '.mim' / 'tools' / 'train.py'
    command = [sys.executable, tool, 'mine.py', '--work-dir', 'out']
    done = warm_processes.run(command, tmp_path, cpu_environment())
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_wrong_folder_is_refused_before_training(segmenter, labelled, tmp_path):
    segmenter.train_dataloader.dataset.data_prefix = {'img': 'elsewhere'}
    with pytest.raises(NoImagesError, match=r'6 of 6 images .* set `data_prefix` of the dataset'):
        check_image_files(segmenter)
    # a hint where the name is written otherwise
    shutil.copytree(labelled, tmp_path / 'copy')
    data = json.loads((labelled / 'mal.json').read_text())
    for image in data['images']:
        image['file_name'] = image['file_name'].replace('.jpg', '.JPG')
    (tmp_path / 'copy' / 'mal.json').write_text(json.dumps(data))
    dataset = segmenter.train_dataloader.dataset
    dataset.update(data_root=str(tmp_path / 'copy'), data_prefix={'img': ''})
    dataset.ann_file = 'mal.json'
    data['images'].reverse()  # the first is missing anyway
    (tmp_path / 'copy' / 'mal.json').write_text(json.dumps(data))
    with pytest.raises(NoImagesError, match='letter case differs'):
        check_image_files(segmenter)
