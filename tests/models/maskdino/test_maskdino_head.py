"""MaskDINOHead: losses and gradients of the authors' runs, targets, and results by hand."""

from __future__ import annotations

import maskdino_mini as mini
import maskdino_runs as runs
import numpy as np
import pytest
import tiny_maskdino
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData

from mal_mm.checkpoints.maskdino import export_state_dict
from mal_mm.models.maskdino import MaskDINOFusionHead
from mal_mm.models.maskdino.targets import segment_targets

# -- the authors' numbers -------------------------------------------------------------------------


@pytest.mark.parametrize('tag', ['bitmask', 'no', 'empty1', 'empty2', 'many', 'sem'])
def test_losses_and_gradients_are_the_authors(tag):
    head, targets = runs.head(tag), runs.run_targets(tag)
    denoising = head.denoising(targets, runs.noise(tag))
    losses = head.criterion(head(mini.backbone_maps(), denoising), targets, denoising)
    total = sum(losses.values())
    total.backward()

    reference = mini.arrays('criterion')
    for name, value in reference.items():
        if name.startswith(f'{tag}__'):
            ours = runs.our_loss_name(name.removeprefix(f'{tag}__'))
            weight = head.criterion.weights[ours.rpartition('_')[2]]
            assert losses.pop(ours).item() / weight == pytest.approx(value, rel=1e-5), ours
    if tag != 'many':  # of which only the denoising part is known
        assert not losses
        assert total.item() == pytest.approx(reference[f'{tag}_total_weighted'], rel=1e-5)
    # or DistributedDataParallel would wait for it
    assert [name for name, value in head.named_parameters() if value.grad is None] == []
    if tag in ('bitmask', 'no'):
        gradients = {f'panoptic_head.{k}': p.grad for k, p in head.named_parameters()}
        compare_gradients(export_state_dict(gradients), tag)


def compare_gradients(gradients: dict, tag: str) -> None:
    reference = mini.arrays('criterion')
    norms = dict(zip(reference[f'{tag}_grad_names'], reference[f'{tag}_grad_norms'], strict=True))
    assert len(norms) == 148
    for name, norm in norms.items():
        ours = gradients[name].norm().item()
        # a bias before a group norm of one channel a group has none but rounding
        assert ours == pytest.approx(norm, rel=2e-3, abs=1e-5), name
    full = [name for name in reference if name.startswith(f'{tag}_grad_full__')]
    assert full
    for name in full:
        ours = gradients[name.removeprefix(f'{tag}_grad_full__')]
        mini.assert_near(ours, torch.from_numpy(reference[name]), 2e-3)


# -- targets --------------------------------------------------------------------------------------


def test_things_come_from_instances_and_stuff_from_the_semantic_map():
    masks = np.zeros((1, 10, 20), np.uint8)
    semantic_map = torch.zeros(1, 10, 20, dtype=torch.uint8)
    semantic_map[0, 2:4, 5:15] = 3
    semantic_map[0, 9] = tiny_maskdino.VOID
    sample = DetDataSample(metainfo=dict(batch_input_shape=(10, 20)))
    sample.gt_instances = InstanceData(
        labels=torch.tensor([0]),
        bboxes=torch.tensor([[4.0, 6, 20, 10]]),
        masks=BitmapMasks(masks, 10, 20),
    )
    sample.gt_sem_seg = PixelData(sem_seg=semantic_map)

    target = segment_targets(sample, 2, 2, stuff_boxes=False, device=torch.device('cpu'))
    assert target.labels.tolist() == [0, 3]
    assert target.boxed.tolist() == [True, False]
    expected = torch.tensor([[0.6, 0.8, 0.8, 0.4], [0.5, 0.3, 0.5, 0.2]])
    torch.testing.assert_close(target.boxes, expected)
    assert target.masks.dtype == torch.uint8
    assert target.masks[1].equal((semantic_map[0] == 3).byte())
    with_boxes = segment_targets(sample, 2, 2, stuff_boxes=True, device=torch.device('cpu'))
    assert with_boxes.boxed.all()


@pytest.mark.parametrize('task, fix', [('instance', 'pad_mask'), ('semantic', 'pad_seg')])
def test_unpadded_targets_are_refused(task, fix):
    sample = tiny_maskdino.data_batch(task)['data_samples'][0]
    sample.set_metainfo(dict(batch_input_shape=(64, 96)))
    with pytest.raises(ValueError, match=rf'\(64, 96\).*\(64, 80\).*{fix}=True'):
        segment_targets(sample, *tiny_maskdino.TASKS[task], False, torch.device('cpu'))


# -- results --------------------------------------------------------------------------------------

