"""Masks for your boxes, in one command.

First come instant masks: tokens of a pretrained encoder, the box and colours, without training.
They are in OUT within seconds to minutes. With --method auto (the default) a labeler then learns
from the boxes, and the better masks are kept, by how well they fit boxes and colours; no human
mask is needed for that. Each annotation gets `segmentation`, `area` and `mal_quality`; all else in
the file stays as it is.

If it stops, call the same again: it goes on, and ends with the same file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .labeling_options import (
    add_drawing_options,
    add_file_options,
    add_machine_options,
    add_output_options,
    add_selection_options,
    add_weight_options,
)

EXAMPLES = """examples:
  mal-mm label --ann boxes.json --img-root photos --out masks.json --download
  without training, with a page to look at:
  mal-mm label --ann boxes.json --img-root photos --out masks.json --method instant \\
      --report report
  after a review: draw the rejected masks again in another way, or leave them out of training
  python tools/label.py --ann masks.json --img-root photos --out better.json --redo marks.json \\
      --method train
  python tools/label.py --ann masks.json --img-root photos --out kept.json --reject marks.json
  whether SAM 2 fits these pictures better, with weights that were fetched before:
  mal-mm label ... --method instant --also mal_mm::mal/sam_2_hiera_tiny.py --weights DIR
  on a machine without network, with weights from elsewhere:
  mal-mm label ... --weights folder-of-dinov2_vits14_pretrain.pth

exit status: 0 all labelled, 1 refused to start or failed (what was done is kept), 3 finished with
skipped annotations, 130 interrupted
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    files = add_file_options(parser)
    files.add_argument(
        '--work-dir',
        type=Path,
        help='where everything between is kept (default: OUT with .work behind it)',
    )
    how = parser.add_argument_group('how')
    how.add_argument(
        '--method',
        choices=['auto', 'instant', 'train'],
        default='auto',
        help='instant: no training; train: what a labeler trained on these boxes draws; auto '
        '(default): the better of the two',
    )
    how.add_argument(
        '--config',
        default='mal_mm::mal/instant_dinov2_small.py',
        help='the instant labeler: one of configs/mal/instant_* (default: %(default)s)',
    )
    how.add_argument(
        '--also',
        nargs='+',
        metavar='CONFIG',
        help='compare with further labelers that need no training, such as '
        'mal_mm::mal/sam_2_hiera_tiny.py; the best masks are kept',
    )
    how.add_argument(
        '--train-config',
        default='mal_mm::mal/small_set.py',
        help='the labeler that is trained (default: %(default)s)',
    )
    how.add_argument(
        '--cfg-options', nargs='+', metavar='KEY=VALUE', help='override settings of --config'
    )
    add_selection_options(parser).add_argument(
        '--reject',
        type=Path,
        metavar='MARKS.json',
        help='label nothing: write the marks of the review page into the file. Each mask gets '
        '`mal_review`, rejected ones `ignore: 1` too, so that training leaves them out',
    )
    add_drawing_options(parser)
    add_output_options(parser)
    add_weight_options(parser)
    add_machine_options(parser)


def check(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Fill in what depends on other arguments."""
    if args.redo and args.reject:
        parser.error('--redo draws masks, --reject only marks them; do one after the other')
    args.work_dir = args.work_dir or args.out.with_name(f'{args.out.name}.work')


def interrupted(args: argparse.Namespace) -> str:
    """What to say after Ctrl-C."""
    return f'what was done is kept in {args.work_dir}: call the same to go on'


def run(args: argparse.Namespace) -> int:
    """Label; the exit status."""
    from mal_mm.formats.distinct_files import check_distinct, check_outputs
    from mal_mm.workflow.labeling_checks import check_arguments, untrained_configs

    check_arguments(args)
    written = {'--out': args.out, '--summary': args.summary, '--report': args.report}
    read = {'--img-root': args.img_root, '--weights': args.weights}
    check_distinct(read, {**written, '--work-dir': args.work_dir})
    check_distinct({'--ann': args.ann}, {**written, '--work-dir': args.work_dir})
    check_outputs({name: path for name, path in written.items() if path is not None})
    if args.reject:
        return _write_marks(args)
    configs = untrained_configs(args)
    from mal_mm.workflow.label_run import LabelRun  # torch: from here on it takes seconds

    label_run = LabelRun(args, configs)
    print(label_run.describe(), flush=True)
    return label_run.run()


def _write_marks(args: argparse.Namespace) -> int:
    """Write the marks of a review into the file; the exit status."""
    from mal_mm.formats.review_marks import read_marks
    from mal_mm.labeling.review import write_marked
    from mal_mm.workflow.labeling_checks import write_page

    counts = write_marked(args.ann, read_marks(args.reject), args.out)
    said = ', '.join(f'{count} {mark.replace("_", " ")}' for mark, count in counts.items())
    print(f'wrote {args.out}: {said}; the rejected are left out of training')
    write_page(args)
    return 0
