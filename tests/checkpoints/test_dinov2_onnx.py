import numpy as np
import pytest
import torch
from dinov2_reference import onnx_model, random_tensors, torch_forward

from mal_mm.checkpoints.dinov2_onnx import (
    DINOV2_SMALL,
    ConversionError,
    ViTArch,
    hugging_face_shapes,
    load_onnx_graph,
    read_hugging_face_tensors,
    to_mmpretrain,
)

# Trained on 6 px images: 3 x 3 patches of 2 px.
TINY = ViTArch(embed_dims=8, num_layers=2, feedforward_channels=12, patch_size=2, grid=3)
HEADS = 2


def vision_transformer(arch, **kwargs):
    # Imported late: an mmpretrain import takes seconds, and most tests here do without.
    from mmpretrain.models import VisionTransformer

    if isinstance(arch, ViTArch):
        kwargs.setdefault('patch_size', arch.patch_size)
        arch = {
            'embed_dims': arch.embed_dims,
            'num_layers': arch.num_layers,
            'num_heads': HEADS,
            'feedforward_channels': arch.feedforward_channels,
        }
    model = VisionTransformer(arch=arch, layer_scale_init_value=1e-5, out_type='raw', **kwargs)
    model.eval()
    return model


def mmpretrain_forward(state, images):
    model = vision_transformer(TINY, img_size=images.shape[-1])
    model.load_state_dict(dict(state), strict=True)
    with torch.no_grad():
        return model(images)[0]


def images(size, count=1):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def test_keys_and_shapes_are_those_of_mmpretrains_dinov2_small():
    with torch.device('meta'):
        model = vision_transformer('dinov2-small', img_size=518, patch_size=14)
    tensors = {
        key: np.zeros(shape, np.float32)
        for key, shape in hugging_face_shapes(DINOV2_SMALL).items()
    }
    state = to_mmpretrain(tensors)
    assert {key: value.shape for key, value in state.items()} == {
        key: value.shape for key, value in model.state_dict().items()
    }
    # Meta's ViT-S/14 has 22 056 576 parameters, 384 of them the mask token, which is not taken.
    assert sum(value.numel() for value in state.values()) == 22_056_576 - 384


@pytest.mark.parametrize('size', [6, 10], ids=['trained size', 'resized positions'])
def test_features_equal_the_forward_pass_written_from_the_hugging_face_names(size):
    tensors = random_tensors(TINY)
    expected = torch_forward(tensors, images(size, count=2), HEADS)
    actual = mmpretrain_forward(to_mmpretrain(tensors, TINY), images(size, count=2))
    assert expected.std() > 0.1
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)


def test_mask_token_is_left_out():
    tensors = random_tensors(TINY)
    with_mask_token = {**tensors, 'embeddings.mask_token': np.zeros((1, 8), np.float32)}
    assert to_mmpretrain(with_mask_token, TINY).keys() == to_mmpretrain(tensors, TINY).keys()


def test_every_parameter_that_does_not_fit_is_listed():
    tensors = random_tensors(TINY)
    del tensors['encoder.layer.1.mlp.fc1.weight'], tensors['embeddings.position_embeddings']
    tensors['layernorm.bias'] = np.zeros(9, np.float32)
    tensors['encoder.layer.0.norm1.weight'][3] = np.nan
    tensors['embeddings.register_tokens'] = np.zeros((1, 4, 8), np.float32)
    with pytest.raises(ConversionError, match='5 parameters do not fit') as error:
        to_mmpretrain(tensors, TINY)
    for line in (
        'missing: encoder.layer.1.mlp.fc1.weight (12, 8)',
        'missing: embeddings.position_embeddings (1, 10, 8)',
        'shape: layernorm.bias is (9,), expected (8,)',
        'not finite: encoder.layer.0.norm1.weight',
        'not in this architecture: embeddings.register_tokens',
    ):
        assert line in str(error.value)


