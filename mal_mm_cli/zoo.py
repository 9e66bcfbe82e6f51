"""Weights that others have published: list them, fetch them, label with them.

Without NAME all are listed. With NAME the licence is shown and the file is found on this machine,
or fetched if you allow it. With --ann, --img-root and --out a labeler also labels a file. The
SHA-256 of a file is kept beside it when it is first used; a file that has changed is refused.
docs/model_zoo.md says what could be tried and what could not.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  mal-mm zoo
  mal-mm zoo mae-large --download
  from an address to a labelled file:
  mal-mm zoo instant-dinov2-base --download --ann boxes.json --img-root photos --out masks.json
  the authors' labeler, with the address that their page gives, or a file that you have fetched:
  mal-mm zoo mal-vit-mae-base-coco --address https://... --ann ... --img-root ... --out ...
  mal-mm zoo mal-vit-mae-base-coco --file downloads/mal.ckpt --ann ... --img-root ... --out ...
  without network:
  mal-mm zoo instant-dinov2-small --offline /media/stick/weights

exit status: 0 done, 1 refused or failed, 2 wrong arguments, 3 labelled with skipped annotations
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument('name', nargs='?', help='of the list')
    where = parser.add_argument_group('where the file is')
    where.add_argument('--file', type=Path, help='here; nothing is sought')
    where.add_argument('--address', help='http(s), in place of the one that is listed')
    where.add_argument(
        '--offline', type=Path, metavar='DIR', help='in this folder; never download'
    )
    where.add_argument(
        '--download', action='store_true', help='fetch it if it is missing, without asking'
    )
    label = parser.add_argument_group('label with it')
    label.add_argument('--ann', type=Path, help='COCO-style file with boxes')
    label.add_argument('--img-root', type=Path, help='folder of the images')
    label.add_argument('--out', type=Path, help='the file to write')
    label.add_argument('--device', help='cuda, cpu, ... (default: the GPU if there is one)')


def check(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Refuse what does not go together."""
    files = (args.ann, args.img_root, args.out)
    if any(files) and not all(files):
        parser.error('--ann, --img-root and --out belong together')
    if args.name is None and (any(files) or args.file or args.address):
        parser.error('name what of the list is meant')
    if args.offline and args.download:
        parser.error('--offline never downloads: leave out --download')


def run(args: argparse.Namespace) -> int:
    """List, fetch, label; the exit status."""
    from mal_mm.apis.pretrained_labeler import find_pretrained, use_of
    from mal_mm.checkpoints.zoo import find_entry, obtain, zoo
    from mal_mm.workflow.labeling_checks import ask

    if args.name is None:
        for entry in zoo().values():
            print(f'{entry.name:30}{entry.kind:11}{entry.licence:17}{entry.address or entry.page}')
        return 0
    where = (args.file, args.address, args.offline, args.download or ask)
    if args.ann is None:
        entry = find_entry(args.name)
        path = obtain(entry, *where)
        print(f'{path}\n{use_of(entry, path)}')
        return 0

    from mal_mm.formats.distinct_files import check_distinct
    from mal_mm.workflow.labeling_checks import check_annotations, check_places

    check_distinct({'--ann': args.ann, '--file': args.file}, {'--out': args.out})
    check_places(args.img_root, {'--out': args.out})
    check_annotations(args.ann)
    config, checkpoint = find_pretrained(args.name, *where)
    from mal_mm.apis import MaskLabeler  # torch: from here on it takes seconds

    labeler = MaskLabeler(config, checkpoint, device=args.device)
    summary = labeler.label_file(args.ann, args.img_root, args.out)
    print(f'wrote {args.out}: {summary.masks} masks, {len(summary.skips)} skipped')
    return 3 if summary.skips else 0
