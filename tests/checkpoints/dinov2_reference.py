"""DINOv2 written twice for the tests, in torch and as an ONNX graph, by Hugging Face's names."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mal_mm.checkpoints.dinov2_onnx import ViTArch, hugging_face_shapes

LAYER_NORM_EPS = 1e-6


def random_tensors(arch: ViTArch, seed: int = 0) -> dict[str, np.ndarray]:
    """Parameters of a size at which a swapped, transposed or forgotten one shows in the output."""
    generator = np.random.default_rng(seed)
    return {
        key: generator.normal(0.2, 0.5, shape).astype(np.float32)
        for key, shape in hugging_face_shapes(arch).items()
    }


def torch_forward(tensors: dict[str, np.ndarray], images: Tensor, heads: int) -> Tensor:
    """Class and patch tokens (N, 1 + L, C) behind the final norm, for (N, 3, H, W) images."""
    p = {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in tensors.items()}

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, p[f'{name}.weight'], p[f'{name}.bias'])

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(
            x, x.shape[-1:], p[f'{name}.weight'], p[f'{name}.bias'], LAYER_NORM_EPS
        )

    projection = p['embeddings.patch_embeddings.projection.weight']
    patches = F.conv2d(
        images,
        projection,
        p['embeddings.patch_embeddings.projection.bias'],
        stride=projection.shape[-1],
    )
    N, C, rows, columns = patches.shape
    positions = p['embeddings.position_embeddings']
    grid = round((positions.shape[1] - 1) ** 0.5)
    grid_positions = F.interpolate(
        positions[:, 1:].reshape(1, grid, grid, C).permute(0, 3, 1, 2),
        size=(rows, columns),
        mode='bicubic',
        align_corners=False,
    )
    positions = torch.cat([positions[:, :1], grid_positions.flatten(2).mT], dim=1)
    class_tokens = p['embeddings.cls_token'].expand(N, 1, C)
    x = torch.cat([class_tokens, patches.flatten(2).mT], dim=1) + positions

    i = 0
    while f'encoder.layer.{i}.norm1.weight' in p:
        block = f'encoder.layer.{i}'
        y = norm(x, f'{block}.norm1')
        q, k, v = (
            linear(y, f'{block}.attention.attention.{part}')
            .unflatten(-1, (heads, -1))
            .transpose(1, 2)
            for part in ('query', 'key', 'value')
        )
        attention = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        y = linear((attention @ v).transpose(1, 2).flatten(2), f'{block}.attention.output.dense')
        x = x + p[f'{block}.layer_scale1.lambda1'] * y
        y = linear(norm(x, f'{block}.norm2'), f'{block}.mlp.fc1')
        y = linear(0.5 * y * (1 + torch.erf(y / 2**0.5)), f'{block}.mlp.fc2')
        x = x + p[f'{block}.layer_scale2.lambda1'] * y
        i += 1
    return norm(x, 'layernorm')


class _Graph:
    """Collects nodes and constants; every operation returns the name of its output."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, array: np.ndarray, name: str | None = None) -> str:
        from onnx import numpy_helper

        name = name or f'onnx::Constant_{len(self.constants)}'
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def shape(self, *sizes: int) -> str:
        return self.constant(np.array(sizes, np.int64))

    def op(self, kind: str, *inputs: str, **attributes) -> str:
        from onnx import helper

        output = f'{kind}_{len(self.nodes)}'
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output


