"""Query selection and decoder against the authors' numbers."""

from __future__ import annotations

from types import SimpleNamespace

import maskdino_mini as mini
import pytest
import torch
from mmdet.models.layers.transformer import coordinate_to_encoding, inverse_sigmoid
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmdet.structures.mask import mask2bbox

from mal_mm.models.maskdino.query_selection import grid_proposals, mask_boxes_unsig

STAGES = ('aux0', 'aux1', 'aux2', 'final')
SEMANTIC = dict(two_stage=False, box_init='no', cls_out_channels=6)


def encoder_outputs(prefix: str = 'out'):
    maps = mini.tensors('encoder', f'{prefix}_ms_{{}}')
    if prefix == 'out':
        return maps, mini.tensor('encoder', 'out_mask_features')
    with torch.no_grad():  # a copy of the arrays has its mask features in part only
        mask_features, _ = mini.pixel_decoder(feature_order='high2low')(mini.backbone_maps())
    return maps, mask_features


def denoising() -> SimpleNamespace:
    """Two groups of one slot, empty in the second image; with 20 matching queries."""
    blocked = torch.zeros(22, 22, dtype=torch.bool)
    blocked[2:, :2] = blocked[0, 1] = blocked[1, 0] = True
    return SimpleNamespace(
        labels=torch.tensor([[1, 4], [-1, -1]]),
        boxes_unsig=torch.tensor([[[0.1, -0.3, -2, -1]] * 2, [[0.0] * 4] * 2]),
        attn_mask=blocked,
    )


# -- the authors' numbers -------------------------------------------------------------------------


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize(
    'name, changes',
    [
        ('bitmask', dict(box_init='bitmask')),
        ('no', dict(box_init='no')),
        ('mask2box', dict(box_init='mask2box')),
        ('h2l_bitmask', dict(box_init='bitmask')),
        ('sem', SEMANTIC),
    ],
)
def test_all_predictions_are_the_authors(name, changes, training):
    decoder = mini.decoder(**changes).train(training)
    with torch.no_grad():
        out = decoder(*encoder_outputs('h2l' if name == 'h2l_bitmask' else 'out'))
    predictions = zip(STAGES, out.class_logits, out.boxes, out.mask_logits, strict=True)
    for stage, *values in predictions:
        for kind, ours in zip(('logits', 'boxes', 'masks'), values, strict=True):
            key = f'{name}_{stage}_pred_{kind}'
            if ours is None:
                assert kind == 'masks' and stage != 'final' and not training
            elif key in mini.arrays('decoder_eval'):
                mini.assert_near(ours, mini.tensor('decoder_eval', key))
    if name == 'sem':
        assert out.selection is None and out.topk_indices is None
        return
    prefix = 'h2l_' if name == 'h2l_bitmask' else ''
    for kind, ours in zip(('logits', 'boxes', 'masks'), out.selection, strict=True):
        mini.assert_near(ours, mini.tensor('decoder_eval', f'{prefix}interm_pred_{kind}'))
    assert torch.equal(out.topk_indices, mini.tensor('decoder_eval', f'{prefix}topk_idx'))


def test_denoising_predictions_are_the_authors():
    """The stored denoising queries, before the matching ones; contents from label_enc."""
    stored = {
        key.removeprefix('bitmask_'): torch.from_numpy(value)
        for key, value in mini.arrays('criterion').items()
        if key.startswith(('bitmask_dn_', 'bitmask_train_'))
    }
    slots = stored['dn_query_label_embed'].shape[1]
    labels = torch.full((2, slots), -1)
    image, slot = stored['dn_batch_idx'].long(), stored['dn_map_known_indice'].long()
    labels[image, slot] = stored['dn_known_labels_noised'].long()
    queries = SimpleNamespace(
        labels=labels,
        boxes_unsig=stored['dn_query_bbox_unsig'],
        attn_mask=stored['dn_attn_mask'].bool(),
    )
    with torch.no_grad():
        out = mini.decoder()(*encoder_outputs(), queries)
    for kind, ours in (
        ('logits', out.class_logits),
        ('boxes', out.boxes),
        ('masks', out.mask_logits),
    ):
        ours = torch.stack(ours)
        mini.assert_near(ours[:, :, :slots], stored[f'train_dn_pred_{kind}'])
        mini.assert_near(ours[:, :, slots:], stored[f'train_pred_{kind}'])


def test_proposals_are_the_authors():
    sizes = mini.arrays('decoder_eval')['prop_shapes'].tolist()
    boxes, valid = grid_proposals(sizes)
    reference = mini.tensor('decoder_eval', 'prop_out')[0]
    assert torch.equal(valid, mini.tensor('decoder_eval', 'prop_memory_kept')[0].bool())
    assert torch.equal(boxes.isinf(), reference.isinf())
    mini.assert_near(boxes[valid], reference[valid])


def test_mmdets_box_encoding_and_inverse_sigmoid_are_the_authors():
    boxes = mini.tensor('decoder_eval', 'sine256_in')
    for size, key in ((128, 'sine256_out'), (16, 'sine32_out')):
        encoded = coordinate_to_encoding(boxes, size)
        mini.assert_near(encoded, mini.tensor('decoder_eval', key))
    values = mini.tensor('decoder_eval', 'inv_sigmoid_in')
    mini.assert_near(inverse_sigmoid(values), mini.tensor('decoder_eval', 'inv_sigmoid_out'))


# -- behaviour ------------------------------------------------------------------------------------


