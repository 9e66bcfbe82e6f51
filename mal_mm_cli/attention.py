"""Draw where the ViT of a labeler looks in the crop around one box (MAL, Fig. 6).

One PNG: the crop with its box, then for each block the attention of one token to the patches, as
the mean over heads and, with --heads, for each head below it. Each map has its own scale.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  mal-mm reproduce attention configs/mal/vit_mae_base.py --image cat.jpg \\
      --box 120 40 430 300
  mal-mm reproduce attention labeler.py work_dirs/labeler/epoch_10.pth --image cat.jpg \\
      --box 120 40 430 300 --blocks 1 6 12 --query 250,100 --heads --out heads.png

Without a CHECKPOINT the encoder has the weights that its `init_cfg` names, that is, those that
training starts from.

exit status: 0 done, 1 refused (the reason is on stderr), 2 wrong arguments
"""


def parse_query(text: str) -> str | tuple[float, float]:
    """'cls', 'center', or a point 'x,y'."""
    if text in ('cls', 'center'):
        return text
    try:
        x, y = (float(part) for part in text.split(','))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be cls, center, or a point x,y in image pixels, got '{text}'"
        ) from None
    return x, y


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument('config', help='config of the labeler')
    parser.add_argument('checkpoint', nargs='?', help='weights of the labeler')
    parser.add_argument('--image', required=True, type=Path)
    parser.add_argument(
        '--box',
        required=True,
        nargs=4,
        type=float,
        metavar=('X0', 'Y0', 'X1', 'Y1'),
        help='image pixels',
    )
    parser.add_argument(
        '--blocks',
        nargs='+',
        type=int,
        default=[4, 8, 12],
        metavar='B',
        help='blocks to draw, counted from 1 (default: 4 8 12)',
    )
    parser.add_argument(
        '--query',
        type=parse_query,
        default='cls',
        metavar='cls|center|x,y',
        help='the token that looks: the class token (default), the patch at the centre of the '
        'box, or that at a point in image pixels',
    )
    parser.add_argument('--heads', action='store_true', help='also draw each head')
    parser.add_argument(
        '--out', type=Path, default=Path('attention.png'), help='default: %(default)s'
    )
    parser.add_argument(
        '--device', help='cuda, cpu, cuda:1 ... (default: the GPU if there is one)'
    )


def run(args: argparse.Namespace) -> int:
    """Do what the command line says.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        OSError: a file cannot be read or written.
        ValueError: the box, a block or the query is not there, or the encoder is no ViT.
    """
    from mal_mm.checkpoints.errors import refuse_missing
    from mal_mm.compat.config_bases import find_config
    from mal_mm.formats.distinct_files import check_distinct
    from mal_mm.labeling.image_io import read_image

    read = {'CONFIG': args.config, 'CHECKPOINT': args.checkpoint, '--image': args.image}
    check_distinct(read, {'--out': args.out})
    if not args.out.parent.is_dir():
        raise FileNotFoundError(f'folder {args.out.parent} does not exist; create it first')
    find_config(args.config)
    if args.checkpoint is not None:
        refuse_missing(args.checkpoint)
    image = read_image(args.image)
    # torch: from here on it takes seconds
    from mal_mm.apis.encoder_labeler import load_encoder_labeler
    from mal_mm.reproduce.attention import draw_crop_attention
    from mal_mm.visualization.figures import save_figure

    labeler = load_encoder_labeler(args.config, args.checkpoint, device=args.device)
    figure = draw_crop_attention(
        labeler.engine, image, args.box, args.blocks, args.query, args.heads
    )
    save_figure(figure, args.out)
    print(args.out)
    return 0
