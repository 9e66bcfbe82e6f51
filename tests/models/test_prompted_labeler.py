"""SAM, SAM 2 and SAM 3 as labelers, against the library that they come from."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from PIL import Image
from sharp_labeler import blotches
from tiny_sam import REASON, SIDES, sam_config, write_sam

from mal_mm.apis import MaskLabeler
from mal_mm.checkpoints.loading import CheckpointError
from mal_mm.models.prompted_labeler import FAMILIES
from mal_mm.models.untrained_labeler import is_untrained

INSTALLED = importlib.util.find_spec('transformers') is not None
with_library = pytest.mark.skipif(not INSTALLED, reason=REASON)
pytestmark = pytest.mark.slow  # nothing here depends on the stack


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    register_all_modules(init_default_scope=False)
    root = tmp_path_factory.mktemp('sam')
    return {family: write_sam(family, root / f'tiny-{family}') for family in FAMILIES}


def build(family, folder):
    labeler = MODELS.build(sam_config(family, folder))
    labeler.init_weights()
    return labeler.eval()


def middle_box(side):
    """With a margin of 1, its window is the whole of an image of that side."""
    return [side // 4, side // 4, side - side // 4 - 1, side - side // 4 - 1]


def ask_library(family, folder, pixels, box):
    """The library's own way from an image and a box to logits, and to a mask of the image."""
    import transformers as hf

    names = {
        'sam': (hf.SamModel, hf.SamProcessor),
        'sam2': (hf.Sam2Model, hf.Sam2Processor),
        'sam3': (hf.Sam3TrackerModel, hf.Sam3TrackerProcessor),
    }
    model, processor = (
        each.from_pretrained(folder, local_files_only=True) for each in names[family]
    )
    inputs = processor(images=Image.fromarray(pixels), input_boxes=[[box]], return_tensors='pt')
    sizes = [inputs['original_sizes']]
    if family == 'sam':
        inputs['input_boxes'] = inputs['input_boxes'].float()
        sizes.append(inputs.pop('reshaped_input_sizes'))
    inputs.pop('original_sizes')
    with torch.no_grad():
        answer = model.eval()(**inputs, multimask_output=False)
    (mask,) = processor.post_process_masks(answer.pred_masks, *sizes)
    return answer.pred_masks[0, 0, 0], mask[0, 0].numpy()


@with_library
@pytest.mark.parametrize('family', FAMILIES)
def test_masks_are_those_of_the_library(family, folders):
    side = SIDES[family]
    pixels, box = blotches(side, side, 3), middle_box(side)
    logits, mask = ask_library(family, folders[family], pixels, box)
    assert 0.05 < mask.mean() < 0.95

    labeler = build(family, folders[family])
    images = labeler.data_preprocessor.normalise([torch.from_numpy(pixels).permute(2, 0, 1)])
    found = labeler.predict_maps(images, torch.tensor([box], dtype=torch.float32))[0]
    assert (found - logits).abs().max() < 1e-4 * logits.abs().max()

    # and through the engine: the same mask in the box, nothing beside it
    drawn = MaskLabeler(Config({'model': sam_config(family, folders[family])}), device='cpu')
    (drawn,) = drawn.label(pixels, [box])
    x0, y0, x1, y1 = box
    expected = np.zeros_like(mask)
    expected[y0:y1, x0:x1] = mask[y0:y1, x0:x1]
    assert np.array_equal(drawn.mask, expected)
    assert 0 <= drawn.quality <= 1


@with_library
def test_prompt_is_the_exact_box_and_crops_do_not_see_each_other(folders):
    labeler = build('sam3', folders['sam3'])
    torch.manual_seed(0)
    images = torch.randn(2, 3, 56, 56)
    boxes = torch.tensor([[8.0, 8, 40, 50], [5, 20, 50, 30]])
    maps = labeler.predict_maps(images, boxes)
    assert maps.shape == (2, 16, 16) and maps.dtype == torch.float32
    again = labeler.predict_maps(images[[1, 0]], boxes[[1, 0]])[[1, 0]]
    torch.testing.assert_close(again, maps, atol=1e-3, rtol=1e-4)
    assert not torch.allclose(labeler.predict_maps(images, boxes + 0.4), maps, atol=1e-3)
    mirrored = torch.stack([56 - boxes[:, 2], boxes[:, 1], 56 - boxes[:, 0], boxes[:, 3]], 1)
    both = labeler.predict_maps(images, boxes, flip=True)
    other = labeler.predict_maps(images.flip(-1), mirrored, flip=True).flip(-1)
    torch.testing.assert_close(both, other, atol=1e-3, rtol=1e-4)


