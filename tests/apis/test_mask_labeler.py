import json
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from sharp_labeler import blotches, write_sharp_labeler
from tiny_instant import instant_config, write_encoder

from mal_mm.apis import MaskLabeler
from mal_mm.checkpoints.loading import CheckpointError
from mal_mm.formats import annotation_to_rle, read_coco
from mal_mm.formats.polygons import polygon_iou
from mal_mm_cli.main import main

BOXES = [[5, 5, 60, 50], [70, 10, 110, 60], [20, 30, 110, 85]]


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return write_sharp_labeler(tmp_path_factory.mktemp('labeler'))


@pytest.fixture(scope='module')
def labeler(files):
    return MaskLabeler(*files, device='cpu')


def test_three_lines_give_a_mask_for_every_box(files, tmp_path):
    Image.fromarray(blotches()).save(tmp_path / 'street.png')
    labeler = MaskLabeler(str(files[0]), str(files[1]))
    masks = labeler.label(str(tmp_path / 'street.png'), BOXES)
    assert [mask.box.tolist() for mask in masks] == BOXES
    for mask in masks:
        assert mask.mask.shape == (90, 120)
        assert mask.mask.dtype == bool
        assert mask.mask.sum() == mask.area
        assert 0 <= mask.quality <= 1


def test_a_path_and_its_pixels_give_the_same_masks(labeler, tmp_path):
    Image.fromarray(blotches()).save(tmp_path / 'a.png')
    by_path = labeler.label(tmp_path / 'a.png', BOXES)
    by_array = labeler.label(blotches(), np.float32(BOXES))
    assert [m.rle for m in by_path] == [m.rle for m in by_array]


def test_what_is_not_said_comes_from_the_config(files):
    config = Config.fromfile(files[0])
    config.model.test_cfg = dict(
        network='student', flip=True, crop_size=48, mask_threshold=0.2, margin=0.1, padding='mean'
    )
    engine = MaskLabeler(config, files[1]).engine
    assert (engine.network, engine.flip, engine.crop_size) == ('student', True, 48)
    assert (engine.mask_threshold, engine.margin, engine.padding) == (0.2, 0.1, 'mean')
    assert (engine.refine, engine.overlaps, engine.box_tolerance) == ('none', 'keep', 0)
    assert MaskLabeler(config, files[1], refine='instant').engine.refine == 'instant'
    config.model.test_cfg.update(refine=True, overlaps='centre', box_tolerance=2)
    engine = MaskLabeler(config, files[1]).engine
    assert (engine.refine, engine.overlaps, engine.box_tolerance) == ('mean-field', 'centre', 2)
    engine = MaskLabeler(
        config, files[1], network='both', flip=False, crop_size=64, mask_threshold=0.0
    ).engine
    assert (engine.network, engine.flip, engine.crop_size) == ('both', False, 64)
    assert (engine.mask_threshold, engine.padding) == (0.0, 'mean')


def test_the_model_is_in_evaluation_mode(labeler):
    assert not any(module.training for module in labeler.model.modules())


def test_no_boxes_give_no_masks(labeler):
    assert labeler.label(blotches(), []) == []
    assert labeler.label(blotches(), np.zeros((0, 4))) == []


@pytest.mark.parametrize(
    ('boxes', 'message'),
    [
        ([1, 2, 3, 4], r'`boxes_xyxy` must be \(n, 4\), got \(4,\); one box is \[\['),
        (np.zeros((4, 3)), r'must be \(n, 4\), got \(4, 3\)'),
        ([[1, 2, 30, 40], [30, 2, 1, 40]], r'box 1 \[30.0, 2.0, 1.0, 40.0\] is no'),
        ([[1, 2, 1, 40]], 'box 0 .* x1 > x0'),
        ([[float('nan'), 2, 3, 40]], 'box 0 .* is no'),
        ([[120, 2, 130, 40]], 'meets the 120 x 90 image'),
        ([[-9, 2, 0, 40]], 'meets the 120 x 90 image'),
    ],
)
def test_what_is_no_box_is_refused(labeler, boxes, message):
    with pytest.raises(ValueError, match=message):
        labeler.label(blotches(), boxes)


@pytest.mark.parametrize(
    ('image', 'found'),
    [
        (np.zeros((9, 9)), r'float64 \(9, 9\)'),
        (np.zeros((9, 9, 4), dtype=np.uint8), r'uint8 \(9, 9, 4\)'),
        (Image.new('RGB', (9, 9)), 'Image'),
    ],
)
def test_what_is_no_image_is_refused(labeler, image, found):
    with pytest.raises(ValueError, match=f'`image` must be a path or .* got {found}'):
        labeler.label(image, BOXES)


def test_a_missing_image_is_named(labeler, tmp_path):
    with pytest.raises(OSError, match=r'none\.jpg: no such image'):
        labeler.label(tmp_path / 'none.jpg', BOXES)


def test_a_checkpoint_of_another_architecture_is_refused(files):
    config = Config.fromfile(files[0])
    config.model.network.encoder.arch.num_layers = 2
    with pytest.raises(CheckpointError, match=r'labeler\.pth: .*another architecture'):
        MaskLabeler(config, files[1])


