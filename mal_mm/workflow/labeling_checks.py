"""What the tools that draw masks can tell before they need torch: arguments, files, configs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..checkpoints.errors import refuse_missing
from ..checkpoints.hub_folder import use_hub_folder
from ..checkpoints.public_weights import use_local_weights
from ..compat.config_bases import find_config
from ..compat.config_options import check_option_keys, parse_options
from ..formats.detections import DetectionStream
from ..formats.videos import open_annotations


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse now what would fail after hours of labeling."""
    check_places(args.img_root, {'--out': args.out, '--summary': args.summary})
    check_machine(args)
    if args.redo and (args.only_missing or getattr(args, 'boxes', None)):
        raise ValueError(
            '--redo draws masks again that a review has marked; leave out --only-missing and '
            '--boxes, which choose other ones'
        )
    for name, values, low, high in (
        ('--min-quality', [args.min_quality], 0, 1),
        ('--polygons', [args.polygons] if args.polygons is not None else [], 0, 100),
        ('--margin', args.margin or [], 0, 10),
    ):
        for value in values:
            if not low <= value <= high:  # NaN neither
                raise ValueError(f'{name} must be from {low} to {high}, got {value}')


def check_places(img_root: Path, outputs: Mapping[str, Path | None]) -> None:
    """Refuse a folder of images that is none, and files that cannot be written.

    Args:
        img_root: of the images.
        outputs: what people call it ('--out') -> file; None: not asked for.

    Raises:
        OSError: says which.
    """
    if not img_root.is_dir():
        raise OSError(f'--img-root {img_root} is no folder')
    for name, path in outputs.items():
        if path and not path.parent.is_dir():
            raise OSError(f'{name} {path}: the folder {path.parent} does not exist')
        if path and path.is_dir():
            raise OSError(f'{name} {path} is a folder; give the name of a file')


def check_annotations(ann: Path, detections: Path | None = None) -> None:
    """Read the file through before torch and weights are loaded, which takes seconds.

    Raises:
        AnnotationError: it is missing, broken or of another kind.
    """
    if detections is None:
        open_annotations(ann)
    else:
        DetectionStream(ann, detections)


def check_machine(args: argparse.Namespace) -> None:
    """Refuse numbers of threads and crops that are none; ValueError."""
    if args.threads < 1:
        raise ValueError(f'--threads must be at least 1, got {args.threads}')
    if args.batch_size != 'auto' and not args.batch_size.isdigit():
        raise ValueError(f'--batch-size must be a number from 1, or auto, got {args.batch_size!r}')


def read_config(name: str, cfg_options: Sequence[str] | None) -> Config:
    """A config with `--cfg-options` applied.

    Raises:
        FileNotFoundError: there is no such config.
    """
    config = Config.fromfile(find_config(name))
    changes = parse_options(cfg_options)
    for warning in check_option_keys(config, changes):
        print(f'warning: {warning}', file=sys.stderr)
    config.merge_from_dict(changes)
    return config


def is_untrained(model: Mapping[str, Any]) -> bool:
    """Whether the config of a model is that of a labeler without training.

    The answer is known of our own; of others their classes are asked, which are imported.
    """
    known = {'InstantLabeler': True, 'PromptedLabeler': True, 'MaskAutoLabeler': False}
    if model['type'] in known:
        return known[model['type']]
    from ..models.untrained_labeler import is_untrained as ask_class

    return ask_class(model)


def find_weights(
    config: Config, args: argparse.Namespace, checkpoint: str | Path | None = None
) -> None:
    """Find what a labeler draws with, or fetch it where that is allowed.

    Args:
        config: of the labeler; where it needs no training, files of this machine take the places
            of names and addresses in it.
        args: `weights` and `download` of mal_mm_cli/labeling_options.py.
        checkpoint: of one that was trained.

    Raises:
        CheckpointError: a file is missing; says how to get it.
    """
    if checkpoint is not None:
        refuse_missing(checkpoint)
    elif is_untrained(config.model):
        use_local_weights(config.model, args.weights, args.download or ask)
        use_hub_folder(config.model, args.weights, args.download or ask)


def untrained_configs(args: argparse.Namespace) -> dict[str, Config]:
    """The configs of the labelers of `mal-mm label` that need no training, with their weights.

    Args:
        args: of mal_mm_cli/label.py.

    Returns:
        'instant' and 'also_1', 'also_2', ... -> config.

    Raises:
        FileNotFoundError: there is no such config.
        ValueError: one is of a labeler that is trained, or there is nothing to train with.
        AnnotationError, CheckpointError: as `check_annotations` and `find_weights`.
    """
    configs = {'instant': _untrained_config(args.config, '--config', args.cfg_options)}
    for number, name in enumerate(args.also or (), 1):
        configs[f'also_{number}'] = _untrained_config(name, '--also')
    if args.method != 'instant':
        find_config(args.train_config)
        if configs['instant'].model.type != 'InstantLabeler':
            raise ValueError(
                f'--config {args.config} has no encoder to train a labeler with: add --method '
                f'instant, or compare its masks with ours by --also {args.config}'
            )
    check_annotations(args.ann)
    for config in configs.values():
        find_weights(config, args)
    return configs


def _untrained_config(name: str, option: str, cfg_options: Sequence[str] | None = None) -> Config:
    config = read_config(name, cfg_options)
    if not is_untrained(config.model):
        raise ValueError(
            f'{option} must be of a labeler without training (configs/mal/instant_*, '
            f'configs/mal/sam_*), got {name}'
        )
    return config


def write_page(args: argparse.Namespace) -> None:
    """Write the page with pictures of `args.out`, if one was asked for."""
    if args.report:
        from ..visualization.report import write_report

        page = write_report(args.out, args.img_root, args.report)
        print(f'wrote {page.path}', flush=True)
        if not page.photos:
            print(page.why_empty(args.img_root), file=sys.stderr)


def ask(question: str) -> bool:
    """Ask a person, if there is one."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(f'{question} [y/N] ', end='', file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ('y', 'yes')
