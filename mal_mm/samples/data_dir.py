"""Where the data of the sample sets are."""

from __future__ import annotations

from pathlib import Path

import mal_mm


def default_data_dir(name: str) -> Path:
    """Folder of a sample set's data that came with mal_mm, in an installed package or a checkout.

    Args:
        name: 'nuclei' or 'photos'.

    Raises:
        FileNotFoundError: neither holds it.
    """
    package = Path(mal_mm.__file__).resolve().parent
    inside = Path('tools', 'sample_data', name)
    candidates = [package / '.mim' / inside, package.parent / inside]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(
        f'the data of `{name}` are neither in {candidates[0]} nor in {candidates[1]}; '
        'reinstall mal_mm or give their folder as `data_dir`'
    )
