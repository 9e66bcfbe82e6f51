"""Annotation files of other tools into COCO-style files, and back.

  mal-mm convert [FORMAT] SOURCE OUT.json            read SOURCE, write a COCO-style file
  mal-mm convert [FORMAT] SOURCE --to FORMAT OUT     write another format
  mal-mm convert [FORMAT] CORRECTED OUT.json --merge-into MASKS.json
                                              take over what people have corrected

FORMAT of SOURCE is told by its look where it is left out. Formats, r read and w written:

  coco          rw  COCO-style JSON, zipped too (as CVAT exports it)
  lvis          r   LVIS JSON
  objects365    r   Objects365 JSON, version 1 or 2
  yolo          rw  Ultralytics' data.yaml or its folder; rows of boxes
  yolo-seg      rw  the same; rows of polygons
  voc           rw  Pascal VOC folder, masks as SegmentationObject pictures
  labelme       rw  folder of labelme's or X-AnyLabeling's JSON
  cvat          rw  CVAT for images 1.1, XML or zip
  label-studio  rw  Label Studio's JSON export; written as predictions with scores
  datumaro      rw  Datumaro folder
  fiftyone      rw  FiftyOne's COCO layout (data/ and labels.json)
  openimages    r   OpenImages' boxes (CSV); needs --img-root
  youtube-vis   rw  YouTube-VIS JSON; every frame becomes an image

What a format cannot hold is counted and listed (all of it with --report). Existing files are
replaced, existing folders are not.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

EXAMPLES = """examples:
  mal-mm convert yolo data/mine/data.yaml train.json --split train
  mal-mm convert data/voc train.json
  mal-mm convert masks.json --to yolo-seg data/mine_seg --img-root data/mine/images
  mal-mm convert masks.json --to cvat masks.xml --shapes polygons --tolerance 1
  mal-mm convert masks.json --to coco polygons.json --shapes polygons
  mal-mm convert masks.json --to label-studio tasks.json --prefix '/data/local-files/?d=mine/'
  mal-mm convert cvat task_7.zip corrected.json --merge-into masks.json --confirm images

