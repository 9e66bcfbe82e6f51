import pytest
import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mal_mm.models import QualityFCNMaskHead

CLASSES, SIDE = 3, 8
CFG = ConfigDict(mask_size=SIDE)
SETTINGS = dict(num_convs=0, in_channels=4, conv_out_channels=4, num_classes=CLASSES)


@pytest.fixture(params=[False, True], ids=['class-specific', 'class-agnostic'])
def task(request):
    """Two images of 2 and 1 objects, 4 + 2 RoIs: objects (0, 1, 1, 0) and (0, 0)."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    samples, instances = [], []
    for owners, labels in ((torch.tensor([0, 1, 1, 0]), [2, 0]), (torch.tensor([0, 0]), [1])):
        masks = (torch.rand(len(labels), 16, 16, generator=generator) > 0.5).numpy()
        corner = torch.rand(len(owners), 2, generator=generator) * 8
        samples.append(
            InstanceData(
                pos_priors=torch.cat([corner, corner + 8], dim=1),
                pos_assigned_gt_inds=owners,
                pos_gt_labels=torch.tensor(labels)[owners],
            )
        )
        instances.append(
            InstanceData(masks=BitmapMasks(masks, 16, 16), labels=torch.tensor(labels))
        )
    channels = 1 if request.param else CLASSES
    mask_preds = torch.randn(6, channels, SIDE, SIDE, generator=generator)
    return request.param, mask_preds, samples, instances


def loss_of(head, task, quality=None, rois=slice(None)):
    """Loss, and gradient of the logits, of some RoIs (given as a bool mask or slice)."""
    _, mask_preds, samples, instances = task
    every = torch.zeros(6, dtype=torch.bool)
    every[rois] = True
    samples = [s[part] for s, part in zip(samples, every.split([4, 2]), strict=True)]
    if quality is not None:
        for each, values in zip(instances, torch.tensor(quality).split([2, 1]), strict=True):
            each.mask_quality = values
    mask_preds = mask_preds[every].clone().requires_grad_()
    loss = head.loss_and_target(mask_preds, samples, instances, CFG)['loss_mask']['loss_mask']
    loss.sum().backward()
    return loss.detach(), mask_preds.grad


def test_ignored_masks_are_as_if_their_rois_were_not_there(task):
    settings = dict(SETTINGS, class_agnostic=task[0])
    ours = QualityFCNMaskHead(min_quality=0.5, **settings)
    loss, grad = loss_of(ours, task, [0.5, 0.49, 0.9])  # the second object's: RoIs 1 and 2
    kept = torch.tensor([True, False, False, True, True, True])
    wanted, wanted_grad = loss_of(FCNMaskHead(**settings), task, rois=kept)
    assert torch.equal(loss, wanted)
    assert torch.equal(grad[kept], wanted_grad)
    assert not grad[~kept].any()


def test_weighted_loss_is_the_mean_of_quality_times_each_roi_s_loss(task):
    settings = dict(SETTINGS, class_agnostic=task[0])
    single = [loss_of(FCNMaskHead(**settings), task, rois=[k])[0] for k in range(6)]
    ours = QualityFCNMaskHead(min_quality=0.3, weight_by_quality=True, **settings)
    loss, _ = loss_of(ours, task, [0.4, 0.2, 0.7])
    wanted = (0.4 * (single[0] + single[3]) + 0.7 * (single[4] + single[5])) / 4
    torch.testing.assert_close(loss, wanted)


def test_a_batch_of_bad_masks_has_zero_loss_with_a_gradient(task):
    ours = QualityFCNMaskHead(min_quality=0.5, class_agnostic=task[0], **SETTINGS)
    loss, grad = loss_of(ours, task, [0.1, 0.2, 0.3])
    assert loss.item() == 0
    assert grad is not None and not grad.any()
    loss, _ = loss_of(ours, task, [1.0, 1.0, 1.0], rois=[])  # nor is there any RoI
    assert loss.item() == 0


def test_misuse_is_explained(task):
    with pytest.raises(RuntimeError, match=r'no `mask_quality`.*use_mask_quality'):
        loss_of(QualityFCNMaskHead(**SETTINGS, class_agnostic=task[0]), task)
    with pytest.raises(ValueError, match=r'`min_quality` must be a number in \[0, 1\], got 2'):
        QualityFCNMaskHead(min_quality=2, **SETTINGS)
    with pytest.raises(ValueError, match=r'`loss_mask` must be .* got .*DiceLoss'):
        QualityFCNMaskHead(loss_mask=dict(type='DiceLoss'), **SETTINGS)
