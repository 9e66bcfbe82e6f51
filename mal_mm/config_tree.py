"""Walk a config: its parts, its innermost datasets, its transforms; and what all of ours carry.

A config is a tree of dicts and lists. Transforms hide in other transforms (RandomChoice) and in
hooks (PipelineSwitchHook), datasets in wrappers (RepeatDataset, ConcatDataset), and a pure-Python
config names classes instead of strings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import Registry


def type_name(node: Any) -> str:
    """'CocoDataset' of type='CocoDataset', type='mmdet.CocoDataset' or type=CocoDataset; else ''.

    Args:
        node: a part of a config, such as a transform or a dataset.
    """
    kind = node.get('type') if isinstance(node, Mapping) else None
    name = kind if isinstance(kind, str) else getattr(kind, '__name__', '')
    return name.rpartition('.')[-1]


def class_of(node: Mapping[str, Any], registry: Registry) -> type | None:
    """The class that a part names; None where there is none of that name."""
    kind = node.get('type')
    return registry.get(kind) if isinstance(kind, str) else kind


def parts(tree: Any, place: str = '') -> Iterator[tuple[str, ConfigDict]]:
    """All dicts of a config at any depth, the outer ones first, each with its dotted place.

    Args:
        tree: a config or a part of one.
        place: of `tree` itself.
    """
    if isinstance(tree, Mapping):
        yield place, tree
        inner: list[tuple[Any, Any]] = list(tree.items())
    else:
        inner = list(enumerate(tree)) if isinstance(tree, (list, tuple)) else []
    for key, value in inner:
        yield from parts(value, f'{place}.{key}' if place else str(key))


def typed_parts(tree: Any, *names: str) -> Iterator[ConfigDict]:
    """The parts that have a `type`; with names, those of them alone."""
    for _, part in parts(tree):
        name = type_name(part)
        if name and (not names or name in names):
            yield part


def innermost_datasets(dataset: Any) -> list[ConfigDict]:
    """The datasets that read files, below RepeatDataset, ConcatDataset, RoIDataset and the like.

    Args:
        dataset: of a dataloader's config; None: there is none.
    """
    if not isinstance(dataset, Mapping):
        return []
    inner = [dataset['dataset']] if 'dataset' in dataset else dataset.get('datasets')
    if inner is None:
        return [dataset]
    return [leaf for each in inner for leaf in innermost_datasets(each)]


def keep_one_dataset(loader: Any) -> ConfigDict:
    """The one dataset of a dataloader that reads a file; of several joined ones the first stays.

    Args:
        loader: config of a dataloader; wrappers that join datasets are taken out of it, in place.
    """
    holder, dataset = loader, loader['dataset']
    while 'dataset' in dataset or 'datasets' in dataset:
        if 'datasets' in dataset:
            holder['dataset'] = dataset = dataset['datasets'][0]
        else:
            holder, dataset = dataset, dataset['dataset']
    return dataset


def metrics(evaluator: Any) -> list[ConfigDict]:
    """The metrics of an evaluator's config, which may be one, several, or None."""
    if evaluator is None:
        return []
    return list(evaluator) if isinstance(evaluator, (list, tuple)) else [evaluator]


def import_mal_mm(cfg: Config) -> None:
    """Let the config import mal_mm, in place, so that MMDetection's own tools build it too."""
    imports = (cfg.get('custom_imports') or {}).get('imports') or []
    imports = [imports] if isinstance(imports, str) else list(imports)
    if 'mal_mm' not in imports:
        cfg.custom_imports = dict(imports=[*imports, 'mal_mm'], allow_failed_imports=False)
