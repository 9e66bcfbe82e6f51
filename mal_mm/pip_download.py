"""Fetch one wheel by pip, without what it depends on: for files that live inside packages."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .formats.plain_file import sha256 as sha256_of


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/mal_mm`, by default `~/.cache/mal_mm`; it need not exist."""
    base = os.environ.get('XDG_CACHE_HOME')
    return (Path(base) if base else Path.home() / '.cache') / 'mal_mm'


def download_wheel(
    requirement: str,
    wheel_name: str,
    sha256: str | None = None,
    cache: Path | None = None,
    options: Sequence[str] = (),
) -> Path:
    """Have pip fetch a wheel into the cache; it appears there whole or not at all.

    Args:
        requirement: `name==version`.
        wheel_name: file name, or a glob pattern that the file must match.
        sha256: of the file, if it is to be checked.
        cache: the folder, `default_cache()` if None; made when missing.
        options: further options of `pip download`, such as `--platform`.

    Returns:
        The wheel's path.

    Raises:
        RuntimeError: pip failed, or delivered another file than the one expected.
    """
    cache = Path(cache) if cache is not None else default_cache()
    cache.mkdir(parents=True, exist_ok=True)
    # In a folder of its own, so that an interrupted download never looks like a wheel.
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        fixed = ['--disable-pip-version-check', '--no-deps', '--only-binary', ':all:']
        command = [sys.executable, '-m', 'pip', 'download', *fixed, *options, '--dest', folder]
        if subprocess.run([*command, requirement], check=False).returncode:
            raise RuntimeError(
                f'pip could not download {requirement}; fetch {wheel_name} by hand '
                f'and put it into {cache}'
            )
        found = sorted(Path(folder).glob(wheel_name))
        if not found:
            raise RuntimeError(f'pip brought no {wheel_name} for {requirement}')
        digest = sha256_of(found[0])
        if sha256 is not None and digest != sha256:
            raise RuntimeError(f'{wheel_name}: SHA-256 is {digest}, expected {sha256}; not used')
        return found[0].replace(cache / found[0].name)
