"""A Runner that says on the terminal what people wait for, and the rest in its log file.

mmengine's Runner prints the environment, the config and the list of hooks, some 300 lines, before
the first useful one. All of it is in WORK_DIR/*/*.log; `--verbose` shows it on the terminal too.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from mmengine.logging import MMLogger
from mmengine.runner import Runner

_OURS = Path(__file__).resolve().parents[1]


def quiet(runner_class: type[Runner]) -> type[Runner]:
    """A subclass whose log reaches the terminal only where it is a warning, or of mal_mm."""

    class QuietRunner(runner_class):
        def build_logger(self, *args: object, **kwargs: object) -> MMLogger:
            logger = super().build_logger(*args, **kwargs)
            for handler in logger.handlers:
                if not isinstance(handler, logging.FileHandler):
                    handler.addFilter(is_for_people)
            return logger

    QuietRunner.__name__ = QuietRunner.__qualname__ = runner_class.__name__
    return QuietRunner


def silence_coco() -> None:
    """Let COCO's readers and scorers stop telling each of their steps on the terminal.

    They use `print`, once for each file and each evaluation; scores are in the log and in the
    line that ends an evaluation.
    """
    for name in ('pycocotools.coco', 'pycocotools.cocoeval', 'lvis.eval'):
        module = sys.modules.get(name)
        if module is not None:
            vars(module)['print'] = _say_nothing


def _say_nothing(*args: object, **options: object) -> None:
    pass


def is_for_people(record: logging.LogRecord) -> bool:
    """Whether a record belongs on the terminal."""
    text = record.getMessage()
    if _OURS in Path(record.pathname).resolve().parents:
        if record.levelno >= logging.WARNING:
            return True
        # tables, and what comes again each epoch, are in the log
        return '\n' not in text and not text.startswith('features of')
    return record.levelno >= logging.WARNING and not any(part in text for part in _HOW_IT_IS_MADE)


# warnings of mmengine and mmdet that say how they are made, not what to do
_HOW_IT_IS_MADE = (
    'will be deprecated in future',
    'and the former will be deprecated',
    'Failed to search registry with scope',
    'is not set in metric class',
    'The prefix is not set',
    'Failed to import',
    'Attribute `pad_size_divisor`',
    'Could not build visualizer',
)