def test_an_unknown_network_is_refused(files):
    with pytest.raises(ValueError, match=r"`network` must be one of .*, got 'pupil'"):
        MaskLabeler(*files, network='pupil')


# -- without training -----------------------------------------------------------------------------


@pytest.fixture(scope='module')
def encoder_file(tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp('encoder') / 'tiny.pth')


def test_an_instant_labeler_needs_the_weights_of_its_encoder_only(encoder_file):
    config = Config(dict(model=instant_config(encoder_file)))
    labeler = MaskLabeler(config, device='cpu')
    expected = torch.load(encoder_file, weights_only=True)['state_dict']
    for name, tensor in labeler.model.encoder.state_dict().items():
        assert torch.equal(tensor, expected[name])
    assert (labeler.engine.refine, labeler.engine.overlaps) == ('instant', 'centre')
    masks = labeler.label(blotches(), BOXES)
    assert [mask.box.tolist() for mask in masks] == BOXES
    assert sum(mask.area > 0 for mask in masks) >= 2
    assert sum(mask.mask.astype(int) for mask in masks).max() == 1


def test_its_weights_are_found_in_a_folder_under_their_published_name(encoder_file, tmp_path):
    shutil.copy(encoder_file, tmp_path / 'vit.pth')
    config = Config(dict(model=instant_config('https://example.org/weights/vit.pth')))
    labeler = MaskLabeler(config, device='cpu', weights=tmp_path)
    assert labeler.config.model.encoder.init_cfg.checkpoint == str(tmp_path / 'vit.pth')
    # what was given stays as it is
    assert config.model.encoder.init_cfg.checkpoint == 'https://example.org/weights/vit.pth'


def test_without_them_it_says_where_they_are_sought(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    for size, name in (('small', 'vits14'), ('base', 'vitb14'), ('large', 'vitl14')):
        with pytest.raises(CheckpointError, match=f'dinov2_{name}_pretrain.pth are not on this'):
            MaskLabeler.instant(size)
    with pytest.raises(CheckpointError, match=rf'searched in {tmp_path}\)'):
        MaskLabeler.instant(weights=tmp_path)


def test_there_are_three_sizes():
    with pytest.raises(ValueError, match=r"`size` must be one of .*'large'\), got 'giant'"):
        MaskLabeler.instant('giant')


def test_a_checkpoint_for_an_instant_labeler_is_refused(files, encoder_file):
    config = Config(dict(model=instant_config(encoder_file)))
    with pytest.raises(ValueError, match=r'takes no checkpoint, got .*labeler\.pth'):
        MaskLabeler(config, files[1])


def test_weights_that_are_random_are_refused():
    with pytest.raises(CheckpointError, match='names none'):
        MaskLabeler(Config(dict(model=instant_config())))


def test_a_file_is_labelled_as_the_command_does(files, labeler, tmp_path):
    Image.fromarray(blotches()).save(tmp_path / 'a.png')
    image = dict(id=1, file_name='a.png', width=120, height=90)
    annotations = [
        dict(id=n, image_id=1, category_id=1, bbox=[x0, y0, x1 - x0, y1 - y0], note=f'mine {n}')
        for n, (x0, y0, x1, y1) in enumerate(BOXES, 1)
    ]
    content = dict(images=[image], annotations=annotations, categories=[dict(id=1, name='x')])
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    seen = []
    summary = labeler.label_file(
        tmp_path / 'boxes.json',
        tmp_path,
        tmp_path / 'api.json',
        progress=lambda done, total: seen.append((done, total)),
    )
    assert (summary.masks, summary.skips) == (3, [])
    assert seen[-1] == (3, 3)
    words = ['generate', *map(str, files), '--ann', str(tmp_path / 'boxes.json'), '--img-root']
    assert main([*words, str(tmp_path), '--out', str(tmp_path / 'cli.json')]) == 0
    by_api, by_command = (read_coco(tmp_path / f'{name}.json') for name in ('api', 'cli'))
    assert by_api == by_command
    assert [each['note'] for each in by_api['annotations']] == ['mine 1', 'mine 2', 'mine 3']


def test_a_mask_speaks_coco_polygons_and_pictures(labeler, tmp_path):
    mask = labeler.label(blotches(), BOXES[:1])[0]
    assert repr(mask) == (
        f'PseudoMask({mask.area} px of 120 x 90, quality {mask.quality:.2f}, box [5, 5, 60, 50])'
    )
    annotation = json.loads(json.dumps(mask.to_coco(id=7, image_id=1, category_id=2)))
    assert annotation['bbox'] == [5, 5, 55, 45] and annotation['id'] == 7
    assert (annotation_to_rle(annotation, 90, 120)) == mask.rle
    assert polygon_iou(mask.polygons(0.0), mask.rle) > 0.9
    mask.save(tmp_path / 'mask.png')
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / 'mask.png')) > 127, mask.mask)
    with pytest.raises(ValueError, match=r'mask.jpg: write masks as .png'):
        mask.save(tmp_path / 'mask.jpg')


def test_an_option_of_a_former_version_says_what_to_change(files):
    config = Config.fromfile(files[0])
    config.model.test_cfg.largest_component = True
    with pytest.raises(ValueError, match='labeling has no option largest_component'):
        MaskLabeler(config, files[1])
