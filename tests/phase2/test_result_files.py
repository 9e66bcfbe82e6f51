"""Result files of a test set whose ground truth is not public."""

from __future__ import annotations

import json

import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from tiny_segmenter import shrink_segmenter

from mal_mm.phase2.result_files import write_results_only
from mal_mm.samples import make_shapes


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    """Two drawn images, and their image_info files: no annotations."""
    root = tmp_path_factory.mktemp('shapes')
    make_shapes(root, num_images=1, num_unseen=2, size=64)
    gt = json.loads((root / 'unseen_gt.json').read_text())
    del gt['annotations']
    (root / 'coco.json').write_text(json.dumps(gt))
    for image in gt['images']:
        image['coco_url'] = f'http://images.cocodataset.org/{image["file_name"]}'
    (root / 'lvis.json').write_text(json.dumps(gt))
    return root


@pytest.mark.parametrize(
    ('name', 'ann'),
    [
        ('solov2_r50_fpn_3x_coco_mal', 'coco.json'),
        pytest.param('mask2former_swin-s_lsj-50e_coco_mal', 'coco.json', marks=pytest.mark.slow),
        pytest.param('mask-rcnn_r50-dcn_fpn_1x_lvis-v1_mal', 'lvis.json', marks=pytest.mark.slow),
    ],
)
def test_a_test_without_ground_truth_writes_boxes_and_masks(
    repo_root, data_root, tmp_path, name, ann
):
    if 'lvis' in name:
        pytest.importorskip('lvis')
    cfg = Config.fromfile(repo_root / 'configs' / 'phase2' / f'{name}.py')
    shrink_segmenter(cfg, data_root, 'train_gt.json', tmp_path)
    cfg.test_dataloader = cfg.val_dataloader  # of which the pipeline is shrunk
    for key in list(cfg):
        if key.startswith(('train_', 'val_', 'optim_')) or key == 'param_scheduler':
            cfg.pop(key)
    write_results_only(cfg, tmp_path / 'test_dev', data_root / ann, data_root)
    assert Runner.from_cfg(cfg).test() == {}

    info = json.loads((data_root / ann).read_text())
    ids = {key: {each['id'] for each in info[key]} for key in ('images', 'categories')}
    for kind in ('segm', 'bbox'):
        results = json.loads((tmp_path / f'test_dev.{kind}.json').read_text())
        assert results
        assert {each['image_id'] for each in results} <= ids['images']
        assert {each['category_id'] for each in results} <= ids['categories']
        assert all('segmentation' in each for each in results) == (kind == 'segm')


def test_no_transform_reads_annotations_and_other_settings_stay(repo_root, tmp_path):
    name = 'configs/phase2/mask2former_swin-s_lsj-50e_coco_mal.py'
    cfg = Config.fromfile(repo_root / name)
    before = cfg.copy()
    write_results_only(cfg, tmp_path / 'out')
    kinds = [step.type for step in cfg.test_dataloader.dataset.pipeline]
    assert kinds == ['LoadImageFromFile', 'Resize', 'PackDetInputs']
    assert cfg.test_evaluator == {
        **before.test_evaluator, 'format_only': True, 'outfile_prefix': str(tmp_path / 'out')
    }  # fmt: skip
    assert cfg.test_dataloader.dataset.ann_file == before.test_dataloader.dataset.ann_file


def test_what_cannot_be_written_is_refused(repo_root, tmp_path):
    cfg = Config.fromfile(repo_root / 'configs/phase2/solov2_r50_fpn_3x_coco_mal.py')
    with pytest.raises(FileNotFoundError, match=r'folder .*/no does not exist'):
        write_results_only(cfg, tmp_path / 'no' / 'out')
    with pytest.raises(FileNotFoundError, match=r'a\.json does not exist'):
        write_results_only(cfg, tmp_path / 'out', tmp_path / 'a.json')
    cfg.test_evaluator = [{'type': 'CityScapesMetric'}]
    with pytest.raises(ValueError, match='one CocoMetric or LVISMetric'):
        write_results_only(cfg, tmp_path / 'out')
