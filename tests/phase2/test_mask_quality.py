"""Quality of masks in training: Mask R-CNN, Cascade Mask R-CNN and Mask2Former, made small."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hub import get_config
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope

from mal_mm.phase2.mask_quality import use_mask_quality
from mal_mm.samples import make_shapes
from mal_mm.samples.shapes import CATEGORIES

SIDE = 64
STOCK = {
    'mask_rcnn': 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'cascade': 'mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py',
    'mask2former': 'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
}
CHANNELS = ('channels', 'embed_dims', 'num_feats')


def narrow(node: object) -> None:
    """A sixteenth of the channels, one layer where there are several."""
    if isinstance(node, (list, tuple)):
        for each in node:
            narrow(each)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key.endswith(CHANNELS):
            node[key] = [v // 16 for v in value] if isinstance(value, list) else value // 16
        elif key in ('num_layers', 'num_convs'):
            node[key] = 1
        elif key == 'num_classes':
            node[key] = len(CATEGORIES)
        else:
            narrow(value)


def small(family: str, data_root) -> Config:
    cfg = get_config(STOCK[family])
    model = cfg.model
    narrow(model)
    model.backbone.update(base_channels=4, init_cfg=None)
    if family == 'mask2former':
        head = model.panoptic_head
        head.update(num_queries=12, num_things_classes=len(CATEGORIES))
        head.pixel_decoder.norm_cfg.num_groups = 4
        head.transformer_decoder.num_layers = 2
        head.loss_cls.class_weight = [1.0] * len(CATEGORIES) + [0.1]
        model.train_cfg.num_points = 100
        model.data_preprocessor.batch_augments[0].size = (SIDE, SIDE)
    dataset = cfg.train_dataloader.dataset
    dataset.update(data_root=str(data_root), ann_file='mal.json', data_prefix={'img': ''})
    dataset.update(metainfo={'classes': CATEGORIES}, filter_cfg=None)
    for transform in dataset.pipeline:
        for key in ('scale', 'crop_size'):
            if key in transform:
                transform[key] = (SIDE, SIDE)
        if 'ratio_range' in transform:
            transform.ratio_range = (0.9, 1.1)
    return cfg


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    """Two images; the quality of an object is 0.01 x its id."""
    register_all_modules(init_default_scope=False)
    root = tmp_path_factory.mktemp('shapes')
    data = json.loads(
        make_shapes(root, num_images=2, num_unseen=0, size=SIDE)['train_gt'].read_text()
    )
    for annotation in data['annotations']:
        annotation['mal_quality'] = annotation['id'] / 100
    (root / 'mal.json').write_text(json.dumps(data))
    return root


@pytest.fixture(scope='module', params=STOCK)
def family(request, data_root):
    """Name, models by name (stock, and ours with any settings), and a batch from the file."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        cfg = small(request.param, data_root)
        torch.manual_seed(0)
        stock = MODELS.build(cfg.model).train()
        stock.init_weights()
        use_mask_quality(cfg, 0.5, False)
        ours = MODELS.build(cfg.model).train()
        ours.load_state_dict(stock.state_dict())  # strict: the names are the same
        torch.manual_seed(0)
        np.random.seed(0)
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        batch = pseudo_collate([dataset[0], dataset[1]])
    batch = ours.data_preprocessor(batch, training=True)
    return request.param, stock, ours, batch


def run(model, batch, quality=None, **settings):
    """Losses and gradients, under one seed.

    Args:
        quality: (n,) of all objects of the batch, in order.
        settings: of our mask heads.
    """
    samples = batch['data_samples']
    if quality is not None:
        counts = [len(each.gt_instances) for each in samples]
        for each, values in zip(samples, quality.float().split(counts), strict=True):
            each.gt_instances.mask_quality = values
    for module in model.modules():
        if hasattr(module, 'weight_by_quality'):
            module.min_quality = settings.get('min_quality', 0.0)
            module.weight_by_quality = settings.get('weight', False)
    torch.manual_seed(1)
    np.random.seed(1)
    model.zero_grad()
    losses = model.loss(batch['inputs'], samples)
    model.parse_losses(losses)[0].backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    parts = {k: v if isinstance(v, list) else [v] for k, v in losses.items() if 'loss' in k}
    return {
        k: torch.cat([each.detach().reshape(1) for each in v]) for k, v in parts.items()
    }, grads


def is_mask_loss(name: str) -> bool:
    return name.endswith(('loss_mask', 'loss_dice'))


def mask_total(losses) -> float:
    return sum(v.sum() for k, v in losses.items() if is_mask_loss(k)).item()


