"""What the benchmarks share: one thread, timing, pictures and boxes to work on."""

from __future__ import annotations

import os
import sys

# Before numpy, OpenCV and torch are loaded: they read these once.
THREADS = 1
if '--threads' in sys.argv[:-1]:
    THREADS = max(1, int(sys.argv[sys.argv.index('--threads') + 1]))
for _name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS'):
    os.environ[_name] = str(THREADS)

import argparse  # noqa: E402
import contextlib  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import platform  # noqa: E402
import statistics  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterator, Sequence  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

# name: (of the whole process, of a stage, which other threads must not add to)
CLOCKS = {
    'cpu': (time.process_time, time.thread_time),
    'wall': (time.perf_counter, time.perf_counter),
}
now, stage_now = CLOCKS['cpu']

torch.set_num_threads(THREADS)
cv2.setNumThreads(THREADS)


def make_parser(doc: str) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--seed', type=int, default=0, help='of the random input (default: 0)')
    parser.add_argument('--threads', type=int, default=1, help='CPU threads (default: 1)')
    parser.add_argument(
        '--clock',
        choices=list(CLOCKS),
        default='cpu',
        help='cpu: CPU time of this process, which other programs on the machine do not add to; '
        'wall: elapsed time (default: cpu)',
    )
    return parser


def set_clock(name: str) -> None:
    """Choose what `now` reads: 'cpu' (user and system time of the process) or 'wall'."""
    global now, stage_now
    now, stage_now = CLOCKS[name]


def machine(device: str = 'cpu') -> str:
    """One line that says what the numbers were measured on."""
    where = f'{os.cpu_count()} CPU cores {platform.machine()}, {THREADS} used'
    if torch.device(device).type == 'cuda':
        where = torch.cuda.get_device_name(device)
    return f'{where}; Python {platform.python_version()}, torch {torch.__version__}'


@dataclass(frozen=True)
class Timing:
    """Seconds of some runs and the last run's result."""

    runs: list[float]
    result: Any

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    @property
    def best(self) -> float:
        return min(self.runs)


def time_in_turn(
    works: dict[str, Callable[[], Any]], rounds: int, warmup: int = 0
) -> dict[str, Timing]:
    """Time pieces of work in turn, round after round: a busy spell meets them all."""
    for _ in range(warmup):
        for work in works.values():
            work()
    spent: dict[str, list[float]] = {name: [] for name in works}
    results = {}
    for _ in range(rounds):
        for name, work in works.items():
            start = now()
            results[name] = work()
            spent[name].append(now() - start)
    return {name: Timing(spent[name], results[name]) for name in works}


def seconds(timing: Timing) -> str:
    """'median (best) s'."""
    return f'{timing.median:8.3f} s ({timing.best:.3f})'


class Stages:
    """Adds up the time that named stages take."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}

    def wrap(self, name: str, work: Callable) -> Callable:
        """`work` with its time put down under `name`."""
        spent = self.spent.setdefault(name, [])

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = stage_now()
            try:
                return work(*args, **kwargs)
            finally:
                spent.append(stage_now() - start)

        return timed

    @contextlib.contextmanager
    def watch(self, places: Sequence[tuple[Any, str, str]]) -> Iterator[None]:
        """Put down the time of functions of modules, classes or objects meanwhile.

        Args:
            places: (where it is looked up, its name there, name of the stage).
        """
        with contextlib.ExitStack() as stack:
            for place, name, stage in places:
                work = getattr(place, name)
                own = name in vars(place)
                setattr(place, name, self.wrap(stage, work))
                undo = (setattr, place, name, work) if own else (delattr, place, name)
                stack.callback(*undo)
            yield

    def reset(self) -> None:
        """Start anew."""
        for spent in self.spent.values():
            spent.clear()

    def total(self, name: str) -> float:
        """Seconds spent in a stage."""
        return sum(self.spent.get(name, []))


# -- pictures and boxes ---------------------------------------------------------------------------


def make_picture(rng: np.random.Generator, height: int = 480, width: int = 640) -> np.ndarray:
    """Shades, texture and grain, about as costly to decode as a photograph of COCO.

    Returns:
        (H, W, 3) uint8.
    """
    picture = np.zeros((height, width, 3), dtype=np.float32)
    for octave in range(2, 9):
        cells = 2**octave
        grid = rng.normal(size=(cells * 3 // 4, cells, 3)).astype(np.float32)
        grid = grid.mean(2, keepdims=True) * 0.8 + grid * 0.2  # photographs are mostly grey
        shade = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        picture += shade * 0.6**octave
    picture = (picture - picture.mean()) / picture.std() * 50 + 120
    picture += rng.normal(size=(height, width, 1)) * 6
    return np.clip(picture, 0, 255).astype(np.uint8)


def make_boxes(
    rng: np.random.Generator, count: int, height: int = 480, width: int = 640, min_area: float = 0
) -> np.ndarray:
    """Boxes in COCO's mix of sizes: 41 % small, 34 % medium, 25 % large.

    Returns:
        (count, 4) `(x, y, w, h)`.
    """
    boxes = []
    while len(boxes) < count:
        low, high = ((8, 32), (32, 96), (96, 400))[rng.choice(3, p=(0.41, 0.34, 0.25))]
        side, aspect = np.exp(rng.uniform(np.log(low), np.log(high))), 2 ** rng.uniform(-1, 1)
        w, h = min(side * aspect**0.5, width - 1), min(side / aspect**0.5, height - 1)
        if w * h > min_area:
            boxes.append((rng.uniform(0, width - w), rng.uniform(0, height - h), w, h))
    return np.round(np.array(boxes), 2)


def write_coco(
    folder: Path,
    images: int,
    boxes_per_image: int,
    seed: int,
    quality: int = 90,
    min_area: float = 0,
) -> tuple[Path, int]:
    """Write 640 x 480 JPEGs and `boxes.json` into a folder.

    Returns:
        The annotation file and the mean number of bytes of a JPEG.
    """
    rng = np.random.default_rng(seed)
    records, annotations, size = [], [], 0
    for image_id in range(1, images + 1):
        buffer = io.BytesIO()
        Image.fromarray(make_picture(rng)).save(buffer, 'JPEG', quality=quality)
        size += buffer.tell()
        name = f'{image_id:06d}.jpg'
        (folder / name).write_bytes(buffer.getvalue())
        records.append(dict(id=image_id, file_name=name, width=640, height=480))
        for box in make_boxes(rng, boxes_per_image, min_area=min_area):
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=1,
                    iscrowd=0,
                    bbox=box.tolist(),
                    area=float(box[2] * box[3]),
                )
            )
    data = dict(images=records, annotations=annotations, categories=[dict(id=1, name='thing')])
    path = folder / 'boxes.json'
    path.write_text(json.dumps(data))
    return path, size // images
