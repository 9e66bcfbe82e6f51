"""Training of ViT-B: rate, memory, and where the host waits for the GPU."""

from __future__ import annotations

import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from training_step import TrainingStep, labeler_config

from . import Row, Size

ROOT = Path(__file__).parents[2]
CONFIG = 'mal/vit_mae_base.py'


def make_step(device: str, size: Size, precision: str) -> TrainingStep:
    """A step of the config at this size."""
    cfg = labeler_config(CONFIG, size.tiny)
    return TrainingStep(cfg, device, size.batch, size.crop, precision)


def measure(device: str, size: Size, precision: str) -> list[Row]:
    """Iterations a second of the whole step, and its peak memory."""
    step = make_step(device, size, precision)
    for _ in range(1 if size.tiny else 5):
        step()
    step.finish()
    if step.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    for _ in range(size.steps):
        step()
    step.finish()
    rate = size.steps / (time.perf_counter() - start)
    what = f'ViT-B {size.crop} px, batch {size.batch}, {precision}'
    kind = type(step.optim_wrapper).__name__
    rows = [
        Row(what, rate * size.batch, 'crops/s', f'{rate:.2f} it/s, {kind}', goal=('>=', 250)),
    ]
    if step.on_gpu:
        rows.append(Row('  peak memory', torch.cuda.max_memory_allocated() / 2**30, 'GiB'))
    return rows


def bf16(device: str, size: Size) -> list[Row]:
    return measure(device, size, 'bf16')


def fp16(device: str, size: Size) -> list[Row]:
    return measure(device, size, 'fp16')


def waits(device: str, size: Size) -> list[Row]:
    """How often one step waits for the GPU, and on which lines."""
    rows = []
    for precision in ('bf16', 'fp16'):
        step = make_step(device, size, precision)
        for _ in range(2):
            step()
        step.finish()
        if not step.on_gpu:
            rows.append(Row(f'waits in a step, {precision}', None, note='needs a GPU'))
            continue
        places = waiting_places(step)
        rows.append(Row(f'waits in a step, {precision}', places.total()))
        rows += [Row(f'  {place}', number, 'times') for place, number in places.most_common()]
    return rows


def waiting_places(work: Callable[[], object]) -> Counter[str]:
    """Source lines of `work` at which the host waits for the GPU, and how often.

    PyTorch warns of each wait that it knows of. Named are the innermost line of this project that
    led there and, where it is another one, the line itself.
    """
    places: Counter[str] = Counter()

    def note(message: object, category: object, filename: str, lineno: int, *_: object) -> None:
        if 'synchroniz' not in str(message):
            return
        frames = [f for f in traceback.extract_stack()[:-1] if f.filename != warnings.__file__]
        ours = [f for f in frames if ROOT in Path(f.filename).parents and 'mal_mm' in f.filename]
        here = f'{Path(filename).name}:{lineno}'
        if ours and (ours[-1].filename, ours[-1].lineno) != (filename, lineno):
            place = Path(ours[-1].filename).relative_to(ROOT)
            here = f'{place}:{ours[-1].lineno} ({here})'
        places[here] += 1

    with warnings.catch_warnings():
        warnings.simplefilter('always')
        warnings.showwarning = note
        _say_waits('warn')
        try:
            work()
        finally:
            _say_waits('default')
    return places


def _say_waits(mode: str) -> None:
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode(mode)
