"""Before training: would MMDetection ignore the masks of the annotation file?

Every annotation of the file is asked once, before a model is built (see `unused_masks.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset, CocoPanopticDataset
from mmdet.datasets.lvis import LVISV05Dataset, LVISV1Dataset
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import DATASETS, TRANSFORMS
from mmengine.config import Config
from mmengine.fileio import get_local_path
from mmengine.registry import Registry

from ..config_tree import class_of, metrics, parts, type_name
from ..datasets import LVISStyleDataset
from ..formats.coco import CocoStream, index_categories, index_images
from ..formats.errors import shorten
from ..formats.image_size import stated_size
from .class_check import check_heads, check_names, check_same_classes
from .lvis_files import dataset_type
from .missing_files import MaskFileError, missing_masks, path_of
from .unused_masks import LABEL, Problem, why_unused
from .val_file_check import IdWatch, check_val_file


def check_mask_file(cfg: Config) -> list[str]:
    """Make sure that training uses the masks of its annotation file.

    Looks at the COCO and LVIS datasets of `train_dataloader`, within wrappers too, whose masks
    are loaded by their pipeline or by one that a hook switches to. Reads each file once, holding
    its text.

    Args:
        cfg: the whole config.

    Returns:
        Warnings, one sentence each: annotations that training leaves out.

    Raises:
        MaskFileError: training would use no mask of a file, or not those that it holds as RLE, or
            end in a KeyError; says why and how to fix it.
        AnnotationError: a file is not COCO-style.
    """
    switches = {
        f'custom_hooks.{i}.switch_pipeline': hook.get('switch_pipeline')
        for i, hook in enumerate(cfg.get('custom_hooks') or ())
    }
    warnings = []
    classes: list[str] | None = None
    training = (cfg.get('train_dataloader') or {}).get('dataset')
    for place, dataset in _of_type(CocoDataset, DATASETS, training, 'train_dataloader.dataset'):
        pipelines = {f'{place}.pipeline': dataset.get('pipeline'), **switches}
        loaders = {
            name: loader
            for start, pipeline in pipelines.items()
            for name, loader in _of_type(LoadAnnotations, TRANSFORMS, pipeline, start)
            if loader.get('with_mask')
        }
        kind = _known_class(dataset)
        if not loaders or not dataset.get('ann_file') or issubclass(kind, CocoPanopticDataset):
            continue
        classes = _classes(dataset, kind)
        if classes is not None:
            check_heads(cfg, classes, f'{place}.metainfo')
        polygons = [name for name, each in loaders.items() if not each.get('poly2mask', True)]
        path = path_of(dataset)
        with get_local_path(path, backend_args=dataset.get('backend_args')) as local_path:
            if not Path(local_path).is_file():
                raise missing_masks(cfg, path, place)
            warnings += _check_file(CocoStream(local_path), path, dataset, kind, polygons)
    if classes is not None:
        for split in ('val', 'test'):
            check_evaluation(cfg, split, classes)
    return warnings


def check_evaluation(cfg: Config, split: str, classes: Sequence[str]) -> None:
    """Make sure that validation or test has the classes and a file that it can go by.

    Files that are not there are left to those who read them.

    Args:
        cfg: the whole config.
        split: 'val' or 'test'.
        classes: of the training data.

    Raises:
        AnnotationError: it has not; names the key, or the annotation and its field.
    """
    loader = cfg.get(f'{split}_dataloader') or {}
    place = f'{split}_dataloader.dataset'
    for _, dataset in _of_type(CocoDataset, DATASETS, loader.get('dataset'), place):
        kind = _known_class(dataset)
        val_classes = _classes(dataset, kind)
        if val_classes is None or issubclass(kind, CocoPanopticDataset):
            continue
        check_same_classes(classes, val_classes, split)
        path = Path(path_of(dataset))
        if dataset.get('backend_args') or not path.is_file():
            continue
        evaluators = metrics(cfg.get(f'{split}_evaluator'))
        scored = [
            _metrics(each)
            for each in evaluators
            if each.get('ann_file') and type_name(each) != 'LVISMetric'
        ]
        if scored and not issubclass(kind, LVISV05Dataset):
            check_val_file(path, any('segm' in each for each in scored))


def _metrics(evaluator: dict[str, Any]) -> Sequence[str]:
    metric = evaluator.get('metric', 'bbox')
    return [metric] if isinstance(metric, str) else list(metric)


def _classes(dataset: dict[str, Any], kind: type[CocoDataset]) -> list[str] | None:
    """Names of a dataset's classes; None where it takes them from elsewhere."""
    if issubclass(kind, LVISV05Dataset) and 'classes' not in (dataset.get('metainfo') or {}):
        return None
    classes = kind._load_metainfo(dataset.get('metainfo')).get('classes') or []
    return [classes] if isinstance(classes, str) else list(classes) or None


