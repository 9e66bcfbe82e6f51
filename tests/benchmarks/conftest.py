from __future__ import annotations

import os
import sys

import cv2
import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope


@pytest.fixture(scope='session', autouse=True)
def folder_of_the_benchmarks(repo_root):
    """Scripts import what lies beside them; the threads that they set are for them alone."""
    environment, threads = dict(os.environ), (torch.get_num_threads(), cv2.getNumThreads())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'path', [str(repo_root / 'benchmarks'), *sys.path])
        yield
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(threads[0])
    cv2.setNumThreads(threads[1])


@pytest.fixture(autouse=True)
def nothing_of_mmengine_stays():
    """What scripts leave in mmengine's registers would end with their process."""
    registers = [cls._instance_dict for cls in (MMLogger, MessageHub, DefaultScope)]
    before = [dict(register) for register in registers]
    yield
    for register, instances in zip(registers, before, strict=True):
        register.clear()
        register.update(instances)
