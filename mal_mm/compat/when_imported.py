"""Work that belongs to the import of another package: done then, and not before.

`import mal_mm` promises that MMDetection finds our modules and that its known faults are out of
the way, whichever tool runs. That does not ask for MMDetection to be imported, which takes
seconds, together with torch: most of our commands only read and write files. So what must be done
before or after the import of a module is left here, and Python's import system calls it: a finder
at the head of `sys.meta_path` finds these modules as the others would, and wraps the function
that executes them.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

Context = Callable[[], AbstractContextManager]


def around(name: str, context: Context) -> None:
    """Have `context()` entered while the module `name` is executed, if it has not been yet."""
    if name not in sys.modules:
        _finder().contexts.setdefault(name, []).append(context)


def before(name: str, action: Callable[[], object]) -> None:
    """Have `action()` called before the module `name` is executed, if it has not been yet."""

    @contextmanager
    def context():
        action()
        yield

    around(name, context)


def after(name: str, action: Callable[[], object]) -> None:
    """Have `action()` called when the module `name` has been executed: now, if it has been."""

    @contextmanager
    def context():
        yield
        action()

    if name in sys.modules:
        action()
    else:
        around(name, context)


class _Finder(MetaPathFinder):
    """Finds the modules that something waits for, with the finders behind it."""

    def __init__(self) -> None:
        self.contexts: dict[str, list[Context]] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self.contexts:
            return None
        spec = None
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, 'find_spec'):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    break
        if spec is not None and spec.loader is not None:
            # of this one loader: its class serves all modules
            execute = spec.loader.exec_module
            spec.loader.exec_module = functools.partial(self._execute, execute)  # type: ignore[method-assign]
        return spec

    def _execute(self, execute: Callable[[ModuleType], None], module: ModuleType) -> None:
        # taken out first: the work may import the module, or look for it, itself
        contexts = self.contexts.pop(module.__name__, [])
        try:
            with ExitStack() as stack:
                for context in contexts:
                    stack.enter_context(context())
                execute(module)
        except BaseException:
            self.contexts[module.__name__] = contexts  # for those who try again
            raise


def _finder() -> _Finder:
    """The one in place, or a new one."""
    for finder in sys.meta_path:
        if isinstance(finder, _Finder):
            return finder
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    return finder