def onnx_model(
    tensors: dict[str, np.ndarray],
    arch: ViTArch,
    heads: int,
    image_size: int,
    prefix: str = 'backbone.',
):
    """The same network for one image, folded as torch's exporter does.

    Linear weights are anonymous and transposed, the position embedding is anonymous, in two
    pieces and resized inside the graph; a decoder that is none of our business follows.
    """
    from onnx import TensorProto, helper

    graph = _Graph()
    C, side = arch.embed_dims, image_size // arch.patch_size

    def named(key: str) -> str:
        name = prefix + key
        if all(constant.name != name for constant in graph.constants):
            graph.constant(tensors[key], name)
        return name

    def linear(x: str, key: str) -> str:
        product = graph.op('MatMul', x, graph.constant(tensors[f'{key}.weight'].T))
        return graph.op('Add', named(f'{key}.bias'), product)

    def norm(x: str, key: str) -> str:
        weight, bias = named(f'{key}.weight'), named(f'{key}.bias')
        return graph.op('LayerNormalization', x, weight, bias, epsilon=LAYER_NORM_EPS)

    def split_heads(x: str, *order: int) -> str:
        x = graph.op('Reshape', x, graph.shape(1, side**2 + 1, heads, C // heads))
        return graph.op('Transpose', x, perm=order)

    def scalar(value: float) -> str:
        return graph.constant(np.array(value, np.float32))

    key = 'embeddings.patch_embeddings.projection'
    strides = [arch.patch_size] * 2
    x = graph.op('Conv', 'image', named(f'{key}.weight'), named(f'{key}.bias'), strides=strides)
    x = graph.op('Transpose', graph.op('Reshape', x, graph.shape(1, C, side**2)), perm=[0, 2, 1])
    class_token = graph.op('Expand', named('embeddings.cls_token'), graph.shape(1, 1, C))
    x = graph.op('Concat', class_token, x, axis=1)
    positions = tensors['embeddings.position_embeddings']
    y = graph.constant(positions[:, 1:])
    y = graph.op('Reshape', y, graph.shape(1, arch.grid, arch.grid, C))
    y = graph.op('Transpose', y, perm=[0, 3, 1, 2])
    y = graph.op(
        'Resize',
        y,
        '',
        '',
        graph.shape(1, C, side, side),
        mode='cubic',
        cubic_coeff_a=-0.75,
        coordinate_transformation_mode='half_pixel',
    )
    y = graph.op('Transpose', graph.op('Reshape', y, graph.shape(1, C, side**2)), perm=[0, 2, 1])
    y = graph.op('Concat', graph.constant(positions[:, :1]), y, axis=1)
    x = graph.op('Add', x, y)
    for i in range(arch.num_layers):
        block = f'encoder.layer.{i}.'
        y = norm(x, f'{block}norm1')
        # The exporter's order, which is not the order of the fused weight.
        k = split_heads(linear(y, f'{block}attention.attention.key'), 0, 2, 3, 1)
        v = split_heads(linear(y, f'{block}attention.attention.value'), 0, 2, 1, 3)
        q = split_heads(linear(y, f'{block}attention.attention.query'), 0, 2, 1, 3)
        y = graph.op('Div', graph.op('MatMul', q, k), scalar((C // heads) ** 0.5))
        y = graph.op('MatMul', graph.op('Softmax', y, axis=-1), v)
        y = graph.op('Transpose', y, perm=[0, 2, 1, 3])
        y = graph.op('Reshape', y, graph.shape(1, side**2 + 1, C))
        y = linear(y, f'{block}attention.output.dense')
        x = graph.op('Add', graph.op('Mul', y, named(f'{block}layer_scale1.lambda1')), x)
        y = linear(norm(x, f'{block}norm2'), f'{block}mlp.fc1')
        erf = graph.op('Erf', graph.op('Div', y, scalar(2**0.5)))
        y = graph.op('Mul', graph.op('Mul', y, scalar(0.5)), graph.op('Add', erf, scalar(1)))
        y = linear(y, f'{block}mlp.fc2')
        x = graph.op('Add', graph.op('Mul', y, named(f'{block}layer_scale2.lambda1')), x)
    tokens = norm(x, 'layernorm')
    decoder = graph.op('MatMul', tokens, graph.constant(np.ones((C, 1), np.float32)))
    decoder = graph.op('Add', graph.constant(np.ones(1, np.float32), 'decoder.bias'), decoder)

    shapes = {'image': (1, 3, image_size, image_size), tokens: None, decoder: None}
    image, *outputs = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    )
    graph = helper.make_graph(graph.nodes, 'vit', [image], outputs, graph.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])
