"""The project's own tests that need a GPU."""

from __future__ import annotations

from pathlib import Path

from . import Row, Size

ROOT = Path(__file__).parents[2]
MARK = 'mark.cuda'


class Outcomes:
    """A pytest plugin that counts."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {'passed': [], 'failed': [], 'skipped': []}

    def pytest_runtest_logreport(self, report: object) -> None:
        if report.when == 'call' or report.outcome != 'passed':
            self.names[report.outcome].append(report.nodeid)


def measure(device: str, size: Size) -> list[Row]:
    """Run the tests with the mark `cuda`; without a GPU all are skipped.

    Raises:
        RuntimeError: some fail.
    """
    try:
        import pytest
    except ImportError:
        return [Row('tests marked cuda', None, note='not run: pytest is not installed')]
    files = [path for path in (ROOT / 'tests').rglob('test_*.py') if MARK in path.read_text()]
    outcomes = Outcomes()
    arguments = ['-m', 'cuda', '--tb=short', '-p', 'no:cacheprovider', f'--rootdir={ROOT}']
    status = pytest.main([*arguments, *map(str, sorted(files))], plugins=[outcomes])
    passed, failed, skipped = (outcomes.names[name] for name in ('passed', 'failed', 'skipped'))
    if failed:
        raise RuntimeError(f'{len(failed)} of the tests failed: {", ".join(failed)}')
    if status not in (0, 5):  # 5: all are left out
        raise RuntimeError(f'the tests could not be run, pytest ended with {int(status)}')
    return [Row('tests marked cuda', len(passed), 'passed', f'{len(skipped)} skipped')]