def _known_class(dataset: Any) -> type:
    """The class of a data set that `_of_type` has found."""
    kind = class_of(dataset, DATASETS)
    assert kind is not None, dataset
    return kind


def _of_type(
    wanted: type, registry: Registry, node: object, place: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Configs of `wanted` or its children anywhere in a config, each with its dotted place."""
    for where, part in parts(node, place):
        kind = class_of(part, registry)
        if isinstance(kind, type) and issubclass(kind, wanted):
            yield where, part


def _check_file(
    stream: CocoStream,
    path: str,
    dataset: dict[str, Any],
    kind: type[CocoDataset],
    polygon_loaders: Sequence[str],
) -> list[str]:
    images = _images(stream, path, kind)
    categories, warnings = _category_ids(stream, path, dataset, kind)
    min_size = 0 if dataset.get('test_mode') else (dataset.get('filter_cfg') or {}).get('min_size')
    as_polygon = Problem(
        'are RLE, which `LoadAnnotations(poly2mask=False)` ignores',
        'say --cfg-options ' + ' '.join(f'{name}.poly2mask=True' for name in polygon_loaders)
        + f", or add 'mal_mm::phase2/mal_masks.py' to `_base_`, or label with {LABEL} --polygons",
        stops=True,
    )  # fmt: skip
    problem_of = partial(
        why_unused,
        images=images,
        categories=categories,
        min_size=min_size or 0,
        rle_problem=as_polygon if polygon_loaders else None,
    )
    if not stream.count:
        raise MaskFileError(f'{path} has no annotations; give another file')
    numbers: Counter[Problem] = Counter()
    examples: dict[Problem, Any] = {}
    used = 0
    ids = IdWatch(path)
    for annotation in stream:
        ids.see(annotation)
        problem = problem_of(annotation)
        if problem is None:
            used += 1
            continue
        numbers[problem] += 1
        examples.setdefault(problem, annotation.get('id'))
    # what the file is refused for, then by number
    ranked = sorted(numbers, key=lambda each: (each.stops, numbers[each]), reverse=True)
    said = [
        f'{numbers[each]} of {stream.count} annotations {each.what} '
        f'(annotation {shorten(examples[each])}, for one)'
        for each in ranked
    ]
    if not used or (ranked and ranked[0].stops):
        verdict = 'would stop at' if used and ranked[0] != as_polygon else 'would not use'
        raise MaskFileError(
            f'training {verdict} the masks of {path}: {"; ".join(said)}. '
            f'To fix it: {ranked[0].fix}'
        )
    return warnings + [
        f'{path}: {sentence} and are left out; if that is not meant, {each.fix}'
        for each, sentence in zip(ranked, said, strict=True)
    ]


def _images(stream: CocoStream, path: str, kind: type[CocoDataset]) -> dict[Any, dict[str, Any]]:
    images = index_images(stream.value, path)
    needed = ['coco_url' if issubclass(kind, LVISV1Dataset) else 'file_name', 'width', 'height']
    if issubclass(kind, LVISStyleDataset):
        dataset_type(path)  # has looked for both names
        needed = needed[1:]
    for image_id, image in images.items():
        for key in needed:
            if image.get(key) is None:
                raise MaskFileError(
                    f'{path}: image {image_id!r} has no {key!r}, which {kind.__name__} needs; add '
                    f'it to each image, or take a dataset of another type'
                )
        if None in stated_size(image):
            raise MaskFileError(
                f'{path}: image {image_id!r} has width {shorten(image["width"])} and height '
                f'{shorten(image["height"])}, not whole numbers of pixels; fix its record'
            )
    return images


def _category_ids(
    stream: CocoStream, path: str, dataset: dict[str, Any], kind: type[CocoDataset]
) -> tuple[set[Any], list[str]]:
    """Ids of the categories that the dataset keeps, and warnings."""
    categories = index_categories(stream.value, path) or {}
    if issubclass(kind, LVISV05Dataset):  # keeps all, whatever their names
        return set(categories), []
    classes = kind._load_metainfo(dataset.get('metainfo'))['classes']
    classes = [classes] if isinstance(classes, str) else list(classes)
    names = {each: category.get('name') for each, category in categories.items()}
    kept = {each: name for each, name in names.items() if name in classes or not classes}
    if not kept:
        raise MaskFileError(
            f'training would drop every annotation of {path}: its categories '
            f'{shorten(list(names.values()))} and the classes of its dataset {shorten(classes)} '
            'share no name. To fix it: set `metainfo=dict(classes=...)` of the datasets of the '
            "config to the file's names and `num_classes` of its heads to their number"
        )
    check_names(path, names, list(kept))
    swapped = [pair for pair in zip(kept.values(), classes, strict=False) if len(set(pair)) > 1]
    if not swapped:
        return set(kept), []
    return set(kept), [
        f'{path}: lists its categories in another order than the classes of its dataset, and '
        'MMDetection numbers them as the file does: {!r} gets the number of {!r}; give the '
        'validation file the same order'.format(*swapped[0])
    ]
