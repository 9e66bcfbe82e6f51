"""`--cfg-options`: words become settings; a misspelt key is an error, not one without effect."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from mmengine.config import Config, DictAction

# what a Runner knows and a config need not have
_KNOWN = frozenset(
    [
        *('model', 'work_dir', 'data_preprocessor', 'load_from', 'resume', 'launcher', 'env_cfg'),
        *('train_dataloader', 'val_dataloader', 'test_dataloader'),
        *('train_cfg', 'val_cfg', 'test_cfg', 'val_evaluator', 'test_evaluator'),
        *('auto_scale_lr', 'optim_wrapper', 'param_scheduler', 'default_hooks', 'custom_hooks'),
        *('log_processor', 'log_level', 'visualizer', 'vis_backends', 'default_scope'),
        *('randomness', 'experiment_name', 'model_wrapper_cfg', 'cfg', 'custom_imports'),
        *('find_unused_parameters', 'sync_bn', 'runner_type', 'compile', 'num_classes'),
        *('tta_model', 'tta_pipeline', 'mal_ann_file', 'mal_min_quality', 'mal_quality_weight'),
    ]
)


def parse_options(words: Sequence[str] | None) -> dict[str, Any]:
    """Read the words of `--cfg-options`, as MMDetection does.

    Args:
        words: such as 'train_cfg.max_epochs=2' and 'key=[a,b]'; None: there are none.

    Returns:
        Dotted key -> value.

    Raises:
        ValueError: a word without '='.
    """
    for word in words or ():
        if '=' not in word:
            raise ValueError(f'--cfg-options takes KEY=VALUE, got {word!r}')
    if not words:
        return {}
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args(['--cfg-options', *words]).cfg_options


def check_option_keys(cfg: Config, keys: Iterable[str]) -> list[str]:
    """Look for keys that only seem to change a config; call it before they are merged in.

    Args:
        cfg: the config.
        keys: dotted, as given to --cfg-options.

    Returns:
        Warnings: the last part of a key is new in its place, which may be meant.

    Raises:
        ValueError: the place that a key names does not exist; says what it may be meant to be.
    """
    warnings = []
    for key in keys:
        node: Any = cfg
        *parts, last = key.split('.')
        for depth, part in enumerate(parts):
            known = _keys(node)
            if part not in known:
                if depth == 0 and part in _KNOWN:
                    break
                raise ValueError(_said(key, '.'.join(parts[:depth]), part, known))
            node = node[int(part)] if isinstance(node, (list, tuple)) else node[part]
            if node is None:
                break
        else:
            known = _keys(node)
            if last in known or (not parts and last in _KNOWN):
                continue
            said = _said(key, '.'.join(parts), last, known | (frozenset() if parts else _KNOWN))
            if not parts:
                raise ValueError(said)
            if 'did you mean' in said:
                warnings.append(said)
    return warnings


def _keys(node: Any) -> set[str]:
    if isinstance(node, (list, tuple)):
        return {str(number) for number in range(len(node))}
    return set(node.keys()) if hasattr(node, 'keys') else set()


def _said(key: str, place: str, part: str, known: set[str]) -> str:
    close = difflib.get_close_matches(part, known, 1, 0.75)
    hint = f'did you mean {close[0]!r}?' if close else f'there are {", ".join(sorted(known)[:8])}'
    return f'--cfg-options {key}: the config has no {part!r}' + (
        f' in {place!r}; {hint}' if place else f'; {hint}'
    )
