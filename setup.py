"""Build hooks; the metadata lives in pyproject.toml.

MIM, `_base_ = 'mal_mm::...'` and `mim train mal_mm` look for configs and tools in
`mal_mm/.mim`. A wheel gets copies there, an editable install symbolic links.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_ENTRIES = ('configs', 'tools', 'model-index.yml')


class BuildWithMim(build_py):
    """build_py that also fills `mal_mm/.mim`."""

    def run(self) -> None:
        super().run()
        target = ROOT / 'mal_mm' / '.mim'
        if not self.editable_mode:
            target = Path(self.build_lib).resolve() / 'mal_mm' / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in MIM_ENTRIES:
            source = ROOT / name
            if self.editable_mode:
                (target / name).symlink_to(Path('..', '..', name))
            elif source.is_dir():
                shutil.copytree(source, target / name, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copy2(source, target / name)


setup(cmdclass={'build_py': BuildWithMim})
