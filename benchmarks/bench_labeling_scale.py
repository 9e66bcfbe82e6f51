"""Labeling is linear: planned boxes from a thousand to a million, boxes of one image to 5,000.

For each number of boxes a process of its own reads the plan, writes the part file (the boxes
themselves as masks), finds out what is done as a resume does, and makes the output file of it;
printed are microseconds a box of each step and the peak of the process beyond what it had before.
Then one 640 x 480 image with many boxes is labelled with a tiny network beside images of 7 boxes
each, overlaps resolved; printed are milliseconds a box without the network. Linux only.

    python benchmarks/bench_labeling_scale.py
    python benchmarks/bench_labeling_scale.py --boxes 1000 10000 --crowd 700
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from unittest import mock

import common  # first: it sets the threads, which libraries read when they are loaded
import torch
from bench_labeling import tiny_config
from bench_labeling_memory import SIZE, write_set
from mmengine.logging import MMLogger

from mal_mm.apis import MaskLabeler
from mal_mm.formats import mal_fields
from mal_mm.formats.region_rle import encode_region
from mal_mm.labeling import LabelingEngine, LabelingJob, job
from mal_mm.labeling.portion_labeler import Labelled, PortionLabeler
from mal_mm_runtime.box_clip import fill_box

# method of LabelingJob, name of the step
STEPS = (
    (LabelingJob, '__init__', 'plan'),
    (LabelingJob, '_label_rest', 'parts'),
    (LabelingJob, '_prepare', 'resume'),
    (LabelingJob, '_finish', 'output'),
)


class FilledBoxes(PortionLabeler):
    """Takes the boxes for masks, and stops behind the last."""

    def run(self, portions: Iterable[tuple[int, int]]) -> Iterator[Labelled]:
        size = (SIZE, SIZE)
        for start, stop in portions:
            places = self.plan.places[start:stop].tolist()
            regions = [fill_box(box, size) for box in self.plan.boxes_xyxy[start:stop]]
            yield Labelled(
                [
                    (place, mal_fields.drawn(encode_region(*each, size), each[0].size, 0.5))
                    for place, each in zip(places, regions, strict=True)
                ],
                {},
            )
        raise InterruptedError


def make_engine(crop_size: int, **options: str) -> LabelingEngine:
    """With a network that costs little."""
    MMLogger.get_instance('benchmark', log_level='WARNING')
    torch.manual_seed(0)
    return MaskLabeler(tiny_config(crop_size), device='cpu', batch_size=32, **options).engine


def go_through(folder: Path) -> tuple[dict[str, float], float]:
    """A job without its labeling: seconds of each step, and MB of the peak beyond the start."""
    engine, stages = make_engine(32), common.Stages()
    before = peak()
    files = folder / 'boxes.json', folder / 'masks.json', folder
    with (
        stages.watch(STEPS[:2]),
        mock.patch.object(job, 'PortionLabeler', FilledBoxes),
        contextlib.suppress(InterruptedError),
    ):
        LabelingJob(*files, engine, {}).run()
    with stages.watch(STEPS[2:]):
        LabelingJob(*files, engine, {}).run(resume=True)
    return {step: stages.total(step) for _, _, step in STEPS}, peak() - before


def peak() -> float:
    """MB that the process has had at most."""
    status = Path('/proc/self/status').read_text()
    return int(status.split('VmHWM:')[1].split()[0]) * 1024 / 1e6


def label_crowds(counts: list[int], seed: int) -> None:
    """Time labeling 7 boxes an image, and images with so many."""
    engine = make_engine(64, overlaps='centre')
    network, stages = engine.labeler.teacher, common.Stages()
    places = [(network, name, 'network') for name in ('encode', 'decode')]
    spent = {}
    with tempfile.TemporaryDirectory() as name, stages.watch(places):
        for count in [7, *counts]:
            folder = Path(name) / str(count)
            folder.mkdir()
            images = max(counts) // 7 if count == 7 else 1
            ann, _ = common.write_coco(folder, images, count, seed)
            stages.reset()
            start = common.now()
            LabelingJob(ann, folder / 'masks.json', folder, engine, {}, num_threads=1).run()
            seconds = common.now() - start - stages.total('network')
            spent[count] = 1000 * seconds / (images * count)
            said = f'{images} images of 7 boxes' if count == 7 else f'one image of {count} boxes'
            print(f'{said:<32} {spent[count]:7.3f} ms a box, {spent[count] / spent[7]:.2f} x')


def main() -> None:
    args = parse_args()
    common.set_clock(args.clock)
    if args.child:
        steps, megabytes = go_through(args.child)
        print(*(f'{step} {seconds}' for step, seconds in steps.items()), f'peak {megabytes}')
        return
    print(common.machine())
    for boxes in args.boxes:
        with tempfile.TemporaryDirectory() as name:
            size = write_set(Path(name), boxes, args.seed).stat().st_size / 1e6
            command = [sys.executable, __file__, '--clock', args.clock, '--child', name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        words = done.stdout.splitlines()[-1].split()
        found = dict(zip(words[::2], map(float, words[1::2]), strict=True))
        each = ', '.join(f'{step} {found[step] * 1e6 / boxes:6.1f}' for _, _, step in STEPS)
        print(
            f'{boxes:8d} boxes: us a box: {each}; peak {found["peak"]:7.1f} MB beyond the start, '
            f'file {size:.1f} MB'
        )
    label_crowds(args.crowd, args.seed)


def parse_args() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    parser.add_argument('--boxes', type=int, nargs='+', default=[10**3, 10**4, 10**5, 10**6])
    parser.add_argument('--crowd', type=int, nargs='+', default=[700, 5000], help='of one image')
    parser.add_argument('--child', type=Path, help='(internal)')
    return parser.parse_args()


if __name__ == '__main__':
    main()
