"""Where the images and labels of a YOLO data set lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from ..formats.errors import AnnotationError, shorten
from ..formats.plain_file import read_plain_file
from .files import is_picture, pictures_below, text_of
from .findings import Findings
from .registry import ReadOptions

SPLITS = ('train', 'val', 'test')


@dataclass
class Layout:
    """A data set.

    Attributes:
        root: its folder; everything lies below it.
        names: class number -> name.
        images: split and path of each image; '' without splits.
        has_keypoints: rows go on with keypoints after the box.
    """

    root: Path
    names: dict[int, str] = field(default_factory=dict)
    images: list[tuple[str, Path]] = field(default_factory=list)
    has_keypoints: bool = False


def layout_of(source: Path, options: ReadOptions, findings: Findings) -> Layout:
    """Find the images of a data set; raises as `read_yolo` does."""
    source = Path(source)
    described: dict[str, Any] = {}
    if source.is_dir():
        found = sorted([*source.glob('*.yaml'), *source.glob('*.yml')])
        if len(found) > 1:
            raise AnnotationError(
                f'{source}: several .yaml files ({", ".join(p.name for p in found)}); give one'
            )
        source, folder = (found[0] if found else source), source
    else:
        folder = source.parent
    if source.is_file():
        described = _read_yaml(source)
    root = _root(described.get('path'), folder, source, options)
    layout = Layout(root, _names(described, root, source), has_keypoints='kpt_shape' in described)
    _find_images(layout, described, source, options, findings)
    if not layout.images:
        raise AnnotationError(f'{source}: no images found below {root}')
    return layout


def label_file(image: Path, root: Path) -> Path:
    """The label file of an image: the last folder `images` becomes `labels`, the ending .txt."""
    parts = list(image.relative_to(root).parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == 'images':
            parts[place] = 'labels'
            break
    else:
        if (root / 'labels').is_dir():
            parts.insert(0, 'labels')
    return root.joinpath(*parts).with_suffix('.txt')


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        described = yaml.safe_load(text_of(read_plain_file(path)[0], path))
    except yaml.YAMLError as error:
        raise AnnotationError(f'{path}: not valid YAML ({" ".join(str(error).split())})') from None
    if not isinstance(described, dict):
        raise AnnotationError(f'{path}: expected train, val and names, got {shorten(described)}')
    return described


def _root(stated: object, folder: Path, source: Path, options: ReadOptions) -> Path:
    if options.img_root is not None:
        return options.img_root
    if stated is None:
        return folder
    path = folder / str(stated)
    # often the path of another machine, or relative to Ultralytics' folder of data sets
    if not path.is_dir() or path.resolve() == folder.resolve():
        return folder
    if not path.resolve().is_relative_to(folder.resolve()):
        raise AnnotationError(
            f"{source}: `path` {shorten(stated, 200)} leads out of the file's folder; if that is "
            f'meant, add --img-root {path}'
        )
    return path


def _names(described: dict[str, Any], root: Path, source: Path) -> dict[int, str]:
    names = described.get('names')
    if names is None:
        # beside Label Studio's labels, in Darknet's and CVAT's "YOLO 1.1"
        for listed in (root / n for n in ('classes.txt', 'labels/classes.txt', 'obj.names')):
            if listed.is_file():
                names = text_of(read_plain_file(listed)[0], listed).split('\n')
                names = [name.strip('\r') for name in names if name.strip()]
                break
    if names is None:
        return {number: f'class {number}' for number in range(_count(described.get('nc')))}
    if isinstance(names, (list, tuple)):
        return {number: str(name) for number, name in enumerate(names)}
    if isinstance(names, dict) and all(type(n) is int and 0 <= n < 10**6 for n in names):
        return {number: str(name) for number, name in names.items()}
    raise AnnotationError(
        f'{source}: `names` must be a list, or numbers from 0 with a name each, got '
        f'{shorten(names)}'
    )


def _count(number: object) -> int:
    return number if type(number) is int and 0 <= number < 10**6 else 0


def _find_images(
    layout: Layout,
    described: dict[str, Any],
    source: Path,
    options: ReadOptions,
    findings: Findings,
) -> None:
    splits = {key: described[key] for key in SPLITS if described.get(key)}
    if described.get('valid') and 'val' not in splits:
        splits['val'] = described['valid']
    if options.split is not None:
        if options.split not in splits:
            there = ', '.join(splits) or 'none'
            raise AnnotationError(f'{source}: no split {options.split!r}; there are: {there}')
        splits = {options.split: splits[options.split]}
    for split in [s for s in splits if s != 'train' and splits[s] == splits.get('train')]:
        findings.note(f'`{split}` names the images of `train` and is taken for them')
        del splits[split]
    seen: dict[Path, str] = {}
    if not splits:
        for path in pictures_below(layout.root):
            layout.images.append(('', path))
        return
    for split, places in splits.items():
        for place in places if isinstance(places, list) else [places]:
            for path in _images_at(str(place), layout, source, findings):
                if path in seen:
                    if seen[path] != split:
                        findings.note(
                            f'image of {seen[path]} that is in {split} too',
                            path.relative_to(layout.root).as_posix(),
                        )
                    continue
                seen[path] = split
                layout.images.append((split if len(splits) > 1 else '', path))


def _images_at(place: str, layout: Layout, source: Path, findings: Findings) -> list[Path]:
    path = _inside(place, layout.root)
    if path is None or not path.exists():
        # Roboflow writes ../train/images for what lies beside data.yaml
        rest = place.replace('\\', '/')
        while rest.startswith(('../', './')):
            rest = rest.split('/', 1)[1]
        path = _inside(rest, layout.root)
    if path is None or not path.exists():
        raise AnnotationError(
            f'{source}: {shorten(place, 200)} is not there below {layout.root}; correct it, or '
            'say --img-root'
        )
    if path.is_dir():
        return pictures_below(path)
    if path.suffix.lower() != '.txt':
        return [path] if is_picture(path.name) else []
    found = []
    for number, line in enumerate(text_of(read_plain_file(path)[0], path).splitlines(), start=1):
        if not line.strip():
            continue
        image = _inside(line.strip(), layout.root, path.parent)
        if image is None or not image.is_file():
            findings.lose('image of a list is not there', f'{path.name}:{number}: {line.strip()}')
        else:
            found.append(image)
    return found


def _inside(name: str, root: Path, beside: Path | None = None) -> Path | None:
    """A path below the root, told by its text; None where it leads out of it."""
    for start in (root, beside) if beside else (root,):
        parts: list[str] = []
        full = PurePosixPath(name.replace('\\', '/'))
        if full.is_absolute():
            try:
                full = PurePosixPath(Path(name).relative_to(root.resolve()).as_posix())
            except ValueError:
                return None
            start = root
        for part in (*start.relative_to(root).parts, *full.parts):
            if part == '..':
                if not parts:
                    break
                parts.pop()
            elif part != '.':
                parts.append(part)
        else:
            path = root.joinpath(*parts)
            if path.exists():
                return path
    return None
