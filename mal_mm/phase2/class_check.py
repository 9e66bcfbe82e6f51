"""Before training: do heads, classes and files speak of the same classes?"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config

from ..formats.errors import AnnotationError, shorten

# their `num_classes` does not count the classes of instances
_OTHER_HEADS = ('semantic_head', 'rpn_head', 'data_preprocessor')
_COUNTS = ('num_things_classes', 'num_classes')


class ClassError(AnnotationError):
    """Model and data do not have the same classes; says which key to change."""


def check_heads(cfg: Config, classes: Sequence[str], source: str) -> None:
    """Make sure that every head counts as many classes as there are.

    One that counts fewer trains with a loss of 0 or wrong labels, one that counts more stops at
    the first validation.

    Args:
        cfg: the whole config.
        classes: of the training data.
        source: where they come from, for the error.

    Raises:
        ClassError: a head counts others; names its key.
    """
    wrong = {
        place: number
        for place, number in _counting_heads(cfg.get('model') or {}, 'model')
        if number != len(classes)
    }
    if wrong:
        place, number = next(iter(wrong.items()))
        more = f', and {len(wrong) - 1} more' if len(wrong) > 1 else ''
        options = ' '.join(f'{each}={len(classes)}' for each in wrong)
        raise ClassError(
            f'{place} is {number}{more}, but the training data has {len(classes)} classes '
            f'({shorten(list(classes))}, from {source}): say --cfg-options {options}'
        )


def check_names(path: str, categories: Mapping[Any, Any], kept: Sequence[Any]) -> None:
    """Refuse a file in which two categories that count have the same name.

    Args:
        path: of the file.
        categories: id -> name.
        kept: ids of the categories that the dataset keeps.

    Raises:
        ClassError: two have; names them.
    """
    ids = defaultdict(list)
    for each in kept:
        ids[categories[each]].append(each)
    for name, same in ids.items():
        if len(same) > 1:
            raise ClassError(
                f'{path}: categories {" and ".join(map(repr, same))} are both called {name!r}, '
                'and MMDetection tells classes apart by their names; rename one or take it out '
                "of the file's 'categories' (Roboflow adds a root category that no annotation has)"
            )


def check_same_classes(train: Sequence[str], val: Sequence[str], split: str) -> None:
    """Refuse validation data with other classes than the training data.

    Raises:
        ClassError: they differ.
    """
    if tuple(train) != tuple(val):
        raise ClassError(
            f'the training data has the classes {shorten(list(train))}, the data of '
            f'{split}_dataloader {shorten(list(val))}: give {split}_dataloader.dataset.metainfo '
            'the same classes in the same order'
        )


def _counting_heads(node: Any, place: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, Mapping):
        # as the model would: a default that no config states counts as well
        named = str(node.get('type', '')).endswith('Head')
        kind = MODELS.get(node['type']) if named and isinstance(node['type'], str) else None
        for key in _COUNTS:
            number = node.get(key, _default(kind, key))
            if isinstance(number, int) and (named or key == 'num_things_classes'):
                yield f'{place}.{key}', number
                break
        inner = [(key, value) for key, value in node.items() if key not in _OTHER_HEADS]
    else:
        inner = list(enumerate(node)) if isinstance(node, (list, tuple)) else []
    for key, value in inner:
        yield from _counting_heads(value, f'{place}.{key}')


def _default(kind: type | None, key: str) -> Any:
    """What a class takes where nothing is given; its parents may be the ones to say so."""
    for each in getattr(kind, '__mro__', ()):
        parameter = inspect.signature(each.__init__).parameters.get(key)
        if parameter is not None:
            return parameter.default
    return None
