"""The options that all tools share that draw masks. Imports nothing heavy: --help is quick."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_file_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """--ann, --img-root, --out and what else is written."""
    files = parser.add_argument_group('files')
    files.add_argument(
        '--ann',
        required=True,
        type=Path,
        help='COCO-style file with boxes (masks in it are replaced)',
    )
    files.add_argument('--img-root', required=True, type=Path, help='folder of the images')
    files.add_argument('--out', required=True, type=Path, help='the file to write')
    files.add_argument(
        '--report', type=Path, help='also write an HTML page with pictures into this folder'
    )
    files.add_argument('--summary', type=Path, help='also write counts and skips to this JSON')
    return files


def add_selection_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Which annotations are labelled."""
    boxes = parser.add_argument_group('which boxes')
    boxes.add_argument(
        '--only-missing', action='store_true', help='leave annotations alone that have a mask'
    )
    boxes.add_argument(
        '--categories', nargs='+', metavar='NAME', help='label these only (names or ids)'
    )
    boxes.add_argument(
        '--redo',
        type=Path,
        metavar='MARKS.json',
        help='label those alone that were marked rejected or in need of work on the review page '
        '(its exported marks); all others stay as they are, byte for byte. --ann: the file that '
        'was reviewed',
    )
    return boxes


def add_drawing_options(parser: argparse.ArgumentParser) -> None:
    """How masks are drawn; None is what the config says."""
    masks = parser.add_argument_group('how to draw (default: as the config says)')
    masks.add_argument(
        '--network',
        choices=['teacher', 'student', 'both'],
        help='of a trained labeler; both: their average',
    )
    masks.add_argument(
        '--flip',
        action=argparse.BooleanOptionalAction,
        default=None,
        help='average with the mirrored crop',
    )
    masks.add_argument(
        '--refine',
        nargs='?',
        const='mean-field',
        choices=['none', 'mean-field', 'instant'],
        help='mean-field: the refinement of the CRF loss (meant by --refine alone, too); instant: '
        'walk between like tokens, threshold by the box, GrabCut, colours, as the instant '
        'labeler does',
    )
    masks.add_argument('--crop-size', type=int, metavar='S', help='side of the crops in pixels')
    masks.add_argument(
        '--mask-threshold',
        type=float,
        nargs='+',
        metavar='P',
        help='probability above which a pixel belongs to the mask; or three, for small, medium '
        'and large boxes',
    )
    masks.add_argument(
        '--margin',
        type=float,
        nargs='+',
        metavar='M',
        help='context around the box, in halves of its side; the probabilities of several are '
        'averaged',
    )
    masks.add_argument(
        '--box-tolerance',
        metavar='PX',
        help='masks are cut off so many pixels beyond their box, for loose boxes; released: as '
        "the authors' code does, up to one pixel beyond it (default: 0)",
    )
    masks.add_argument(
        '--overlaps',
        choices=['keep', 'centre'],
        help='pixels that several instances claim: keep them in all, or give each to the box that '
        'it is most central to, small boxes first',
    )
    masks.add_argument(
        '--carve-holes',
        action=argparse.BooleanOptionalAction,
        help='cut out what looks like the surroundings: for objects with holes',
    )
    masks.add_argument(
        '--exact-crops',
        action='store_true',
        default=None,
        help="resize crops as the authors' code does, pixel for pixel; slower",
    )


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """How masks are written."""
    output = parser.add_argument_group('what to write')
    output.add_argument(
        '--min-quality',
        type=float,
        default=0.0,
        metavar='Q',
        help='mark annotations whose mal_quality is lower `ignore`: training leaves them out',
    )
    output.add_argument(
        '--polygons',
        type=float,
        metavar='TOLERANCE',
        help='write polygons, at most so many pixels off, instead of RLE (holes are lost; the IoU '
        'with the mask is given as mal_polygon_iou)',
    )


def add_machine_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Where and how fast."""
    machine = parser.add_argument_group('machine')
    machine.add_argument(
        '--batch-size',
        default='32',
        help='crops in one pass (default: 32), or auto: what the GPU can hold',
    )
    machine.add_argument(
        '--threads', type=int, default=2, help='threads that read images (default: 2)'
    )
    machine.add_argument(
        '--device', help='cuda, cpu, cuda:1 ... (default: the GPU if there is one)'
    )
    machine.add_argument(
        '--precision',
        choices=('auto', 'fp32', 'bf16', 'fp16'),
        help='of the networks; auto: half precision where the GPU or the processor gains by it, '
        'with masks that agree with those of fp32 to an IoU of .995 (default: auto)',
    )
    return machine


def add_weight_options(parser: argparse.ArgumentParser) -> None:
    """Where the weights of a pretrained encoder are; nothing is fetched unasked."""
    weights = parser.add_argument_group('weights of a labeler without training')
    weights.add_argument(
        '--weights',
        type=Path,
        metavar='DIR',
        help='folder with the files, or folders, under their published names, such as '
        'dinov2_vits14_pretrain.pth or sam-vit-base/ (default: ~/.cache/mal_mm and the folder of '
        'torch hub, of SAM the cache of the Hugging Face hub)',
    )
    weights.add_argument(
        '--download',
        action='store_true',
        help='fetch them if they are missing (DINOv2-S: about 90 MB)',
    )
