"""Memory of RoIDataset: a million boxes beyond what the wrapped dataset holds itself.

The wrapped dataset is one of mmengine's, which keeps its records pickled in one array. Prints the
bytes a box of the arrays that RoIDataset keeps, and what the process grew by, at rest and at its
peak while the boxes are gathered. Linux with glibc only.

    python benchmarks/bench_dataset_memory.py
    python benchmarks/bench_dataset_memory.py --boxes 200000
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import resource
import time
from pathlib import Path

import common  # first: it sets the threads, which libraries read when they are loaded
import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger

from mal_mm.datasets import RoIDataset

BOXES_PER_IMAGE = 7


class ProceduralDataset(BaseDataset):
    """Random boxes, `BOXES_PER_IMAGE` to an image that is never read."""

    def __init__(self, boxes: int, seed: int) -> None:
        self.boxes, self.seed = boxes, seed
        super().__init__(ann_file='')

    def load_data_list(self) -> list[dict]:
        """As mmdet's datasets give them."""
        corners = np.random.default_rng(self.seed).uniform(0, 400, (self.boxes, 4))
        corners[:, 2:] += corners[:, :2] + 46  # wider and higher than the released minimum
        instances = [
            dict(bbox=box, bbox_label=0, ignore_flag=0) for box in corners.round(2).tolist()
        ]
        return [
            dict(
                img_path=f'train2017/{start:012d}.jpg',
                img_id=start,
                width=1000,
                height=1000,
                instances=instances[start : start + BOXES_PER_IMAGE],
            )
            for start in range(0, self.boxes, BOXES_PER_IMAGE)
        ]


def resident() -> float:
    """Megabytes that the process holds now, freed ones given back."""
    gc.collect()
    ctypes.CDLL('libc.so.6').malloc_trim(0)
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def reset_peak() -> None:
    """Let the peak start anew (Linux)."""
    Path('/proc/self/clear_refs').write_text('5')


def peak() -> float:
    """Largest number of megabytes that the process held since `reset_peak`."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith('VmHWM:'):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError('/proc/self/status names no VmHWM; this benchmark needs Linux')


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('benchmark', log_level='WARNING')
    wrapped = ProceduralDataset(args.boxes, args.seed)
    own = wrapped.data_bytes.nbytes / 1e6
    before = resident()
    reset_peak()
    start = time.perf_counter()
    dataset = RoIDataset(wrapped, pipeline=[], min_area=2048, min_side=2)
    spent = time.perf_counter() - start
    highest = peak()
    after = resident()
    arrays = [value for value in vars(dataset).values() if isinstance(value, np.ndarray)]
    kept = sum(array.nbytes for array in arrays)

    print(common.machine())
    print(f'{len(dataset)} boxes in {len(wrapped)} images, gathered in {spent:.1f} s')
    print(f'  wrapped dataset, for comparison {own:8.1f} MB')
    a_box = kept / len(dataset)
    print(f'  arrays of RoIDataset            {kept / 1e6:8.1f} MB, {a_box:.1f} bytes a box')
    print(f'  process, at rest, grew by       {after - before:8.1f} MB')
    print(f'  process, at its peak, grew by   {highest - before:8.1f} MB')


def parse_args() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    parser.add_argument('--boxes', type=int, default=10**6, help='(default: a million)')
    return parser.parse_args()


if __name__ == '__main__':
    main()