def test_bitmask_boxes_are_mmdets_tight_boxes():
    logits = torch.randn(2, 30, 6, 9, generator=torch.Generator().manual_seed(0)) - 2
    logits[0, 0] = -1  # an empty mask
    logits[0, 1] = 1  # a full one
    boxes = bbox_cxcywh_to_xyxy(mask_boxes_unsig(logits, 'bitmask').sigmoid())
    expected = mask2bbox(logits.flatten(0, 1) > 0).view(2, 30, 4)
    scale = torch.tensor([9.0, 6.0, 9.0, 6.0])
    torch.testing.assert_close(boxes * scale, expected, atol=3e-4, rtol=0)


def test_mask2box_boxes_end_at_the_last_pixel():
    logits = torch.full((2, 5, 10), -1.0)
    logits[0, 1:4, 2:7] = 1
    boxes = mask_boxes_unsig(logits, 'mask2box').sigmoid()
    expected = torch.tensor([[0.4, 0.4, 0.4, 0.4], [1, 1, 0, 0]])
    torch.testing.assert_close(boxes, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize('box_init', ['bitmask', 'no'])
@pytest.mark.parametrize('with_queries', [False, True])
def test_every_parameter_gets_a_gradient(box_init, with_queries):
    """As DDP wants it: with and without denoising queries, from the losses' inputs alone."""
    decoder = mini.decoder(box_init=box_init)
    out = decoder(*encoder_outputs(), denoising() if with_queries else None)
    terms = [*out.class_logits, *out.boxes, *out.mask_logits, *out.selection]
    sum(term.square().mean() for term in terms).backward()
    assert [n for n, p in decoder.named_parameters() if p.grad is None] == []
    assert bool(decoder.label_enc.weight.grad.any()) is with_queries


@pytest.mark.parametrize('changes', [SEMANTIC, dict(box_init='no', learn_content=True)])
def test_learned_queries_get_a_gradient(changes):
    decoder = MODELS.build(dict(mini.DECODER, type='MaskDINODecoder', **changes))
    out = decoder(*encoder_outputs(), denoising())
    terms = [*out.class_logits, *out.boxes, *out.mask_logits, *(out.selection or ())]
    sum(term.square().mean() for term in terms).backward()
    assert [n for n, p in decoder.named_parameters() if p.grad is None] == []


def test_matching_queries_do_not_see_denoising_queries():
    decoder = mini.decoder()
    with torch.no_grad():
        alone = decoder(*encoder_outputs())
        beside = decoder(*encoder_outputs(), denoising())
    torch.testing.assert_close(beside.boxes[-1][:, 2:], alone.boxes[-1])
    torch.testing.assert_close(beside.mask_logits[-1][:, 2:], alone.mask_logits[-1])


def test_empty_slots_start_without_content_in_the_middle_of_the_image():
    out = mini.decoder()(*encoder_outputs(), denoising())
    assert out.boxes[0][1, :2].tolist() == [[0.5] * 4] * 2


def test_predicted_boxes_look_forward_twice():
    """The last boxes train the last layer and the one before, and through boxes no other."""
    decoder = mini.decoder(box_init='no')
    outputs = []

    def cut(_layer, _inputs, output):
        outputs.append(output.detach().requires_grad_())
        return outputs[-1]

    for layer in decoder.layers:
        layer.register_forward_hook(cut)
    out = decoder(*encoder_outputs())
    gradients = torch.autograd.grad(out.boxes[-1].sum(), outputs, allow_unused=True)
    assert [gradient is not None for gradient in gradients] == [False, True, True]


def test_recomputed_layers_change_neither_outputs_nor_gradients():
    results = []
    for with_cp in (False, True):
        decoder = mini.decoder(with_cp=with_cp)
        out = decoder(*encoder_outputs(), denoising())
        (out.boxes[-1].sum() + out.class_logits[-1].square().mean()).backward()
        gradients = [p.grad for p in decoder.parameters() if p.grad is not None]
        results.append([out.boxes[-1], out.class_logits[-1], *gradients])
    for plain, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(recomputed, plain)


def test_layers_and_boxes_stay_in_float32_under_amp():
    decoder = mini.decoder(box_init='no').eval()
    seen = []
    for layer in decoder.layers:
        layer.ffn.register_forward_hook(lambda _, args, out: seen.append(out.dtype))
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        out = decoder(*encoder_outputs())
    assert seen == [torch.float32] * 3
    assert {boxes.dtype for boxes in out.boxes} == {torch.float32}
    assert out.class_logits[-1].dtype == torch.bfloat16


def test_box_head_starts_at_zero():
    decoder = MODELS.build(dict(mini.DECODER, type='MaskDINODecoder', box_init='no'))
    decoder.init_weights()
    assert not decoder.box_embed.layers[-1].weight.any()
    out = decoder(*encoder_outputs())
    torch.testing.assert_close(out.boxes[-1], out.boxes[0])


@pytest.mark.parametrize(
    'changes, complaint',
    [
        (dict(box_init='mask'), "`box_init` must be one of no, bitmask, mask2box, got 'mask'"),
        (dict(two_stage=False), "`box_init` must be 'no' without `two_stage`, got 'bitmask'"),
    ],
)
def test_wrong_arguments_are_named(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        mini.decoder(**changes)


def test_an_image_with_fewer_tokens_than_queries_is_named():
    maps = [torch.zeros(1, 32, side, side) for side in (2, 1, 1, 1)]
    with pytest.raises(ValueError, match=r'`num_queries` is 20, but .* have only 7 cells'):
        mini.decoder()(maps, torch.zeros(1, 32, 4, 4))
