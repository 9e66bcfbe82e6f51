"""Floating point operations of named stages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

Shape = Sequence[int]
Place = tuple[Any, str, str]


def _attention(q: Shape, k: Shape, v: Shape, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(q, k, v)


def _attention_backward(gradient: Shape, q: Shape, k: Shape, v: Shape, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(gradient, q, k, v)


# PyTorch's counter knows the attention of GPUs alone
_CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


@dataclass
class Work:
    """What a stage computes.

    Args:
        flops: operations of its matrix products, convolutions and attention.
        bf16: whether it handles bfloat16.
    """

    flops: float = 0
    bf16: bool = False


class _Watch(TorchDispatchMode):
    """Knows whether any operation since the last `reset` has read bfloat16."""

    seen = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen |= any(torch.is_tensor(a) and a.dtype == torch.bfloat16 for a in args)
        return func(*args, **(kwargs or {}))


def count_flops(work: Callable[[], object], places: Sequence[Place]) -> dict[str, Work]:
    """What each stage computes while `work` is done once.

    Args:
        work: is done in this thread.
        places: (where a function is looked up, its name there, name of the stage).

    Returns:
        Name of the stage -> its work; all of it under ''.
    """
    counts: dict[str, Work] = defaultdict(Work)
    with ExitStack() as stack:
        counter = stack.enter_context(
            FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION)
        )
        watch = stack.enter_context(_Watch())

        def counted(function: Callable, stage: str) -> Callable:
            def call(*args: Any, **kwargs: Any) -> Any:
                before, outside, watch.seen = counter.get_total_flops(), watch.seen, False
                try:
                    return function(*args, **kwargs)
                finally:
                    counts[stage].flops += counter.get_total_flops() - before
                    counts[stage].bf16 |= watch.seen
                    watch.seen |= outside

            return call

        for place, name, stage in places:
            function, own = getattr(place, name), name in vars(place)
            setattr(place, name, counted(function, stage))
            undo = (setattr, place, name, function) if own else (delattr, place, name)
            stack.callback(*undo)
        work()
        counts[''] = Work(counter.get_total_flops(), watch.seen)
    return counts