# the network saw 4 x 6 pixels padded to 8 x 8, of an image of 8 x 12
SAMPLE = DetDataSample(
    metainfo=dict(batch_input_shape=(8, 8), img_shape=(4, 6), ori_shape=(8, 12))
)


def logit(*probs: float) -> list[float]:
    return torch.tensor(probs).logit().tolist()


def half_masks() -> torch.Tensor:
    """Of two queries, at half the padded size: the left 4 columns, and the other 4."""
    left = torch.tensor([1.0, 1, -1, -1]).expand(4, 4) * 20
    return torch.stack([left, -left])[None]


def results(class_logits, test_cfg, things=2, stuff=0, rescale=True, **kwargs):
    fusion = MaskDINOFusionHead(things, stuff, test_cfg=test_cfg, **kwargs)
    boxes = torch.tensor([[[0.25, 0.25, 0.5, 0.5], [0.7, 0.5, 0.6, 1.0]]])
    return fusion.predict(
        torch.tensor([class_logits]), boxes, half_masks(), [SAMPLE], rescale=rescale
    )[0]


def test_instances_have_boxes_of_the_padded_image_and_masks_without_padding():
    class_logits = [logit(0.9, 0.2), logit(0.1, 0.8)]
    instances = results(class_logits, dict(max_per_image=3))['ins_results']
    assert instances.labels.tolist() == [0, 1, 1]
    # saturated masks: their quality is about one, and it is the same for one query
    torch.testing.assert_close(instances.scores, torch.tensor([0.9, 0.8, 0.2]), rtol=0.05, atol=0)
    assert instances.scores[2] / instances.scores[0] == pytest.approx(0.2 / 0.9)
    # 8 padded pixels of the network are 16 of the image; beyond it boxes end
    left, right = [0, 0, 8, 8], [6.4, 0, 12, 8]
    torch.testing.assert_close(instances.bboxes, torch.tensor([left, right, left]).float())
    assert instances.masks.shape == (3, 8, 12)
    assert instances.masks[0, :, :7].all() and not instances.masks[0, :, 9:].any()
    assert instances.masks[0].equal(instances.masks[2])
    small = results(class_logits, {}, rescale=False)['ins_results']
    assert small.masks.shape == (4, 4, 6)
    torch.testing.assert_close(small.bboxes[0], torch.tensor([0.0, 0, 4, 4]))


def test_instances_of_a_panoptic_model_are_things():
    class_logits = [logit(0.3, 0.9), logit(0.4, 0.1)]
    instances = results(class_logits, dict(max_per_image=2), things=1, stuff=1)['ins_results']
    assert instances.labels.tolist() == [0]  # the second of two, behind stuff of 0.9
    assert instances.bboxes[0, 0] > 6


PANOPTIC = dict(instance_on=False, panoptic_on=True)


def test_panoptic_map_holds_instances_of_things_and_one_area_of_stuff():
    pan = results([logit(0.6, 0.1), logit(0.1, 0.5)], PANOPTIC, things=1, stuff=1)['pan_results']
    assert pan.sem_seg.shape == (1, 8, 12)
    assert pan.sem_seg[0, 0, 0] == 1000  # class 0, its first instance
    assert pan.sem_seg[0, 0, 11] == 1
    # the sigmoid is what has to pass the threshold: 0.2 sharpened would
    pan = results([logit(0.2, 0.01), logit(0.2, 0.01)], PANOPTIC)['pan_results']
    assert pan.sem_seg.eq(2).all()  # two classes: void


def test_panoptic_map_of_cross_entropy_leaves_no_object_out():
    class_logits = [[5.0, 0, 0], [0, 0, 5.0]]
    pan = results(class_logits, PANOPTIC, class_loss='cross_entropy')['pan_results']
    assert pan.sem_seg[0, 0, 0] == 1000
    assert pan.sem_seg[0, 0, 11] == 2


def test_semantic_map_sums_over_queries():
    semantic = dict(instance_on=False, semantic_on=True)
    sem = results([logit(0.6, 0.1), logit(0.1, 0.3)], semantic)['sem_results']
    assert sem.sem_seg.shape == (1, 8, 12)
    assert sem.sem_seg[0, 0, 0] == 0
    assert sem.sem_seg[0, 0, 11] == 1
    class_logits = [[5.0, 0, 0], [0, 1.0, 5.0]]  # the second is nothing, if anything class 1
    sem = results(class_logits, semantic, class_loss='cross_entropy')['sem_results']
    assert sem.sem_seg[0, 0, 11] == 1


def test_unknown_test_settings_are_refused():
    with pytest.raises(ValueError, match='max_per_img, only'):
        MaskDINOFusionHead(test_cfg=dict(max_per_img=10))