def num_objects(batch) -> int:
    return sum(len(each.gt_instances) for each in batch['data_samples'])


def test_the_file_s_quality_reaches_the_model(family, data_root):
    *_, batch = family
    annotations = json.loads((data_root / 'mal.json').read_text())['annotations']
    for sample, image_id in zip(batch['data_samples'], (1, 2), strict=True):
        given = [a['mal_quality'] for a in annotations if a['image_id'] == image_id]
        found = sample.gt_instances.mask_quality
        assert found.dtype == torch.float32
        assert len(found) > 0
        assert set(found.tolist()) <= set(np.float32(given).tolist())
        assert sample.gt_instances.labels.max() < len(CATEGORIES)


def test_with_perfect_masks_all_is_bit_for_bit_the_stock_model(family):
    _, stock, ours, batch = family
    wanted, wanted_grads = run(stock, batch)
    perfect = torch.ones(num_objects(batch))
    losses, grads = run(ours, batch, perfect, min_quality=1.0, weight=True)
    assert losses.keys() == wanted.keys()
    for key, value in wanted.items():
        assert torch.equal(losses[key], value), key
    for name, grad in wanted_grads.items():
        assert (grad is None) == (grads[name] is None), name
        assert grad is None or torch.equal(grads[name], grad), name


def test_ignored_masks_leave_box_and_class_losses_alone_and_have_no_gradient(family):
    name, stock, ours, batch = family
    wanted, _ = run(stock, batch)
    losses, grads = run(ours, batch, torch.full((num_objects(batch),), 0.4), min_quality=0.5)
    for key, value in wanted.items():
        if is_mask_loss(key):
            assert losses[key].item() == 0
        else:
            assert torch.equal(losses[key], value), key
    # zero, but there: without a gradient DDP would wait for ever
    mask_only = 'mask_head' if name != 'mask2former' else 'mask_embed'
    of_masks = [grad for key, grad in grads.items() if mask_only in key]
    assert of_masks and all(grad is not None and not grad.any() for grad in of_masks)


@pytest.fixture(scope='module')
def shares(family):
    """Mask loss of each third of the objects, the others weighing nothing; and (n,) the thirds."""
    *_, ours, batch = family
    third = torch.arange(num_objects(batch)) % 3
    return [mask_total(run(ours, batch, third == k, weight=True)[0]) for k in range(3)], third


def test_loss_is_linear_in_quality(family, shares):
    *_, ours, batch = family
    parts, third = shares
    assert min(parts) > 0
    for quality in (torch.tensor([0.25, 0.5, 0.125]), torch.ones(3)):
        total = mask_total(run(ours, batch, quality[third], weight=True)[0])
        assert total == pytest.approx(float(np.dot(quality, parts)), rel=1e-4)


def test_bad_masks_do_not_shrink_the_loss_of_good_ones(family, shares):
    name, _, ours, batch = family
    parts, third = shares
    kept = mask_total(run(ours, batch, 0.3 * third, min_quality=0.3)[0])
    if name == 'mask2former':  # one query an object, so this is the mean over fewer
        n, bad = len(third), int((third == 0).sum())
        assert kept == pytest.approx(sum(parts[1:]) * n / (n - bad), rel=1e-4)
    else:
        assert kept > 1.01 * sum(parts[1:])


def test_each_query_gets_the_quality_of_the_mask_that_it_is_matched_to(family):
    name, _, ours, batch = family
    if name != 'mask2former':
        return  # RoIs: tests/models/segmenter_heads
    sample = max(batch['data_samples'], key=lambda each: len(each.gt_instances))
    (truth,) = ours.panoptic_head.preprocess_gt([sample.gt_instances], [None])
    truth.mask_quality = truth.masks.float().mean((1, 2))  # tells each mask from the others
    torch.manual_seed(0)
    scores, masks = torch.randn(12, len(CATEGORIES) + 1), torch.randn(12, 16, 16)
    targets = ours.panoptic_head._get_targets_single(scores, masks, truth, sample.metainfo)
    assert torch.equal(targets[-1], targets[2].float().mean((1, 2)))
    assert not torch.equal(targets[-1], truth.mask_quality)  # the order has changed


def test_an_optimizer_step_runs(family):
    *_, ours, batch = family
    optimizer = torch.optim.SGD(ours.parameters(), lr=1e-3)
    before = {key: value.clone() for key, value in ours.named_parameters()}
    quality = torch.linspace(0.1, 0.9, num_objects(batch))
    losses, _ = run(ours, batch, quality, min_quality=0.3, weight=True)
    assert np.isfinite(mask_total(losses))
    OptimWrapper(optimizer).step()
    moved = [key for key, value in ours.named_parameters() if not torch.equal(value, before[key])]
    assert any('mask' in key for key in moved)