def test_a_deeper_network_is_refused_rather_than_cut():
    tensors = random_tensors(ViTArch(8, 3, 12, patch_size=2, grid=3))
    with pytest.raises(ConversionError, match=r'not in this architecture: encoder\.layer\.2\.'):
        to_mmpretrain(tensors, TINY)


class TestGraph:
    """Reading graphs; these need the onnx package."""

    @pytest.fixture(autouse=True)
    def _onnx(self):
        pytest.importorskip('onnx')

    @pytest.mark.parametrize('prefix', ['', 'model.backbone.'])
    def test_folded_weights_are_found_by_following_the_graph(self, prefix):
        tensors = random_tensors(TINY)
        graph = onnx_model(tensors, TINY, HEADS, image_size=6, prefix=prefix).graph
        found = read_hugging_face_tensors(graph)
        assert found.keys() == tensors.keys()
        for key, array in tensors.items():
            np.testing.assert_array_equal(found[key], array, err_msg=key)

    @pytest.mark.parametrize('size', [6, 10], ids=['trained size', 'resized positions'])
    def test_features_equal_what_the_graph_computes(self, size):
        from onnx.reference import ReferenceEvaluator

        model = onnx_model(random_tensors(TINY), TINY, HEADS, image_size=size)
        expected = ReferenceEvaluator(model).run(None, {'image': images(size).numpy()})[0]
        state = to_mmpretrain(read_hugging_face_tensors(model.graph), TINY)
        actual = mmpretrain_forward(state, images(size))
        torch.testing.assert_close(actual, torch.from_numpy(expected), rtol=0, atol=1e-4)

    @pytest.mark.parametrize('transposed', [True, False])
    def test_gemm_weights_are_read_in_either_layout(self, transposed):
        from onnx import helper, numpy_helper

        weight = np.arange(6, dtype=np.float32).reshape(2, 3)  # (out, in)
        constants = {
            'embeddings.cls_token': np.zeros((1, 1, 3), np.float32),
            'encoder.layer.0.mlp.fc1.bias': np.zeros(2, np.float32),
            'anonymous': weight if transposed else weight.T.copy(),
        }
        node = helper.make_node(
            'Gemm',
            ['x', 'anonymous', 'encoder.layer.0.mlp.fc1.bias'],
            ['y'],
            transB=int(transposed),
        )
        constants = [numpy_helper.from_array(array, name) for name, array in constants.items()]
        found = read_hugging_face_tensors(helper.make_graph([node], 'g', [], [], constants))
        np.testing.assert_array_equal(found['encoder.layer.0.mlp.fc1.weight'], weight)

    def test_parameters_stored_by_name_are_taken_as_they_are(self):
        from onnx import helper, numpy_helper

        tensors = random_tensors(TINY)
        constants = [numpy_helper.from_array(array, key) for key, array in tensors.items()]
        found = read_hugging_face_tensors(helper.make_graph([], 'g', [], [], constants))
        assert found.keys() == tensors.keys()
        assert all(np.array_equal(found[key], array) for key, array in tensors.items())

    def test_half_precision_parameters_become_float32(self):
        tensors = {key: array.astype(np.float16) for key, array in random_tensors(TINY).items()}
        graph = onnx_model(tensors, TINY, HEADS, image_size=6).graph
        state = to_mmpretrain(read_hugging_face_tensors(graph), TINY)
        assert {value.dtype for value in state.values()} == {torch.float32}

    def test_a_graph_without_dinov2_is_refused(self):
        from onnx import helper

        with pytest.raises(ConversionError, match=r'found 0: not one DINOv2 model'):
            read_hugging_face_tensors(helper.make_graph([], 'g', [], []))

    @pytest.mark.parametrize('content', [b'', b'<html>not found</html>', b'\x08'])
    def test_a_file_of_another_kind_is_refused(self, tmp_path, content):
        path = tmp_path / 'model.onnx'
        path.write_bytes(content)
        with pytest.raises(ConversionError, match=r'model\.onnx'):
            load_onnx_graph(path)
