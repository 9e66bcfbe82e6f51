"""Phase 2: MMDetection's recipes on a rewritten annotation file."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
import yaml
from mmdet.registry import MODELS


def flatten(node: object, name: str = '') -> dict[str, object]:
    """{'a.b.0': value}, without mmengine's marks of where a part was inherited from."""
    if isinstance(node, dict):
        pairs = ((key, value) for key, value in node.items() if key != '_scope_')
    elif isinstance(node, (list, tuple)):
        pairs = enumerate(node)
    else:
        return {name: node}
    flat = {}
    for key, value in pairs:
        flat.update(flatten(value, f'{name}.{key}' if name else str(key)))
    return flat


COCO_MAL = 'annotations/instances_train2017_mal.json'
COCO_HUMAN = 'annotations/instances_train2017.json'
LVIS_MAL = 'annotations/lvis_v1_train_mal.json'
LVIS_HUMAN = 'annotations/lvis_v1_train.json'
LVIS_BACKBONES = ('r50', 'r101', 'x101-32x4d', 'x101-64x4d')
IN_LVIS = 'train_dataloader.dataset.dataset'  # below the wrapper that repeats rare classes
CONVNEXT_S = (
    'mmdet::convnext/cascade-mask-rcnn_convnext-s-p4-w7_fpn_4conv1fc-giou_amp-ms-crop-3x_coco.py'
)
LVIS = 'mmdet::lvis/mask-rcnn_{}_fpn_sample1e-3_ms-1x_lvis-v1.py'


def trains_on(file: str, dataset: str = 'train_dataloader.dataset') -> dict[str, object]:
    return {'mal_ann_file': file, f'{dataset}.ann_file': file}


def loads(dataset: str = 'train_dataloader.dataset', **flags: bool) -> dict[str, object]:
    """LoadAnnotations, second of both the variable and the pipeline that it became."""
    places = ('train_pipeline.1', f'{dataset}.pipeline.1')
    return {f'{place}.{key}': flag for place in places for key, flag in flags.items()}


CONVNEXT_B = {
    'checkpoint_file': 'https://download.openmmlab.com/mmclassification/v0/convnext/'
    'convnext-base_3rdparty_32xb128-noema_in1k_20220222-dba4f95f.pth',
    'model.backbone.arch': 'base',
    'model.backbone.drop_path_rate': 0.7,
    'model.backbone.init_cfg.checkpoint': 'https://download.openmmlab.com/mmclassification/v0/'
    'convnext/convnext-base_3rdparty_32xb128-noema_in1k_20220222-dba4f95f.pth',
    'model.neck.in_channels.0': 128,
    'model.neck.in_channels.1': 256,
    'model.neck.in_channels.2': 512,
    'model.neck.in_channels.3': 1024,
    'optim_wrapper.paramwise_cfg.decay_rate': 0.8,
}
DCN = {  # as in mmdet's dcnv2/mask-rcnn_r50-mdconv-c3-c5_fpn_1x_coco.py
    'model.backbone.dcn.type': 'DCNv2',
    'model.backbone.dcn.deform_groups': 1,
    'model.backbone.dcn.fallback_on_stride': False,
    'model.backbone.stage_with_dcn.0': False,
    'model.backbone.stage_with_dcn.1': True,
    'model.backbone.stage_with_dcn.2': True,
    'model.backbone.stage_with_dcn.3': True,
}
BOXES_ALONE = {
    'model.roi_head.mask_roi_extractor': None,
    'model.roi_head.mask_head': None,
    'val_evaluator.metric': 'bbox',
    'test_evaluator.metric': 'bbox',
}
# numpy arrays of masks that nobody asks for
NO_MASKS = BOXES_ALONE | loads(with_mask=False)
BITMAPS = loads(poly2mask=True)