def test_both_off_changes_nothing(data_root):
    cfg = small('mask_rcnn', data_root)
    before = cfg.to_dict()
    use_mask_quality(cfg, 0, False)
    assert cfg.to_dict() == before


def types(node: object) -> list[str]:
    found = []
    if isinstance(node, dict):
        found += [node['type']] if 'type' in node else []
        node = list(node.values())
    for each in node if isinstance(node, (list, tuple)) else []:
        found += types(each)
    return found


def test_every_place_of_a_config_is_rewritten_and_again(tmp_path):
    cfg = get_config('mmdet::lvis/mask-rcnn_r50_fpn_sample1e-3_ms-1x_lvis-v1.py')
    leaf = cfg.train_dataloader.dataset.dataset
    leaf.pipeline.insert(2, dict(type='RandomChoice', transforms=[[dict(type='PackDetInputs')]]))
    cfg.custom_hooks = [
        dict(type='PipelineSwitchHook', switch_epoch=1, switch_pipeline=leaf.pipeline)
    ]
    cfg.model.roi_head.type = 'CascadeRoIHead'
    cfg.model.roi_head.mask_head = [cfg.model.roi_head.mask_head] * 3
    cfg.custom_imports = dict(imports='mmpretrain.models', allow_failed_imports=False)
    validation = cfg.val_dataloader.to_dict()
    for min_quality, weight in ((0.5, True), (0, False)):  # off again: the heads are told
        use_mask_quality(cfg, min_quality, weight)
        found = types(cfg.train_dataloader.to_dict()) + types(cfg.custom_hooks)
        assert not {'LVISV1Dataset', 'LoadAnnotations', 'PackDetInputs'} & set(found)
        assert found.count('mmdet.MaskQualityLVISV1Dataset') == 1
        assert found.count('mmdet.LoadMaskQualityAnnotations') == 2
        assert found.count('mmdet.PackMaskQualityInputs') == 4
        for head in cfg.model.roi_head.mask_head:
            assert head.type == 'mmdet.QualityFCNMaskHead'
            assert (head.min_quality, head.weight_by_quality) == (min_quality, weight)
        assert cfg.custom_imports.imports == ['mmpretrain.models', 'mal_mm']
    assert cfg.val_dataloader.to_dict() == validation
    cfg.dump(tmp_path / 'saved.py')
    assert Config.fromfile(tmp_path / 'saved.py').to_dict() == cfg.to_dict()


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('solov2/solov2_r50_fpn_1x_coco.py', 'SOLOv2 with SOLOV2Head'),
        ('condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py', 'CondInstMaskHead'),
        ('ms_rcnn/ms-rcnn_r50_fpn_1x_coco.py', 'MaskIoUHead'),
        ('faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', 'FasterRCNN'),
        ('mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py', 'without stuff'),
    ],
)
def test_other_heads_are_refused_with_what_to_do_instead(name, words):
    with pytest.raises(
        ValueError, match=f'(?s){words}.*generate_pseudo_masks.py .* --min-quality'
    ):
        use_mask_quality(get_config(f'mmdet::{name}'), 0.5, False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda data: data.update(type='CityscapesDataset'),
            'training data set CityscapesDataset',
        ),
        (lambda data: data.pipeline.insert(1, dict(type='InstaBoost')), 'remove InstaBoost'),
        (lambda data: data.pipeline.pop(), 'must end with PackDetInputs, got no packer'),
        (lambda data: data.pipeline.pop(1), 'no LoadAnnotations'),
    ],
)
def test_data_that_lose_the_quality_are_refused(data_root, change, message):
    cfg = small('mask_rcnn', data_root)
    change(cfg.train_dataloader.dataset)
    with pytest.raises(ValueError, match=message):
        use_mask_quality(cfg, 0.5, False)
    assert cfg.model.roi_head.mask_head.type == 'FCNMaskHead'


@pytest.mark.slow
@pytest.mark.parametrize(
    ('min_quality', 'weight'),
    [(-0.1, False), (1.5, True), (float('nan'), True), ('high', True), (True, True), (0.5, 1)],
)
def test_values_out_of_range_are_refused(data_root, min_quality, weight):
    with pytest.raises(ValueError, match=r'must be .*, got'):
        use_mask_quality(small('mask_rcnn', data_root), min_quality, weight)
