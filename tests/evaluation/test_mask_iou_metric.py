import json
import logging
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from tiny_labeler import shrink

from mal_mm.apis import MaskLabeler
from mal_mm.evaluation import MaskIoUMetric, box_fill_rle, evaluate
from mal_mm.formats import AnnotationError, read_coco, rle_to_str_counts
from mal_mm.labeling import label_coco
from mal_mm.samples import make_shapes

SIDE = 40
TRUTH = [10, 10, 8, 8]


def crop(ann_id, filled, window=(8, 8, 24, 24), level=1.0, **meta):
    """A crop of the window's own size whose probabilities are `level` in a box of the image."""
    x0, y0, x1, y1 = window
    probs = torch.zeros(1, y1 - y0, x1 - x0)
    x, y, w, h = filled
    probs[:, y - y0 : y - y0 + h, x - x0 : x - x0 + w] = level
    sample = DetDataSample(pred_instances=InstanceData(mask_probs=probs))
    sample.set_metainfo(
        {'ann_id': ann_id, 'img_id': 1, 'ori_shape': (SIDE, SIDE), 'window': np.array(window)}
        | {'box': np.array(window, dtype=np.float32)}
        | meta
    )
    return sample


@pytest.fixture
def write(tmp_path):
    """write([category_id, ...]) -> path of a file of so many annotations, all of mask TRUTH."""

    def write_file(category_ids, boxes=None, categories=(1, 90), **more):
        mask = rle_to_str_counts(box_fill_rle(TRUTH, SIDE, SIDE))
        data = {
            'images': [{'id': 1, 'file_name': 'a.png', 'height': SIDE, 'width': SIDE}],
            'annotations': [
                {'id': 100 + i, 'image_id': 1, 'category_id': category_id, 'segmentation': mask}
                | {'bbox': boxes[i] if boxes else TRUTH, **more}
                for i, category_id in enumerate(category_ids)
            ],
            'categories': [{'id': i, 'name': f'class{i}'} for i in categories],
        }
        path = tmp_path / 'gt.json'
        path.write_text(json.dumps(data))
        return path

    return write_file


def score(path, *batches, size=None, mask_threshold=0.5, **options):
    """What the Evaluator of mmengine's loops makes of some batches."""
    config = {'type': 'MaskIoUMetric', 'ann_file': path, 'mask_threshold': mask_threshold}
    config.update(options)
    with DefaultScope.overwrite_default_scope('mmdet'):
        evaluator = Evaluator(METRICS.build(config))
    for batch in batches:
        evaluator.process(data_samples=batch, data_batch=None)
    return evaluator.evaluate(size or sum(map(len, batches)))


def test_each_instance_of_a_batch_counts_with_its_own_iou(write):
    # IoU 1, 1/3 (8 x 8 shifted by 4) and 0 in one batch; the released metric gave all three the
    # IoU of one.
    path = write([1, 1, 1])
    batch = [crop(100, TRUTH), crop(101, [14, 10, 8, 8]), crop(102, [18, 18, 6, 6])]
    scores = score(path, batch)
    assert scores['mal/mIoU'] == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert score(path, batch[:1], batch[1:]) == pytest.approx(scores, nan_ok=True)
    assert score(path, batch[::-1]) == pytest.approx(scores, nan_ok=True)


def test_masks_are_cut_off_at_their_box_as_labeling_does(write):
    # 8 x 10 pixels are marked, the box is the 8 x 8 of the truth
    path, batch = write([1]), [crop(100, [10, 10, 8, 10], box=np.array([10.0, 10, 18, 18]))]
    found = {
        tolerance: score(path, batch, box_tolerance=tolerance)['mal/mIoU']
        for tolerance in (0, 1, 2, 'released')
    }
    assert found == pytest.approx({0: 1, 1: 64 / 72, 2: 64 / 80, 'released': 64 / 80})
    assert score(path, batch)['mal/mIoU'] == 1


def test_classes_are_those_of_the_file_and_none_is_shifted_or_lost(write):
    # Class 1 has IoU 1 and 1/3, class 90 has 0; counted one class further, 90 would take class
    # 1's place or fall off the end.
    path = write([1, 90, 1])
    batch = [crop(100, TRUTH), crop(101, [18, 18, 6, 6]), crop(102, [14, 10, 8, 8])]
    scores = score(path, batch)
    assert scores['mal/class_mIoU'] == pytest.approx((2 / 3 + 0) / 2)
    assert scores['mal/mIoU'] == pytest.approx((1 + 1 / 3) / 3)


