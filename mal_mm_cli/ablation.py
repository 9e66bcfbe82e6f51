"""Run rows of the paper's ablation tables on a small data set, and print them as a table.

Each row is one training: the config with the row's change, the same seed for all. Its labeler
draws the masks of boxes it has never seen, and those are compared with the true masks. The row's
config, log, checkpoint and metrics stay in WORK_DIR/ROW; a row that is complete is not run again,
one that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

EXAMPLES = """examples:
  mal-mm samples shapes data/shapes
  mal-mm import dinov2 --download dinov2_small.pth
  mal-mm reproduce ablation configs/mal/small_set.py --data data/shapes \\
      --rows decoder theta-0.6 theta-1.2 theta-1.6 --work-dir work_dirs/ablation_shapes
  mal-mm reproduce ablation --list

Own data: DATA holds train.json (boxes), unseen.json (boxes) and unseen_gt.json (the same with
masks); file names in them are relative to DATA. On COCO a row is better run by hand: change the
setting with --cfg-options of tools/train.py, or train the config that the row leaves in WORK_DIR.

exit status: 0 done, 1 a row failed (the others are run all the same), 2 wrong arguments
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument('config', nargs='?', type=Path, help='config that the rows change')
    parser.add_argument('--data', type=Path, help='folder of the data set, see below')
    parser.add_argument(
        '--rows', nargs='+', default=['decoder', 'theta'], help='groups or rows, see --list'
    )
    parser.add_argument(
        '--splits',
        nargs='+',
        default=['unseen'],
        choices=['unseen', 'train'],
        help='which boxes to judge the masks by (default: unseen)',
    )
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/ablation'))
    parser.add_argument('--seed', type=int, default=0, help='of every training (default: 0)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='as in tools/train.py',
    )
    parser.add_argument('--list', action='store_true', help='list the rows and end')


def check(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """CONFIG and --data may be missing with --list alone."""
    if not args.list and not (args.config and args.data):
        parser.error('CONFIG and --data are needed')


def run(args: argparse.Namespace) -> int:
    """Train and judge the rows; the exit status."""
    from mal_mm.reproduce.ablation import ROWS, format_table, select_rows

    if args.list:
        for row in ROWS.values():
            print(row.key, f'(paper: {row.paper})' if row.paper else '')
        return 0
    rows = select_rows(args.rows)
    for name in ['train', *args.splits, *(f'{split}_gt' for split in args.splits)]:
        if not (args.data / f'{name}.json').is_file():
            raise FileNotFoundError(f'{args.data / name}.json does not exist')

    scores: dict[str, dict[str, float]] = {split: {} for split in args.splits}
    failed = []
    for number, row in enumerate(rows, 1):
        print(f'==> {number}/{len(rows)} {row.key}', flush=True)
        try:
            train(row, args)
            for split in args.splits:
                scores[split][row.key] = judge(row, split, args)
        except (subprocess.CalledProcessError, ValueError) as error:
            print(f'ablate: {row.key} failed: {error}', file=sys.stderr)
            failed.append(row.key)
        write_table(args.work_dir, format_table(rows, scores), scores)
    print(format_table(rows, scores))
    print(f'also in {args.work_dir / "table.md"}')
    if failed:
        print(f'failed: {", ".join(failed)}', file=sys.stderr)
    return 1 if failed else 0


def train(row, args: argparse.Namespace) -> None:
    """Train the row unless its last checkpoint is there."""
    from mmengine.config import Config

    from mal_mm.compat.config_options import parse_options
    from mal_mm.formats import read_coco
    from mal_mm.formats.atomic import atomic_write

    folder = args.work_dir / row.key
    if (folder / 'labeler.pth').is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    cfg = Config.fromfile(args.config)
    cfg.randomness = dict(seed=args.seed)
    cfg.num_classes = len(read_coco(args.data / 'train.json').get('categories') or [0])
    cfg.train_dataloader.dataset.dataset.update(
        data_root=f'{args.data.resolve()}/', ann_file='train.json', data_prefix=dict(img='')
    )
    cfg.merge_from_dict(parse_options(args.cfg_options))
    row.change(cfg)  # after the options, so that a row is what its name says
    config = folder / 'config.py'
    with atomic_write(config) as file:
        file.write(cfg.pretty_text)
    call('train', config, '--work-dir', folder, '--resume')
    last = Path((folder / 'last_checkpoint').read_text().strip())
    (folder / last.name).replace(folder / 'labeler.pth')


def judge(row, split: str, args: argparse.Namespace) -> float:
    """Label a split and compare; returns the mean IoU over instances."""
    folder = args.work_dir / row.key
    metrics = folder / f'{split}_metrics.json'
    if not metrics.is_file():
        masks = folder / f'{split}_masks.json'
        where = ('--ann', args.data / f'{split}.json', '--img-root', args.data, '--out', masks)
        call('generate', folder / 'config.py', folder / 'labeler.pth', *where)
        call('evaluate', masks, args.data / f'{split}_gt.json', '--out', metrics)
    return json.loads(metrics.read_text())['masks']['mean_iou']


def call(command_name: str, *arguments: object) -> None:
    """Run another command; its output goes to ours."""
    command = [sys.executable, '-m', 'mal_mm_cli', command_name, *arguments]
    subprocess.run([str(part) for part in command], check=True)


def write_table(work_dir: Path, table: str, scores: dict) -> None:
    from mal_mm.formats.atomic import atomic_write

    with atomic_write(work_dir / 'table.md') as file:
        file.write(f'{table}\n')
    with atomic_write(work_dir / 'table.json') as file:
        json.dump(scores, file, indent=2)
