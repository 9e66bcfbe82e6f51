"""What a run makes of recipes and options before anything starts."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from mal_mm.formats import AnnotationError
from mal_mm.samples.shapes import CATEGORIES
from mal_mm.workflow import TwoPhaseRun


def test_written_configs_are_the_recipes_on_the_data(options, human, repo_root, recipes):
    given = options(
        **human,
        segmenter_options={'train_cfg.max_epochs': 2, 'mal_min_quality': 0.3},
        labeler_options={'train_dataloader.dataset.min_area': 9},
    )
    given.work_dir.mkdir()
    run = TwoPhaseRun(given, repo_root / 'tools')
    run._write_configs()
    read = {name: Config.fromfile(given.work_dir / f'{name}.py') for name in run.configs}
    assert sorted(read) == ['labeler', 'segmenter', 'segmenter_gt']
    boxes = read['labeler'].train_dataloader.dataset
    assert (boxes.dataset.ann_file, boxes.min_area) == (str(recipes / 'train.json'), 9)
    files = {'segmenter': given.work_dir / 'pseudo_masks.json', 'segmenter_gt': human['gt_ann']}
    for name, file in files.items():
        cfg = read[name]
        assert cfg.train_dataloader.dataset.ann_file == cfg.mal_ann_file == str(file)
        assert cfg.model.mask_head.num_classes == len(CATEGORIES)
        assert cfg.val_evaluator.ann_file == str(human['val_ann'])
        assert cfg.train_cfg.max_epochs == 2
        # twins: the same chance, and a resumed run is the unbroken one
        assert cfg.randomness.seed == 0
        assert cfg.default_hooks.checkpoint.type == 'AtomicCheckpointHook'
        assert cfg.default_hooks.exact_resume.type == 'ExactResumeHook'
        assert cfg.auto_scale_lr.enable
        # labeling has gone on without missing images, and so does training
        assert cfg.train_dataloader.dataset.pipeline[0].ignore_empty
    # human masks have no quality to mind
    assert [read[name].mal_min_quality for name in files] == [0.3, 0]


def test_ranks_are_started_by_torchrun(options, repo_root):
    run = TwoPhaseRun(options(gpus=4, labeler_checkpoint=repo_root / 'LICENSE'), repo_root)
    text = run.describe()
    assert text.count('--nproc-per-node=4') == text.count('--launcher pytorch') == 2
    assert 'labeler:' not in text and str(repo_root / 'LICENSE') in text
    labeling, report, segmenter = run.steps
    assert labeling.accepts(3) and not labeling.accepts(1)
    # torchrun says 1 where a rank said 3: some boxes could not be labelled
    run.work_dir.mkdir()
    (run.work_dir / 'labeling.json').write_text('{"skipped": [1]}')
    assert labeling.accepts(1) and not report.accepts(1) and not segmenter.accepts(1)


def test_what_does_not_fit_is_refused_before_the_start(options, human, recipes, rewrite, tmp_path):
    val = dict(val_img_root=recipes)
    swapped = rewrite(recipes / 'unseen_gt.json', lambda c: c['categories'].reverse())
    without = dict(val, val_ann=recipes / 'unseen.json')
    for changes, reason in (
        (dict(gpus=0), '--gpus must be at least 1'),
        (val, 'go together'),
        (dict(gt_ann=human['gt_ann']), 'needs? .*--val-ann|takes human masks to evaluate'),
        (dict(img_root=tmp_path / 'no'), 'is no folder'),
        (dict(labeler_checkpoint=tmp_path / 'no.pth'), 'is no file'),
        (dict(labeler_checkpoint=recipes / 'train.json', work_dir=recipes), 'lies in --work-dir'),
        (dict(val, val_ann=swapped), 'categories differ .*number 1'),
        (without, 'no `segmentation`'),
        (dict(ann=tmp_path / 'no.json'), 'no such annotation file'),
    ):
        with pytest.raises((ValueError, OSError), match=reason):
            options(**changes).check()


def test_images_that_segmenters_cannot_find_are_refused(options, recipes, rewrite):
    unnamed = rewrite(recipes / 'train.json', lambda c: c['images'][0].pop('file_name'))
    with pytest.raises(AnnotationError, match='image 1 has no `file_name`'):
        options(ann=unnamed).check()
    val = dict(val_ann=recipes / 'unseen_gt.json', val_img_root=recipes / 'train')
    with pytest.raises(AnnotationError, match=r'unseen/000000\.png. is not in'):
        options(**val).check()


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        (dict(labeler='no.py'), "'no.py' does not exist"),
        (dict(labeler='mal_mm::mal/_base_/datasets/coco_boxes.py'), "has no 'model'"),
    ],
)
def test_config_that_cannot_be_trained_is_refused(options, changes, reason):
    with pytest.raises(ValueError, match=reason):
        TwoPhaseRun(options(**changes), None)


def test_what_phase_two_would_stop_at_is_found_before_phase_one(options, human, recipes, rewrite):
    def no_iscrowd(content: dict) -> None:
        for each in content['annotations']:
            each.pop('iscrowd')

    def same_id(content: dict) -> None:
        content['annotations'][1]['id'] = content['annotations'][0]['id']

    def small_mask(content: dict) -> None:
        content['annotations'][0]['segmentation'] = {'size': [4, 4], 'counts': [8, 8]}

    without = dict(human, val_ann=rewrite(human['val_ann'], no_iscrowd))
    for changes, reason in (
        (without, 'has no `iscrowd`'),
        (dict(ann=rewrite(recipes / 'train.json', same_id)), 'occurs twice in `annotations`'),
        (dict(human, gt_ann=rewrite(human['gt_ann'], small_mask)), 'the mask is 4 x 4'),
        (dict(segmenter_options={'model.mask_head.num_classes': 7}), 'num_classes is 7, but'),
    ):
        with pytest.raises(AnnotationError, match=reason):
            TwoPhaseRun(options(**changes), None)
