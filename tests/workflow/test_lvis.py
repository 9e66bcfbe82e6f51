"""LVIS files through both phases: no `file_name`, federated classes, LVIS' own AP."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from lvis_form import write_lvis
from mmdet.registry import DATASETS, METRICS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.registry import DefaultScope
from tiny_labeler import shrink
from tiny_segmenter import shrink_segmenter
from tiny_training import cpu_environment

from mal_mm.formats import AnnotationError
from mal_mm.phase2 import lvis_files
from mal_mm.phase2.custom_data import OwnData, put_on_data
from mal_mm.phase2.mal_masks import apply_mal_masks
from mal_mm.samples import make_shapes
from mal_mm.samples.shapes import CATEGORIES
from mal_mm.workflow import TwoPhaseRun


@pytest.fixture
def lvis(recipes, tmp_path):
    """Options that name the sample set in LVIS' form."""
    names = dict(ann='train', val_ann='unseen_gt', gt_ann='train_gt')
    files = {
        key: write_lvis(recipes / f'{name}.json', tmp_path / f'{name}.json')
        for key, name in names.items()
    }
    return dict(files, val_img_root=recipes)


def test_each_part_reads_and_scores_lvis_files(options, lvis, recipes):
    run = TwoPhaseRun(options(**lvis), None)
    labeler, mal, gt = (run.configs[name] for name in ('labeler', 'segmenter', 'segmenter_gt'))
    assert labeler.train_dataloader.dataset.dataset.type == 'CocoBoxDataset'
    register_all_modules(init_default_scope=False)
    for cfg in (mal, gt):
        assert cfg.train_dataloader.dataset.type == 'LVISStyleDataset'
        assert cfg.val_dataloader.dataset.type == 'LVISStyleDataset'
        assert cfg.val_evaluator.type == cfg.test_evaluator.type == 'LVISMetric'
    gt.train_dataloader.dataset.filter_cfg = None
    with DefaultScope.overwrite_default_scope('mmdet'):
        METRICS.build(gt.val_evaluator)
        dataset = DATASETS.build({**gt.train_dataloader.dataset, 'pipeline': []})
    found = [dataset.get_data_info(n)['img_path'] for n in range(len(dataset))]
    images = json.loads((recipes / 'train.json').read_text())['images']
    assert found == [str(recipes / image['file_name']) for image in images]
    assert len(dataset.get_data_info(0)['instances']) > 0


def test_training_alone_takes_lvis_files_too(lvis, recipes):
    cfg = Config.fromfile(recipes / 'segmenter_recipe.py')
    put_on_data(cfg, OwnData(lvis['gt_ann'], recipes, lvis['val_ann'], recipes))
    assert cfg.train_dataloader.dataset.type == cfg.val_dataloader.dataset.type
    assert (cfg.val_dataloader.dataset.type, cfg.val_evaluator.type) == (
        'LVISStyleDataset',
        'LVISMetric',
    )
    # addresses alone do not make a file one of LVIS: AP is counted as COCO does
    content = json.loads(lvis['val_ann'].read_text())
    for image in content['images']:
        del image['neg_category_ids']
    lvis['val_ann'].write_text(json.dumps(content))
    cfg = Config.fromfile(recipes / 'segmenter_recipe.py')
    put_on_data(cfg, OwnData(lvis['gt_ann'], recipes, lvis['val_ann'], recipes))
    assert cfg.val_dataloader.dataset.type == 'LVISStyleDataset'
    assert cfg.val_evaluator.type == 'CocoMetric'


def test_quality_of_masks_is_kept_in_lvis_form(options, lvis):
    cfg = TwoPhaseRun(options(**lvis), None).configs['segmenter']
    cfg.merge_from_dict({'model': Config.fromfile(_mask_rcnn()).model, 'mal_min_quality': 0.3})
    apply_mal_masks(cfg)
    assert cfg.train_dataloader.dataset.type == 'mmdet.MaskQualityLVISStyleDataset'


def _mask_rcnn() -> str:
    from mal_mm import config_path

    return config_path('phase2/mask-rcnn_r50_fpn_1x_coco_mal.py')


def test_lvis_files_that_cannot_be_scored_are_refused(options, lvis, rewrite, monkeypatch):
    def no_list(content: dict) -> None:
        content['images'][0].pop('not_exhaustive_category_ids')

    def no_frequency(content: dict) -> None:
        content['categories'][1].pop('frequency')

    for change, reason in (
        (no_list, 'no list `not_exhaustive_category_ids`'),
        (no_frequency, 'has the frequency None'),
    ):
        with pytest.raises(AnnotationError, match=reason):
            options(**{**lvis, 'val_ann': rewrite(lvis['val_ann'], change)}).check()
    monkeypatch.setattr(lvis_files.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "mal-mm\[lvis\]"'):
        options(**lvis).check()
    # without evaluation there is nothing that needs the package
    assert options(ann=lvis['ann']).check() == CATEGORIES


@pytest.mark.long
def test_lvis_boxes_become_a_retention_rate_by_the_command(repo_root, tmp_path):
    root = tmp_path / 'shapes'
    make_shapes(root, num_images=4, num_unseen=2, size=64)
    labeler = Config.fromfile(repo_root / 'configs' / 'mal' / 'vit_mae_base.py')
    labeler = shrink(labeler, root, tmp_path, batch_size=4)
    path = repo_root / 'configs' / 'phase2' / 'solov2_r50_fpn_3x_coco_mal.py'
    segmenter = shrink_segmenter(Config.fromfile(path), root, 'train_gt.json', tmp_path)
    segmenter.default_hooks.checkpoint.interval = 1
    words = []
    for name, cfg in (('labeler', labeler), ('segmenter', segmenter)):
        cfg.train_cfg.max_epochs = 1
        for key in ('work_dir', 'experiment_name', 'log_level'):
            cfg.pop(key, None)
        cfg.dump(tmp_path / f'{name}.py')
        words += [f'--{name}', tmp_path / f'{name}.py']
    for option, name in (('ann', 'train'), ('val-ann', 'unseen_gt'), ('gt-ann', 'train_gt')):
        words += [f'--{option}', write_lvis(root / f'{name}.json', tmp_path / f'{name}.json')]
    words += ['--img-root', root, '--val-img-root', root, '--work-dir', tmp_path / 'run']
    done = subprocess.run(
        [sys.executable, repo_root / 'tools' / 'run_two_phase.py', *map(str, words)],
        capture_output=True,
        text=True,
        env=cpu_environment(),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    numbers = json.loads((tmp_path / 'run' / 'summary.json').read_text())['numbers']
    assert {'AP', 'APr', 'APc', 'APf'} <= numbers['ap']['mal']['segm'].keys()
    assert numbers['retention'].keys() == {'segm', 'bbox'}
    assert '<th>APr</th>' in (tmp_path / 'run' / 'index.html').read_text()
    # the file that was labelled is the one that came in
    given = json.loads((tmp_path / 'train.json').read_text())
    labelled = json.loads((tmp_path / 'run' / 'pseudo_masks.json').read_text())
    assert labelled['images'] == given['images']
    assert labelled['categories'] == given['categories']
