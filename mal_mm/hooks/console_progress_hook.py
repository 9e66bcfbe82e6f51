"""ConsoleProgressHook: how far a training is, on the terminal, batch by batch."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from mmdet.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tqdm import tqdm

# a log file, or what another program reads, needs no line every tenth of a second
_SECONDS_BETWEEN_LINES = 10


@HOOKS.register_module()
class ConsoleProgressHook(Hook):
    """A bar with rate, time left and loss in place of the log, which goes on in its file.

    Our tools add it unless --verbose is said. Of several ranks the first one speaks.
    """

    priority = 'VERY_LOW'  # after the hooks that compute what is shown

    def __init__(self) -> None:
        # of the training; of the validation or test in it
        self._bar: tqdm
        self._inner: tqdm

    def before_train(self, runner: Runner) -> None:
        self._bar = _bar(runner.max_iters, 'training', 'it', runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        scalars = runner.message_hub.log_scalars
        if 'train/loss' in scalars:
            loss = scalars['train/loss'].mean(20)
            self._bar.set_postfix_str(f'loss {loss:.3g}', refresh=False)
        self._bar.update()

    def after_train(self, runner: Runner) -> None:
        self._bar.close()
        if not is_main_process():
            return
        last = Path(runner.work_dir, 'last_checkpoint')
        where = last.read_text().strip() if last.is_file() else runner.work_dir
        print(f'trained {runner.iter} iterations; {where}', flush=True)

    def before_val_epoch(self, runner: Runner) -> None:
        self._inner = _bar(len(runner.val_dataloader), 'validation', 'batch')

    def before_test_epoch(self, runner: Runner) -> None:
        self._inner = _bar(len(runner.test_dataloader), 'test', 'batch')

    def after_val_iter(self, *args: object, **kwargs: object) -> None:
        self._inner.update()

    after_test_iter = after_val_iter

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._end('validation', metrics)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._end('test', metrics)

    def _end(self, name: str, metrics: dict | None) -> None:
        self._inner.close()
        shown = [
            f'{key} {value:.3f}'
            for key, value in (metrics or {}).items()
            if isinstance(value, (int, float)) and math.isfinite(value)
        ]
        if shown and is_main_process():
            tqdm.write(f'{name}: {", ".join(shown)}', file=sys.stdout)
            sys.stdout.flush()


class _Lines(tqdm):
    """A bar for log files: each state on a line of its own."""

    @staticmethod
    def status_printer(file: IO[str]) -> Callable[[str], None]:
        return lambda text: print(text, file=file, flush=True) if text else None

    def clear(self, *args: object, **kwargs: object) -> None:
        """Lines that were written stay."""

    def moveto(self, *args: object) -> None:
        """There is no line above."""


def _bar(total: int, title: str, unit: str, done: int = 0) -> tqdm:
    on_terminal = sys.stderr.isatty()
    return (tqdm if on_terminal else _Lines)(
        total=total,
        initial=done,
        desc=title,
        unit=unit,
        smoothing=0.05,
        mininterval=0.2 if on_terminal else _SECONDS_BETWEEN_LINES,
        maxinterval=10 if on_terminal else 2 * _SECONDS_BETWEEN_LINES,
        disable=not is_main_process(),
        leave=title == 'training',
    )