# name -> stock config, and what is different from it once both are resolved
DIFFERENCES = {
    'solov2_r50_fpn_3x_coco_mal': (
        'mmdet::solov2/solov2_r50_fpn_ms-3x_coco.py',
        trains_on(COCO_MAL),
    ),
    'solov2_r101-dcn_fpn_3x_coco_mal': (
        'mmdet::solov2/solov2_r101-dcn_fpn_ms-3x_coco.py',
        trains_on(COCO_MAL),
    ),
    'solov2_x101-dcn_fpn_3x_coco_mal': (
        'mmdet::solov2/solov2_x101-dcn_fpn_ms-3x_coco.py',
        trains_on(COCO_MAL),
    ),
    'cascade-mask-rcnn_convnext-s_fpn_3x_coco_mal': (CONVNEXT_S, trains_on(COCO_MAL)),
    'cascade-mask-rcnn_convnext-b_fpn_3x_coco_gt': (CONVNEXT_S, CONVNEXT_B),
    'cascade-mask-rcnn_convnext-b_fpn_3x_coco_mal': (
        CONVNEXT_S,
        CONVNEXT_B | trains_on(COCO_MAL),
    ),
    'mask2former_swin-s_lsj-50e_coco_mal': (
        'mmdet::mask2former/mask2former_swin-s-p4-w7-224_8xb2-lsj-50e_coco.py',
        trains_on(COCO_MAL),
    ),
    **{
        f'mask-rcnn_{key}-dcn_fpn_1x_lvis-v1_gt': (LVIS.format(key), DCN) for key in ('r50', 'r101')
    },
    **{
        f'mask-rcnn_{key}-dcn_fpn_1x_lvis-v1_mal': (
            LVIS.format(key),
            DCN | trains_on(LVIS_MAL, IN_LVIS),
        )
        for key in ('r50', 'r101')
    },
    **{
        f'mask-rcnn_{key}_fpn_1x_lvis-v1_mal': (LVIS.format(key), trains_on(LVIS_MAL, IN_LVIS))
        for key in LVIS_BACKBONES
    },
    **{
        f'faster-rcnn_{key}_fpn_1x_lvis-v1_boxes': (
            LVIS.format(key),
            {
                'mal_ann_file': LVIS_HUMAN,
                'model.type': 'FasterRCNN',
                **BOXES_ALONE,
                **loads(IN_LVIS, with_mask=False),
            },
        )
        for key in LVIS_BACKBONES
    },
    'mask-rcnn_r50_fpn_1x_coco_mal': (
        'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
        trains_on(COCO_MAL),
    ),
    'faster-rcnn_r50_fpn_1x_coco_boxes': (
        'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
        {'mal_ann_file': COCO_HUMAN, 'model.type': 'FasterRCNN', **NO_MASKS},
    ),
    'cascade-rcnn_convnext-s_fpn_3x_coco_boxes': (
        CONVNEXT_S,
        {'mal_ann_file': COCO_HUMAN, **NO_MASKS},
    ),
    'boxinst_r50_fpn_90k_coco_boxes': (
        'mmdet::boxinst/boxinst_r50_fpn_ms-90k_coco.py',
        {'mal_ann_file': COCO_HUMAN},
    ),
    'condinst_r50_fpn_90k_coco_gt': (
        'mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py',
        BITMAPS,
    ),
    'condinst_r50_fpn_90k_coco_mal': (
        'mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py',
        BITMAPS | trains_on(COCO_MAL),
    ),
}


@pytest.fixture(scope='module')
def runs(repo_root):
    """{name: metadata} of the metafile."""
    models = yaml.safe_load((repo_root / 'configs/phase2/metafile.yml').read_text())['Models']
    assert all(each['Config'] == f'configs/phase2/{each["Name"]}.py' for each in models)
    return {each['Name']: each['Metadata'] for each in models}


@pytest.mark.parametrize('name', DIFFERENCES)
def test_config_is_the_stock_one_but_for_what_is_listed(name, load_config):
    stock_name, expected = DIFFERENCES[name]
    stock = flatten(load_config(stock_name).to_dict())
    ours = flatten(load_config(f'phase2/{name}.py').to_dict())
    changed = {key: ours[key] for key in ours if key not in stock or ours[key] != stock[key]}
    imports = [changed.pop(key) for key in sorted(changed) if key.startswith('custom_imports')]
    assert imports[-1:] == ['mal_mm']  # see test_all_configs.py
    assert changed == expected
    # a part may go only when something was put in its place
    gone = stock.keys() - ours.keys()
    assert all(any(key.startswith(f'{place}.') for place in expected) for key in gone)


def test_metafile_lists_every_run_with_its_counterpart_on_human_masks(runs, load_config):
    assert {name for name, run in runs.items() if 'Table' in run} == set(DIFFERENCES)
    for name, run in runs.items():
        if run['Supervision'] == 'human':
            assert 'Ground Truth Config' not in run and name.endswith('_gt'), name
            continue
        human = run['Ground Truth Config'].removeprefix('configs/')
        assert human.startswith(('mmdet::', 'maskdino/')) or Path(human).stem in runs
        if run['Supervision'] == 'MAL':
            ours, theirs = (
                flatten(load_config(each).to_dict()) for each in (f'phase2/{name}.py', human)
            )
            changed = {
                key
                for key in ours
                if (key not in theirs or ours[key] != theirs[key])
                and not key.startswith('custom_imports')
            }
            dataset = 'dataset.dataset' if run['Training Data'] == 'LVIS v1' else 'dataset'
            assert changed == {'mal_ann_file', f'train_dataloader.{dataset}.ann_file'}, name
            assert not theirs.keys() - ours.keys()


def test_cascade_and_mask_rcnn_without_masks_train_and_test_on_boxes_alone(load_config):
    for name in (
        'faster-rcnn_r50_fpn_1x_coco_boxes',
        'faster-rcnn_r50_fpn_1x_lvis-v1_boxes',
        'cascade-rcnn_convnext-s_fpn_3x_coco_boxes',
    ):
        cfg = load_config(f'phase2/{name}.py')
        with torch.device('meta'), pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, 'linspace', functools.partial(torch.linspace, device='cpu'))
            model = MODELS.build(cfg.model)
        assert not model.with_mask and model.with_bbox, name
        assert not any('mask' in key for key in model.state_dict()), name


def test_evaluation_stays_on_human_annotations(load_config):
    for name in DIFFERENCES:
        cfg = load_config(f'phase2/{name}.py')
        root, human = 'data/coco/', 'annotations/instances_val2017.json'
        if 'lvis' in name:
            root, human = 'data/lvis_v1/', 'annotations/lvis_v1_val.json'
        measured = 'bbox' if name.startswith(('faster-rcnn', 'cascade-rcnn')) else 'segm'
        for split in ('val', 'test'):
            assert cfg[f'{split}_dataloader'].dataset.ann_file == human, name
            assert cfg[f'{split}_evaluator'].ann_file == root + human, name
            assert measured in cfg[f'{split}_evaluator'].metric, name
