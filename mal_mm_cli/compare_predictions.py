"""Draw what two segmenters predict side by side (the paper's supplement, Fig. 1).

A run is a work dir (its config and last checkpoint) or CONFIG.py,CHECKPOINT.pth. One PNG is
written for each picture: human masks where --ann has some, GT_RUN, MAL_RUN; an object has the
same colour in all of them.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

EXAMPLES = """examples:
  mal-mm reproduce predictions work_dirs/mask2former_swin-s_lsj-50e_coco_gt \\
      work_dirs/mask2former_swin-s_lsj-50e_coco_mal --img-root data/coco/val2017 \\
      --ann data/coco/annotations/instances_val2017.json --num-images 12 --out compared --sheet
  mal-mm reproduce predictions gt.py,gt.pth mal.py,mal.pth --images a.jpg b.jpg \\
      --out compared

exit status: 0 done, 1 refused (the reason is on stderr), 2 wrong arguments, 3 done, but for
pictures that could not be drawn
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument('gt', metavar='GT_RUN', help='trained on human masks')
    parser.add_argument('mal', metavar='MAL_RUN', help='trained on masks of the labeler')
    parser.add_argument(
        '--names',
        nargs=2,
        default=['human masks', "MAL's masks"],
        metavar='NAME',
        help="what the two were trained on, as captions (default: human masks, MAL's masks)",
    )
    parser.add_argument('--images', nargs='+', type=Path, metavar='FILE', help='pictures')
    parser.add_argument(
        '--ann', type=Path, metavar='JSON', help='COCO-style file to take pictures from'
    )
    parser.add_argument('--img-root', type=Path, help='folder of its pictures')
    parser.add_argument(
        '--num-images', type=int, default=8, metavar='N', help='spread over --ann (default: 8)'
    )
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='made if missing')
    parser.add_argument(
        '--sheet', action='store_true', help='all of them in one picture too, DIR/sheet.png'
    )
    parser.add_argument(
        '--min-score', type=float, default=0.5, help='of what is shown (default: 0.5)'
    )
    parser.add_argument('--device', help='cuda, cpu, ... (default: the GPU if there is one)')


def check(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Arguments that do not go together, and ranges."""
    if (args.images is None) == (args.ann is None):
        parser.error('give either --images or --ann')
    if args.ann is not None and args.img_root is None:
        parser.error('--ann needs --img-root')
    if args.num_images < 1:
        parser.error(f'--num-images must be at least 1, got {args.num_images}')
    if not 0 <= args.min_score <= 1:
        parser.error(f'--min-score must be in [0, 1], got {args.min_score}')


def run(args: argparse.Namespace) -> int:
    """Do what the command line says; returns the exit status.

    Raises:
        AnnotationError: the annotation file cannot be used.
        ValueError: a run cannot be used.
        OSError: a run is not there, or the output cannot be written.
    """
    from mal_mm.formats.distinct_files import check_distinct
    from mal_mm.formats.paths import resolve_under
    from mal_mm.labeling.image_io import read_image
    from mal_mm.reproduce.compare_predictions import (
        Predictor,
        find_run,
        sheet,
        side_by_side,
        true_instances,
    )

    from .errors import sentence

    folders = {'--img-root': args.img_root}
    folders |= {f'the folder of {path}': path.parent for path in args.images or ()}
    check_distinct(folders, {'--out': args.out})
    pictures = chosen_pictures(args)
    for run in (args.gt, args.mal):
        find_run(run)
    import torch  # from here on it takes seconds

    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    with redirect_stdout(sys.stderr):
        runs = {
            name: Predictor(run, device, args.min_score)
            for name, run in zip(args.names, (args.gt, args.mal), strict=True)
        }
    args.out.mkdir(parents=True, exist_ok=True)
    drawn, failed = [], 0
    for number, (name, truth) in enumerate(pictures, 1):
        try:
            path = name if args.images else resolve_under(args.img_root, name)
            image = read_image(path)
            panels = {}
            if truth is not None:
                panels['truth'] = true_instances(truth, image.shape[:2])
            panels |= {caption: predict(image) for caption, predict in runs.items()}
            picture = side_by_side(image, panels)
        except (ValueError, OSError) as error:
            print(f'{name}: {sentence(error)}', file=sys.stderr)
            failed += 1
            continue
        write_png(args.out / f'{number:03d}.png', picture)
        print(f'{args.out / f"{number:03d}.png"}  {path}')
        drawn.append(picture)
    if args.sheet and drawn:
        write_png(args.out / 'sheet.png', sheet(drawn))
        print(args.out / 'sheet.png')
    return 3 if failed else 0


def chosen_pictures(args: argparse.Namespace) -> list[tuple[Any, list | None]]:
    """Files of --images, or of --ann the names below --img-root with their annotations."""
    if args.images is not None:
        return [(path, None) for path in args.images]
    from mal_mm.formats import read_coco
    from mal_mm.formats.paths import image_file_name

    data = read_coco(args.ann)
    by_image: dict = {}
    for annotation in data['annotations']:
        by_image.setdefault(annotation.get('image_id'), []).append(annotation)
    images = [image for image in data['images'] if image['id'] in by_image]
    if not images:
        raise ValueError(f'{args.ann}: no image has an annotation')
    number = min(args.num_images, len(images))
    spread = [images[len(images) * place // number] for place in range(number)]
    return [(image_file_name(image), by_image[image['id']]) for image in spread]


def write_png(path: Path, picture) -> None:
    """Write HWC uint8 RGB; the file appears whole or not at all."""
    import cv2

    from mal_mm.formats import atomic_write

    _, data = cv2.imencode('.png', picture[..., ::-1])
    with atomic_write(path, 'wb') as file:
        file.write(data.tobytes())
