"""Ways to run a frozen ViT encoder on a CPU, in turn: what `--precision auto` chooses from.

DINOv2 ViT-S/14 on crops of noise, a batch at a time, one thread. The cost does not depend on the
weights: without --weights they are random, and then the likeness of tokens says little. ONNX
Runtime and OpenVINO take part where they are installed (pip install onnx onnxruntime openvino).

    python benchmarks/bench_encoder.py
    python benchmarks/bench_encoder.py --size 336 --weights ~/.cache/mal_mm/dinov2_small.pth
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import common  # first: it sets the threads, which libraries read when they are loaded
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor, nn

from mal_mm.models.encoders import vit_encoder

Run = Callable[[Tensor], Tensor]


def build_encoder(weights: Path | None, layers: int) -> nn.Module:
    """The instant labeler's encoder."""
    arch = dict(embed_dims=384, num_layers=layers, num_heads=6, feedforward_channels=1536)
    init_cfg = weights and dict(type='Pretrained', checkpoint=str(weights))
    encoder = MODELS.build(
        dict(
            type='ViTEncoder',
            arch=arch,
            img_size=518,
            patch_size=14,
            layer_scale_init_value=1e-5,
            frozen=True,
            init_cfg=init_cfg,
        )
    )
    encoder.load_pretrained()
    return encoder.eval()


def torch_ways(encoder: nn.Module, compiled: bool) -> dict[str, Run]:
    """Eager, channels last, bfloat16 with torch's attention and with ours, torch.compile."""
    compiler = torch.compile(encoder) if compiled else None

    def attend(function: Callable) -> None:
        for layer in encoder.layers:
            layer.attn.scaled_dot_product_attention = function

    def run(images: Tensor, half: bool, ours: bool = True, network: nn.Module = encoder) -> Tensor:
        attend(
            vit_encoder.scaled_dot_product_attention if ours else F.scaled_dot_product_attention
        )
        with torch.no_grad(), torch.autocast('cpu', torch.bfloat16, enabled=half):
            return network(images).float()

    ways: dict[str, Run] = {
        'fp32, eager': lambda x: run(x, False),
        'fp32, channels last': lambda x: run(
            x.contiguous(memory_format=torch.channels_last), False
        ),
        "bf16, torch's attention": lambda x: run(x, True, ours=False),
        'bf16, our attention': lambda x: run(x, True),
    }
    if compiler is not None:
        ways['fp32, torch.compile'] = lambda x: run(x, False, False, compiler)
        ways['bf16, torch.compile'] = lambda x: run(x, True, False, compiler)
    return ways


def export(encoder: nn.Module, size: int, path: Path) -> None:
    """Write the encoder for crops of one size; the resized position embeddings are constants."""
    grid = (size // encoder.patch_size,) * 2
    resize = vit_encoder.resize_position_embedding
    fixed = resize(encoder.pos_embed, grid).detach()
    vit_encoder.resize_position_embedding = lambda *args, **kwargs: fixed
    try:
        torch.onnx.export(
            encoder,
            (torch.randn(1, 3, size, size),),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=['x'],
            dynamic_axes={'x': {0: 'n'}},
        )
    finally:
        vit_encoder.resize_position_embedding = resize


def onnx_ways(path: Path) -> dict[str, Run]:
    """ONNX Runtime in float32 and with 8-bit products, OpenVINO in float32 and bfloat16."""
    ways: dict[str, Run] = {}
    if find_spec('onnxruntime'):
        import onnxruntime
        from onnxruntime.quantization import QuantType, quantize_dynamic

        small = path.with_name('int8.onnx')
        quantize_dynamic(
            path,
            small,
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=['MatMul'],
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = common.THREADS
        for title, file in (('fp32, ONNX Runtime', path), ('int8, ONNX Runtime', small)):
            session = onnxruntime.InferenceSession(str(file), options)
            ways[title] = lambda x, s=session: torch.from_numpy(s.run(None, {'x': x.numpy()})[0])
    if find_spec('openvino'):
        import openvino

        for hint, title in (('f32', 'fp32, OpenVINO'), ('bf16', 'bf16, OpenVINO')):
            settings = dict(INFERENCE_PRECISION_HINT=hint, INFERENCE_NUM_THREADS=common.THREADS)
            model = openvino.Core().compile_model(str(path), 'CPU', settings)
            ways[title] = lambda x, m=model: torch.from_numpy(m(x.numpy())[0])
    return ways


def main() -> None:
    args = parse_args()
    common.set_clock(args.clock)
    torch.manual_seed(args.seed)
    encoder = build_encoder(args.weights, args.layers)
    images = torch.randn(args.batch_size, 3, args.size, args.size)
    with tempfile.TemporaryDirectory() as folder:
        ways = torch_ways(encoder, args.compile)
        if find_spec('onnx'):
            export(encoder, args.size, Path(folder) / 'encoder.onnx')
            ways |= onnx_ways(Path(folder) / 'encoder.onnx')
        timings = common.time_in_turn(
            {title: (lambda way=way: way(images)) for title, way in ways.items()},
            args.rounds,
            warmup=1,
        )
    print(common.machine())
    print(
        f'ViT-S/14, crops of {args.size} px, batch {args.batch_size}; {args.clock} clock, best run'
    )
    first = timings['fp32, eager']
    for title, timing in timings.items():
        alike = F.cosine_similarity(first.result.flatten(2), timing.result.flatten(2), dim=1)
        print(
            f'  {title:26} {1000 * timing.best / len(images):8.1f} ms a crop  '
            f'{first.best / timing.best:5.2f} x   tokens alike to {float(alike.mean()):.5f}'
        )


def parse_args() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    parser.add_argument('--size', type=int, default=224, help='of the crops (default: 224)')
    parser.add_argument('--batch-size', type=int, default=8, help='(default: 8)')
    parser.add_argument('--layers', type=int, default=12, help='of the encoder (default: 12)')
    parser.add_argument('--rounds', type=int, default=4, help='the best counts (default: 4)')
    parser.add_argument('--weights', type=Path, metavar='FILE', help='(default: random ones)')
    parser.add_argument(
        '--compile', action='store_true', help='also torch.compile, which needs a C++ compiler'
    )
    return parser.parse_args()


if __name__ == '__main__':
    main()