@with_library
def test_file_is_labelled_and_says_by_which_weights(folders, tmp_path):
    Image.fromarray(blotches(90, 120, 1)).save(tmp_path / 'a.png')
    boxes = [[5.5, 5, 60, 40], [30, 20, 80, 60.5]]
    data = {
        'images': [{'id': 1, 'file_name': 'a.png', 'width': 120, 'height': 90}],
        'annotations': [
            {'id': n, 'image_id': 1, 'category_id': 1, 'bbox': box} for n, box in enumerate(boxes)
        ],
        'categories': [{'id': 1, 'name': 'blotch'}],
    }
    (tmp_path / 'ann.json').write_text(json.dumps(data))
    config = Config({'model': sam_config('sam2', 'someone/tiny-sam2', overlaps='centre')})
    labeler = MaskLabeler(config, device='cpu', weights=folders['sam2'].parent)
    summary = labeler.label_file(tmp_path / 'ann.json', tmp_path, tmp_path / 'out.json')
    head = json.loads((tmp_path / 'out.json').read_text())['mal_mm']
    assert summary.masks == 2 and head['checkpoint'].startswith('tiny-sam2 (sha256 ')


@with_library
def test_weights_of_another_family_and_foreign_code_are_refused(folders, tmp_path):
    for family, other in (('sam2', 'sam'), ('sam', 'sam2'), ('sam3', 'sam2')):
        with pytest.raises(CheckpointError, match=f"type '{other}.*', not of the family {family}"):
            build(family, folders[other])
    labeler = build('sam', folders['sam'])
    with pytest.raises(ValueError, match=r'crops are 32 px wide, but this network takes 64'):
        labeler.predict_maps(torch.zeros(1, 3, 32, 32), torch.zeros(1, 4))
    with pytest.raises(ValueError, match=r"got 'mean-field'"):
        labeler.predict_maps(torch.zeros(1, 3, 64, 64), torch.zeros(1, 4), refine='mean-field')
    folder = tmp_path / 'code'
    folder.mkdir()
    config = json.loads((folders['sam'] / 'config.json').read_text())
    config['auto_map'] = {'AutoModel': 'evil.Model'}
    (folder / 'config.json').write_text(json.dumps(config))
    (folder / 'model.safetensors').write_bytes((folders['sam'] / 'model.safetensors').read_bytes())
    with pytest.raises(CheckpointError, match='names program code'):
        build('sam', folder)
    (folder / 'config.json').write_bytes((folders['sam'] / 'config.json').read_bytes())
    (folder / 'model.safetensors').write_bytes(b'cut')
    with pytest.raises(CheckpointError, match='cannot be loaded as sam'):
        build('sam', folder)


def test_it_is_built_without_the_library_and_is_not_trained():
    model = sam_config('sam', 'facebook/sam-vit-base')
    assert is_untrained(model) and not is_untrained({'type': 'MaskAutoLabeler'})
    labeler = MODELS.build(model)
    with pytest.raises(ValueError, match='of the kind PromptedLabeler is not trained'):
        labeler({}, mode='loss')
    with pytest.raises(ValueError, match=r"`family` must be one of .* got 'sam4'"):
        MODELS.build({**model, 'family': 'sam4'})


@pytest.mark.skipif(INSTALLED, reason='is about its absence')
def test_without_the_library_it_says_what_to_install(tmp_path):
    (tmp_path / 'config.json').write_text('{}')
    (tmp_path / 'model.safetensors').touch()
    with pytest.raises(CheckpointError, match=r'pip install "mal-mm\[sam\]"'):
        MODELS.build(sam_config('sam2', tmp_path)).init_weights()
