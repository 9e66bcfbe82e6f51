"""Work ahead in threads, in order; one that is stuck is named, and stops nobody from leaving."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, TimeoutError
from typing import TypeVar

Item = TypeVar('Item')
Result = TypeVar('Result')

SAY_AFTER_SECONDS = 60.0
# a thread that has not ended by then is stuck, and left behind
LEAVE_AFTER_SECONDS = 1.0


def prefetch(
    items: Iterable[Item],
    load: Callable[[Item], Result],
    num_threads: int,
    describe: Callable[[Item], str] = str,
) -> Generator[tuple[Item, Result], None, None]:
    """`load(item)` of each item in order, a few items ahead of the reader.

    The threads are daemons: a read that never returns (a network disk that is gone) keeps neither
    Ctrl-C from ending the program nor the program from ending. What is waited for longer than a
    minute is said on stderr.

    Args:
        items: to load.
        load: called in the threads; what it raises comes out here.
        num_threads: how many.
        describe: name of an item.
    """
    waiting: queue.SimpleQueue = queue.SimpleQueue()
    threads = [
        threading.Thread(target=_work, args=(waiting, load), daemon=True)
        for _ in range(num_threads)
    ]
    for thread in threads:
        thread.start()
    ahead: deque[tuple[Item, Future]] = deque()
    try:
        for item in items:
            future: Future = Future()
            ahead.append((item, future))
            waiting.put((item, future))
            if len(ahead) > 2 * num_threads:
                yield _next(ahead, describe)
        while ahead:
            yield _next(ahead, describe)
    finally:
        for _, future in ahead:
            future.cancel()
        for _ in threads:
            waiting.put(None)
        # A daemon that is still awake when the interpreter ends may abort the process.
        deadline = time.monotonic() + LEAVE_AFTER_SECONDS
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0))


def _work(waiting: queue.SimpleQueue, load: Callable) -> None:
    while (task := waiting.get()) is not None:
        item, future = task
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(load(item))
        except BaseException as error:
            future.set_exception(error)


def _next(ahead: deque, describe: Callable) -> tuple:
    item, future = ahead.popleft()
    begin = said = time.monotonic()
    while True:
        try:
            # In pieces: Python reacts to a signal that arrives just before a wait only after it.
            return item, future.result(timeout=min(SAY_AFTER_SECONDS, 0.5))
        except TimeoutError:
            if future.done():  # the work itself has raised one
                raise
        now = time.monotonic()
        if now - said >= SAY_AFTER_SECONDS:
            said = now
            waited = f'after {now - begin:.0f} s'
            print(f'still waiting for {describe(item)} {waited}', file=sys.stderr, flush=True)
