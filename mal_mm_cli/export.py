"""Write a labeler as an ONNX file, for machines without torch and mmdet.

The file holds the network and how to label with it (the config's `test_cfg`). It takes batches of
any size. On the other machine the package `mal_mm_runtime` draws the same masks with numpy,
Pillow, OpenCV and ONNX Runtime alone; docs/deployment.md says how.

At the end both are compared, on your own images with --ann and --img-root, otherwise on drawn
ones: logits may differ by 0.001, masks must have a mean IoU of 0.999. Needs the packages onnx and
onnxruntime: pip install "mal-mm[export]".
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .labeling_options import add_weight_options

EXAMPLES = """examples:
  the labeler that needs no training:
  mal-mm export mal_mm::mal/instant_dinov2_small.py labeler.onnx --download
  one that was trained, compared on the first 64 boxes of your own:
  mal-mm export configs/mal/vit_mae_base.py work_dirs/vit_mae_base/epoch_10.pth labeler.onnx \\
      --ann boxes.json --img-root photos
  without the mirrored crop, in half the time:
  mal-mm export mal_mm::mal/small_set.py work/labeler.pth labeler.onnx \\
      --cfg-options model.test_cfg.flip=False

exit status: 0 written and compared, 1 refused or failed, 2 wrong arguments, 3 written, but the two
differ by more than they may
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument('config', help='config of the labeler, or mal_mm::NAME for one of ours')
    parser.add_argument(
        'checkpoint', nargs='?', help='its weights; an instant labeler (mal/instant_*) needs none'
    )
    parser.add_argument('out', type=Path, metavar='OUT.onnx', help='the file to write')
    parser.add_argument(
        '--cfg-options', nargs='+', metavar='KEY=VALUE', help='override settings of the config'
    )
    parser.add_argument(
        '--opset',
        type=int,
        choices=range(17, 21),
        default=17,
        help="version of ONNX's operators (default: 17, which ONNX Runtime has read since 1.12)",
    )
    check = parser.add_argument_group('comparison')
    check.add_argument('--ann', type=Path, help='COCO-style file with boxes to compare on')
    check.add_argument('--img-root', type=Path, help='folder of its images')
    check.add_argument(
        '--boxes', type=int, default=64, metavar='N', help='how many (default: 64; 0 for none)'
    )
    add_weight_options(parser)


def check(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Refuse what belongs together and is not."""
    if (args.ann is None) != (args.img_root is None):
        parser.error('--ann and --img-root belong together')


def run(args: argparse.Namespace) -> int:
    """Export; the exit status."""
    from mal_mm.formats.distinct_files import check_distinct, check_outputs
    from mal_mm.workflow.labeling_checks import (
        check_annotations,
        check_places,
        find_weights,
        is_untrained,
        read_config,
    )

    read = {'CONFIG': args.config, 'CHECKPOINT': args.checkpoint, '--ann': args.ann}
    check_distinct(read, {'OUT.onnx': args.out})
    check_outputs({'OUT.onnx': args.out})
    config = read_config(args.config, args.cfg_options)
    instant = is_untrained(config.model)
    if args.checkpoint is None and not instant:
        raise ValueError(
            f'{args.config} is a labeler that is trained: name its CHECKPOINT between it and '
            'OUT.onnx'
        )
    find_weights(config, args, args.checkpoint)
    if args.ann:
        check_places(args.img_root, {})
        check_annotations(args.ann)
    # torch: from here on it takes seconds
    from mal_mm.apis import MaskLabeler
    from mal_mm.export import boxes_of_file, check_export, drawn_boxes, export_labeler

    weights = dict(weights=args.weights, download=args.download) if instant else {}
    labeler = MaskLabeler(config, args.checkpoint, device='cpu', **weights)
    info = export_labeler(labeler, args.out, args.opset)
    size = args.out.stat().st_size / 1e6
    print(
        f'wrote {args.out}: {size:.0f} MB, opset {info["opset"]}, crops of '
        f'{info["engine"]["crop_size"]} px, any number at once'
    )
    if args.boxes == 0:
        return 0
    images = boxes_of_file(args.ann, args.img_root) if args.ann else drawn_boxes()
    result = check_export(labeler, args.out, images, args.boxes)
    print(f'compared with torch on {result}')
    return 0 if result.good else 3