def test_the_log_names_each_class_with_its_scores(write, caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    score(write([1, 90, 90]), [crop(100, TRUTH), crop(101, [18, 18, 6, 6])])
    logger.removeHandler(caplog.handler)
    logger.setLevel(level)
    (text,) = [message for message in caplog.messages if 'class1' in message]
    rows = [line.split() for line in text.splitlines()]
    assert ['class1', '1', '1', '1.000', '1.000'] in [row[:5] for row in rows]
    assert ['class90', '90', '1', '0.000', '1.000'] in [row[:5] for row in rows]
    assert 'masks of 2 of the 3 annotations' in text


def test_sizes_boundaries_and_the_floor_are_worked_out_by_hand(write):
    # d = round(0.02 * 56.6) = 1: TRUTH has 8 * 4 - 4 = 28 boundary pixels, the box of 8 x 4 filled
    # in the first crop 20. Common are the upper row of 8 and 3 rows of 2 below it: 14.
    path = write([1, 1], boxes=[TRUTH, [0, 0, 40, 40]])
    scores = score(path, [crop(100, [10, 10, 8, 4]), crop(101, TRUTH)])
    assert scores == pytest.approx(
        {
            'mal/mIoU': (0.5 + 1) / 2,
            'mal/class_mIoU': (0.5 + 1) / 2,
            'mal/mIoU_small': 0.5,
            'mal/mIoU_medium': 1,
            'mal/mIoU_large': math.nan,
            'mal/boundary_mIoU': (14 / (28 + 20 - 14) + 1) / 2,
            'mal/box_fill_mIoU': (1 + 64 / 1600) / 2,
        },
        nan_ok=True,
    )


def test_windows_beyond_the_image_are_cut_at_its_border(write):
    path = write([1])
    assert score(path, [crop(100, TRUTH, window=(-5, -7, 50, 48))])['mal/mIoU'] == 1


def test_a_pixel_belongs_to_the_mask_above_the_threshold(write):
    path = write([1])
    for level, expected in ((0.25, 0), (0.375, 1)):
        scores = score(path, [crop(100, TRUTH, level=level)], mask_threshold=0.25)
        assert scores['mal/mIoU'] == expected


def test_instances_that_come_twice_count_once_and_crowds_never(write):
    path = write([1, 1])
    batch = [crop(100, TRUTH), crop(101, [14, 10, 8, 8])]
    scores = score(path, batch, [crop(101, [14, 10, 8, 8])] * 5)
    assert scores['mal/mIoU'] == pytest.approx((1 + 1 / 3) / 2)
    scores = score(write([1, 1], iscrowd=1), batch)
    assert all(math.isnan(value) for value in scores.values())


def test_instances_that_the_loader_does_not_bring_are_not_scored(write):
    path = write([1, 90, 90])
    assert score(path, [crop(100, TRUTH)])['mal/mIoU'] == 1


def test_what_cannot_be_scored_is_refused(write, tmp_path):
    path = write([1])
    with pytest.raises(AnnotationError, match=r'none of the 1 validation boxes is in .*gt\.json'):
        score(path, [crop(7, TRUTH)])
    with pytest.raises(AnnotationError, match='lies in image 2, in the ground truth in image 1'):
        score(path, [crop(100, TRUTH, img_id=2)])
    with pytest.raises(ValueError, match=r'a box of a\.png has no annotation id'):
        score(path, [crop(None, TRUTH, img_path='a.png')])
    with pytest.raises(ValueError, match='take RandomFlip out'):
        score(path, [crop(100, TRUTH, flip=True)])
    with pytest.raises(ValueError, match=r'`mask_threshold` must be in \[0, 1\), got 10'):
        score(path, mask_threshold=10)
    with pytest.raises(AnnotationError, match='no such annotation file'):
        MaskIoUMetric(tmp_path / 'none.json', 0.5)


RANKS = """
import sys
sys.path.insert(0, {tests!r})
import torch.distributed as dist
from test_mask_iou_metric import TRUTH, crop, score
rank = int(sys.argv[1])
dist.init_process_group('gloo', init_method={store!r}, rank=rank, world_size=2)
# Three instances for two ranks: the sampler starts again for the fourth place.
parts = [[crop(100, TRUTH), crop(102, [18, 18, 6, 6])],
         [crop(101, [14, 10, 8, 8]), crop(100, TRUTH)]]
print('mIoU', score({path!r}, parts[rank], size=3)['mal/mIoU'])
"""


@pytest.mark.slow
@pytest.mark.long
def test_two_ranks_score_like_one(write, tmp_path):
    tests = Path(__file__).parent
    script = RANKS.format(
        tests=str(tests), store=f'file://{tmp_path}/store', path=str(write([1, 1, 1]))
    )
    command = [sys.executable, '-c', 'import mal_mm' + script]
    environment = {'PYTHONPATH': str(tests.parent), 'CUDA_VISIBLE_DEVICES': ''}
    ranks = [
        subprocess.Popen(
            [*command, str(rank)],
            cwd=tests.parents[1],
            env=environment | {'OMP_NUM_THREADS': '1', 'PATH': ''},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for rank in ranks:
        stdout, _ = rank.communicate(timeout=120)
        assert rank.returncode == 0
        assert float(stdout.split('mIoU')[-1]) == pytest.approx((1 + 1 / 3 + 0) / 3)


# ------------------------------------------------------------------------- in a training run

LEAF = """
_base_ = [
    '{configs}/_base_/models/mal_vit_base.py',
    '{configs}/_base_/datasets/coco_boxes.py',
    '{configs}/_base_/datasets/coco_boxes_val.py',
    '{configs}/_base_/schedules/mal_10e.py',
    '{configs}/_base_/default_runtime.py',
]
"""


@pytest.fixture
def training(repo_root, tmp_path):
    """Config of one epoch on two images, validated on two more."""
    data_root = tmp_path / 'shapes'
    make_shapes(data_root, num_images=2, num_unseen=2, size=64)
    (tmp_path / 'leaf.py').write_text(LEAF.format(configs=repo_root / 'configs' / 'mal'))
    cfg = Config.fromfile(tmp_path / 'leaf.py')
    shrink(cfg, data_root, tmp_path / 'out')
    cfg.model.test_cfg.mask_threshold = cfg.val_evaluator.mask_threshold = 0.45
    cfg.val_evaluator.ann_file = str(data_root / 'unseen_gt.json')
    loader = cfg.val_dataloader
    loader.update(num_workers=0, persistent_workers=False, batch_size=3)
    loader.dataset.dataset.update(
        data_root=str(data_root), ann_file='unseen.json', data_prefix={'img': ''}
    )
    for transform in loader.dataset.pipeline:
        if transform.type == 'RoICrop':
            transform.crop_size = cfg.model.test_cfg.crop_size
    cfg.test_dataloader, cfg.test_evaluator = loader, cfg.val_evaluator
    return cfg, data_root


def test_training_keeps_the_checkpoint_of_the_best_mean_iou(training):
    cfg, data_root = training
    runner = Runner.from_cfg(cfg)
    runner.train()
    best = Path(cfg.work_dir) / 'best_mal_mIoU_epoch_1.pth'
    assert best.is_file()
    logged = runner.message_hub.get_scalar('val/mal/mIoU').current()
    assert 0 < logged < 1
    assert runner.test()['mal/mIoU'] == pytest.approx(logged)

    # The same weights, by way of files.
    labeler = MaskLabeler(cfg, best, device='cpu')
    pred = read_coco(data_root / 'unseen.json')
    label_coco(pred, data_root, labeler.engine)
    pred['annotations'] = [a for a in pred['annotations'] if a.get('mal_flag') != 'empty_mask']
    result = evaluate(pred, read_coco(data_root / 'unseen_gt.json'))
    assert result['masks']['mean_iou'] == pytest.approx(logged, abs=1e-6)
    assert result['counts']['ground_truth'] > 2


@pytest.mark.parametrize(
    ('name', 'add_on'),
    [('vit_mae_base.py', 'coco_boxes_val.py'), ('dinov2_small.py', 'coco_boxes_val_518.py')],
)
def test_validation_crops_as_labeling_does(repo_root, tmp_path, name, add_on):
    configs = repo_root / 'configs' / 'mal'
    bases = [f'{configs}/{name}', f'{configs}/_base_/datasets/{add_on}']
    (tmp_path / 'leaf.py').write_text(f'_base_ = {bases}')
    cfg = Config.fromfile(tmp_path / 'leaf.py')
    test_cfg = cfg.model.test_cfg
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        (crop,) = [each for each in loader.dataset.pipeline if each.type == 'RoICrop']
        assert crop.expansion == 'fixed'
        for key in ('crop_size', 'margin', 'padding'):
            assert crop[key] == test_cfg[key]
    assert cfg.val_evaluator.mask_threshold == test_cfg.mask_threshold
    checkpoint = cfg.default_hooks.checkpoint
    assert (checkpoint.save_best, checkpoint.rule) == ('mal/mIoU', 'greater')
    assert cfg.train_dataloader.dataset.dataset.ann_file.endswith('train2017.json')