exit status: 0 done, 1 refused (the reason is on stderr), 2 wrong arguments, 3 done, but something
could not be expressed and is listed
"""

_BOX_FORMATS = ('auto', 'xywh', 'xyxy', 'cxcywh', 'xywh-shares', 'xyxy-shares', 'cxcywh-shares')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        'items', nargs='+', metavar='[FORMAT] SOURCE [OUT.json]', help='what to read and write'
    )
    parser.add_argument(
        '--to', nargs=2, metavar=('FORMAT', 'OUT'), help='write this format instead of COCO-style'
    )
    parser.add_argument(
        '--img-root',
        type=Path,
        metavar='DIR',
        help='folder of the images: read for sizes that the files do not say; with --to, images '
        'are copied into a folder that is written',
    )
    parser.add_argument('--split', metavar='NAME', help='read this part of the data set alone')
    parser.add_argument(
        '--box-format',
        choices=_BOX_FORMATS,
        default='auto',
        help='what the boxes of COCO-style files are (default: as they look, said if not xywh)',
    )
    parser.add_argument(
        '--shapes',
        choices=('masks', 'polygons'),
        help='write masks or polygons where the format has both (default: labelme polygons, coco '
        'what is there, others masks)',
    )
    parser.add_argument(
        '--tolerance',
        type=float,
        default=0.25,
        metavar='PX',
        help='how far polygons may stray from masks (default 0.25, which loses nothing; 1 gives a '
        'fifth of the points)',
    )
    parser.add_argument(
        '--prefix',
        default='/data/local-files/?d=',
        help="what stands before file names in Label Studio's tasks (default %(default)s)",
    )
    merge = parser.add_argument_group('corrections')
    merge.add_argument(
        '--merge-into',
        type=Path,
        metavar='MASKS.json',
        help='the file that was given to people; OUT.json is it with what they changed',
    )
    merge.add_argument(
        '--confirm',
        choices=('changed', 'images', 'all'),
        default='changed',
        help='what counts as looked at by people, beside what they ticked: what they changed '
        '(default), every object of an image with a change, or every object of SOURCE',
    )
    merge.add_argument(
        '--deleted',
        choices=('keep', 'remove'),
        default='keep',
        help='objects that are gone from their image in SOURCE (default: keep and list them)',
    )
    parser.add_argument(
        '--report', type=Path, metavar='JSON', help='write everything that was found to this file'
    )


def run(args: argparse.Namespace) -> int:
    """Convert; see the exit status in the examples.

    Raises:
        ValueError: a file or an argument cannot be used.
        OSError: a file cannot be read or written.
    """
    # imported late: --help and wrong arguments answer at once
    from mal_mm.convert import Findings, ReadOptions, WriteOptions, find_format, guess_format
    from mal_mm.convert.merge import mark_confirmed, merge_file
    from mal_mm.formats.distinct_files import check_distinct
    from mal_mm.formats.json_file import write_json

    name, source, target, out = _parse_items(args)
    if not source.exists():
        raise FileNotFoundError(f'{source}: no such file or folder; check the path')
    if not 0 <= args.tolerance < 100:
        raise ValueError(f'--tolerance must be from 0 to 100 pixels, got {args.tolerance}')
    if not out.parent.is_dir():  # before the long work, not after it
        raise FileNotFoundError(f'folder {out.parent} does not exist; create it first')
    inputs = {'SOURCE': source, '--merge-into': args.merge_into}
    check_distinct(inputs, {'OUT': out, '--report': args.report})
    reading = find_format(name) if name else guess_format(source)
    writing = find_format(target, to_write=True)
    findings = Findings()
    data = reading.reader()(
        source, ReadOptions(args.img_root, args.split, args.box_format), findings
    )
    options = WriteOptions(args.shapes, args.tolerance, args.img_root, args.prefix)
    if not args.merge_into:
        mark_confirmed(data)
    else:
        data, said = merge_file(
            data, args.merge_into, reading.name, options, args.confirm, args.deleted, findings
        )
        print(said)
        # --shapes says what people were given; what they did not change stays in its own form
        options = WriteOptions(prefix=args.prefix, img_root=args.img_root)
    writing.writer()(data, out, options, findings)
    with_mask = sum(bool(a.get('segmentation')) for a in data['annotations'])
    print(
        f'{reading.name} -> {writing.name}: {len(data["images"])} images, '
        f'{len(data["annotations"])} objects ({with_mask} with a mask), '
        f'{len(data.get("categories") or ())} classes -> {out}'
    )
    if writing.name == 'coco' and not args.merge_into and findings.img_root is not None:
        print(f'its images: --img-root {shlex.quote(str(findings.img_root))}')
    _print_splits(data)
    for line in findings.lines():
        print(line, file=sys.stderr)
    if args.report:
        write_json(findings.summary(), args.report)
    if findings.num_lost:
        print(f'{findings.num_lost} things could not be expressed, see above', file=sys.stderr)
        return 3
    return 0


def _print_splits(data: dict) -> None:
    splits: dict[str, int] = {}
    for image in data['images']:
        if isinstance(image.get('split'), str):
            splits[image['split']] = splits.get(image['split'], 0) + 1
    if len(splits) > 1:
        listed = ', '.join(f'{name} {count}' for name, count in splits.items())
        print(f'parts: {listed} images, all in one file; --split NAME takes one')


def _parse_items(args: argparse.Namespace) -> tuple[str | None, Path, str, Path]:
    items = list(args.items)
    wanted = 1 if args.to else 2
    if len(items) not in (wanted, wanted + 1):
        usage = 'SOURCE --to FORMAT OUT' if args.to else 'SOURCE OUT.json'
        raise ValueError(f'expected [FORMAT] {usage}, got {" ".join(items)}')
    name = items.pop(0) if len(items) == wanted + 1 else None
    target, out = args.to or ('coco', items[1])
    return name, Path(items[0]), target, Path(out)
