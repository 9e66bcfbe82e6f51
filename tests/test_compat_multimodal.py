"""mmpretrain beside a `transformers` that is newer than it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow  # a fresh process, which takes seconds

CODE = """
import mal_mm, sys
from mmpretrain.registry import MODELS
import mmpretrain.models
print(MODELS.get('VisionTransformer').__name__, sys.modules['mmpretrain.utils.dependency'].WITH_MULTIMODAL)
"""  # noqa: E501


def test_encoders_can_be_had_beside_a_new_transformers(tmp_path):
    # mmpretrain asks for the installed version alone, and then imports names that are gone
    (tmp_path / 'transformers-5.24.0.dist-info').mkdir()
    metadata = 'Metadata-Version: 2.1\nName: transformers\nVersion: 5.24.0\n'
    (tmp_path / 'transformers-5.24.0.dist-info' / 'METADATA').write_text(metadata)
    paths = [str(tmp_path), *filter(None, [os.environ.get('PYTHONPATH')])]
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, '-c', CODE], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == 'VisionTransformer False'
