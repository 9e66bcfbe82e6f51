"""Clustering score of a labeler's encoder over human masks (MAL, Eq. 6 and Table 6).

S is the mean squared distance between the direction of a feature and that of the centre of its
class (the object, or the rest of the crop), in [0, 4]; lower is better. Crops are those of
labeling; every crop counts the same. In the paper (COCO val): ViT-MAE-L 0.301, ViT-MAE-B 0.324,
DeiT-B 0.398, Swin-B 0.425, DeiT-S 0.431, ConvNeXt-B 0.459. The order is not quite that of the mask
AP in its Table 4, where DeiT-S is above Swin-B. S sees how tight the two clusters are, not how far
apart: pictures that look all alike score low too, so compare encoders on the same file only.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

EXAMPLES = """examples:
  mal-mm reproduce clustering configs/mal/vit_mae_base.py \\
      --ann data/coco/annotations/instances_val2017.json --img-root data/coco/val2017 \\
      --max-instances 2000
  mal-mm reproduce clustering labeler.py work_dirs/labeler/epoch_10.pth \\
      --ann gt.json --img-root data --out clustering.json

Without a CHECKPOINT the encoder has the weights that its `init_cfg` names, that is, those that
training starts from.

exit status: 0 done, 1 refused (the reason is on stderr), 2 wrong arguments
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument('config', help='config of the labeler')
    parser.add_argument('checkpoint', nargs='?', help='weights of the labeler')
    parser.add_argument(
        '--ann', required=True, type=Path, metavar='GT.json', help='COCO file with human masks'
    )
    parser.add_argument('--img-root', required=True, type=Path, help='folder of the images')
    parser.add_argument(
        '--max-instances',
        type=int,
        metavar='N',
        help='take N instances, spread evenly over the file (default: all)',
    )
    parser.add_argument('--out', type=Path, metavar='JSON', help='write all numbers to this file')
    parser.add_argument(
        '--batch-size', type=int, default=8, help='crops in one pass (default: %(default)s)'
    )
    parser.add_argument(
        '--device', help='cuda, cpu, cuda:1 ... (default: the GPU if there is one)'
    )


def run(args: argparse.Namespace) -> int:
    """Do what the command line says.

    Raises:
        AnnotationError: the annotation file cannot be used.
        CheckpointError: the checkpoint cannot be used.
        OSError: a file cannot be read or written.
        ValueError: an argument outside its range.
    """
    from mal_mm.checkpoints.errors import refuse_missing
    from mal_mm.compat.config_bases import find_config
    from mal_mm.formats import atomic_write, read_coco
    from mal_mm.formats.distinct_files import check_distinct

    read = {'CONFIG': args.config, 'CHECKPOINT': args.checkpoint, '--ann': args.ann}
    check_distinct(read, {'--out': args.out})
    if not args.img_root.is_dir():
        raise FileNotFoundError(f'--img-root {args.img_root} is no folder')
    if args.out and not args.out.parent.is_dir():  # before the long work, not after it
        raise FileNotFoundError(f'folder {args.out.parent} does not exist; create it first')
    find_config(args.config)
    if args.checkpoint is not None:
        refuse_missing(args.checkpoint)
    data = read_coco(args.ann)
    # torch: from here on it takes seconds
    from mal_mm.apis.encoder_labeler import load_encoder_labeler
    from mal_mm.reproduce.clustering_score import score_file

    labeler = load_encoder_labeler(
        args.config, args.checkpoint, device=args.device, batch_size=args.batch_size
    )
    result = score_file(
        labeler.engine, data, args.img_root, args.ann, args.max_instances, progress=True
    )
    if args.out:
        record = dict(config=args.config, checkpoint=args.checkpoint, ann=str(args.ann), **result)
        with atomic_write(args.out) as file:
            json.dump(record, file, indent=2, ensure_ascii=False, allow_nan=False)
            file.write('\n')
    error = result['standard_error']
    print(
        f'clustering score {result["clustering_score"]:.4f}'
        + ('' if error is None else f' (standard error {error:.4f})')
        + f' over {result["scored"]} crops of {result["crop_size"]} px; {result["one_class"]} '
        f'without cells of both classes, {len(result["left_out"])} left out'
    )
    for item in result['left_out'][:5]:
        print(f'  left out: annotation {item["annotation_id"]}: {item["reason"]}')
    return 0
