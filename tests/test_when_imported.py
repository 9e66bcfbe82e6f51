"""Work that is done when another module is imported, and not before."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from contextlib import contextmanager

import pytest

from mal_mm.compat.when_imported import after, around, before

pytestmark = pytest.mark.slow  # nothing here depends on the stack


@pytest.fixture
def module(tmp_path, monkeypatch):
    """module('text') writes a module of a new name and returns the name."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def write(text: str = 'value = 1\n') -> str:
        names.append(f'waited_for_{tmp_path.name}_{len(names)}')
        (tmp_path / f'{names[-1]}.py').write_text(text)
        importlib.invalidate_caches()
        return names[-1]

    yield write
    for name in names:
        sys.modules.pop(name, None)


def test_work_runs_in_order_and_only_when_the_module_is_imported(module):
    name = module('import builtins\nbuiltins.order.append("module")\n')
    import builtins

    builtins.order = order = []

    @contextmanager
    def both():
        order.append('enter')
        yield
        order.append('leave')

    before(name, lambda: order.append('before'))
    after(name, lambda: order.append('after'))
    around(name, both)
    assert importlib.util.find_spec(name) is not None  # to look is not to import
    assert order == []
    importlib.import_module(name)
    assert order == ['before', 'enter', 'module', 'leave', 'after']
    importlib.reload(sys.modules[name])
    assert order[5:] == ['module']
    del builtins.order


def test_what_is_imported_already_gets_what_comes_after_at_once_and_nothing_else(module):
    name, calls = module(), []
    importlib.import_module(name)
    before(name, lambda: calls.append('before'))
    after(name, lambda: calls.append('after'))
    assert calls == ['after']


def test_work_may_import_the_module_itself(module):
    name, seen = module(), []
    after(name, lambda: seen.append(importlib.import_module(name).value))
    before(name, lambda: seen.append(hasattr(importlib.import_module(name), 'value')))
    importlib.import_module(name)
    assert seen == [False, 1]


def test_a_failed_import_is_tried_again_with_its_work(module):
    name, calls = module('raise OSError("no disk")\n'), []
    before(name, lambda: calls.append('before'))
    for _ in range(2):
        with pytest.raises(OSError, match='no disk'):
            importlib.import_module(name)
    assert calls == ['before', 'before']


def test_an_error_of_the_work_is_that_of_the_import(module):
    def refuse() -> None:
        raise ImportError('built for another torch')

    name = module()
    after(name, refuse)
    with pytest.raises(ImportError, match='another torch'):
        importlib.import_module(name)
    assert name not in sys.modules


def test_modules_in_waiting_keep_their_source_and_place(module, tmp_path):
    name = module()
    before(name, lambda: None)
    imported = importlib.import_module(name)
    assert imported.__file__ == str(tmp_path / f'{name}.py')
    assert imported.__spec__.loader.get_source(name) == 'value = 1\n'
