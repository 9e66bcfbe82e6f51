"""What a run is asked to do, checked before anything starts."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..formats import AnnotationError, index_images, read_coco
from ..formats.coco import CocoStream
from ..formats.mask_check import mask_problem
from ..formats.paths import image_file_name, resolve_under
from ..formats.plain_file import sha256
from ..phase2.lvis_files import check_federated, dataset_type, is_federated
from ..phase2.own_data import check_same_classes, class_names

# What the steps leave in the work dir, the decisive one first; a restart removes it.
OUTPUTS = {
    'labeler': ('labeler', 'labeler.py'),
    'labeling': ('pseudo_masks.json', 'pseudo_masks.json.parts', 'labeling.json'),
    'masks': ('masks.json',),
    'report': ('report',),
    'segmenter': ('segmenter', 'segmenter.py'),
    'evaluation': ('evaluation',),
    'segmenter_gt': ('segmenter_gt', 'segmenter_gt.py'),
    'evaluation_gt': ('evaluation_gt',),
}
# and the run itself
OWN_FILES = frozenset(
    [name for names in OUTPUTS.values() for name in names]
    + ['state.json', 'summary.json', 'index.html', 'logs', '.lock']
)


@dataclass(frozen=True)
class Options:
    """Arguments of tools/run_two_phase.py; see its help.

    `labeler_options` and `segmenter_options` map dotted keys of configs to values,
    `label_options` are words of a command line.
    """

    ann: Path
    img_root: Path
    labeler: str
    segmenter: str
    work_dir: Path
    gpus: int = 1
    val_ann: Path | None = None
    val_img_root: Path | None = None
    gt_ann: Path | None = None
    labeler_checkpoint: Path | None = None
    labeler_options: Mapping[str, Any] = field(default_factory=dict)
    segmenter_options: Mapping[str, Any] = field(default_factory=dict)
    label_options: tuple[str, ...] = ()

    def check(self) -> tuple[str, ...]:
        """Refuse now what would fail after days of training.

        Returns:
            The names of the classes.

        Raises:
            ValueError: options that do not fit together.
            OSError: a file or folder is missing.
            AnnotationError: an annotation file cannot be used.
        """
        if self.gpus < 1:
            raise ValueError(f'--gpus must be at least 1, got {self.gpus}')
        if self.gpus > 1:
            from torch.cuda import device_count  # torch takes a second

            if 0 < device_count() < self.gpus:
                raise ValueError(f'--gpus is {self.gpus}, but this machine shows {device_count()}')
        if (self.val_ann is None) != (self.val_img_root is None):
            raise ValueError('--val-ann and --val-img-root go together; give both or none')
        if self.gt_ann is not None and self.val_ann is None:
            raise ValueError(
                '--gt-ann trains a twin on human masks to compute the retention rate, which takes '
                'human masks to evaluate both on; give --val-ann and --val-img-root too'
            )
        for name, folder in (('img-root', self.img_root), ('val-img-root', self.val_img_root)):
            if folder is not None and not folder.is_dir():
                raise OSError(f'--{name} {folder} is no folder')
        checkpoint = self.labeler_checkpoint
        if checkpoint is not None and not checkpoint.is_file():
            raise OSError(f'--labeler-checkpoint {checkpoint} is no file')
        if checkpoint is not None and self.work_dir.resolve() in checkpoint.resolve().parents:
            raise ValueError(
                f'--labeler-checkpoint {checkpoint} lies in --work-dir, which --restart empties; '
                'choose another --work-dir'
            )
        self._refuse_own_files()
        classes = class_names(self.ann)
        check_images(self.ann)
        for path in (self.val_ann, self.gt_ann):
            if path is not None:
                check_same_classes(path, classes, self.ann)
                check_images(path, self.val_img_root if path == self.val_ann else None)
                check_human_masks(path)
        if self.val_ann is not None and is_federated(self.val_ann):
            check_federated(self.val_ann)
        return classes

    def _refuse_own_files(self) -> None:
        """What a run writes, and a restart removes, cannot be what it reads."""
        own = self.work_dir.resolve()
        read = {
            '--ann': self.ann,
            '--val-ann': self.val_ann,
            '--gt-ann': self.gt_ann,
            '--labeler': Path(self.labeler),
            '--segmenter': Path(self.segmenter),
        }
        for name, path in read.items():
            if path is None or own not in path.resolve().parents:
                continue
            first = path.resolve().relative_to(own).parts[0]
            if first in OWN_FILES:
                raise ValueError(
                    f'{name} {path} is a file that the run in --work-dir {self.work_dir} writes '
                    'itself, or lies in a folder of it; copy it elsewhere, or choose another '
                    '--work-dir'
                )

    def arguments(self, configs: Mapping[str, str]) -> dict[str, Any]:
        """What the results depend on, as JSON can hold it: all but the folder and the GPUs.

        Args:
            configs: 'labeler', 'segmenter' -> text of the config that they name, so that a config
                or an annotation file that has changed since counts as another one.
        """
        found: dict[str, Any] = {}
        for name in ('ann', 'val_ann', 'gt_ann', 'labeler_checkpoint'):
            path = getattr(self, name)
            found[name] = path and f'{path.resolve()} (sha256 {sha256(path)[:16]})'
        for name in ('img_root', 'val_img_root'):
            path = getattr(self, name)
            found[name] = path and str(path.resolve())
        for name, text in configs.items():
            digest = hashlib.sha256(text.encode()).hexdigest()[:16]
            found[name] = f'{getattr(self, name)} (sha256 {digest})'
        for name in ('labeler_options', 'segmenter_options'):
            found[name] = {key: str(value) for key, value in sorted(getattr(self, name).items())}
        found['label_options'] = list(self.label_options)
        return found


def check_images(ann: Path, img_root: Path | None = None) -> None:
    """Refuse images that segmenters cannot find.

    Args:
        ann: a COCO-style file.
        img_root: folder in which each has to be; None asks for their names alone.

    Raises:
        AnnotationError: one has no file name, or is not there.
    """
    dataset_type(ann)
    if img_root is None:
        return
    for image in CocoStream(ann).value['images']:
        name = image_file_name(image)
        if img_root is not None and not resolve_under(img_root, name).is_file():
            raise AnnotationError(
                f'{ann}: image {name!r} is not in {img_root}; evaluation needs all of them'
            )


def check_human_masks(ann: Path) -> None:
    """Refuse a file that can be neither learned from nor evaluated on.

    Raises:
        AnnotationError: there is no annotation, or one has no mask or no area.
    """
    data = read_coco(ann)
    annotations, images = data['annotations'], index_images(data, ann)
    if not annotations:
        raise AnnotationError(f'{ann}: has no annotations; give a file with human masks')
    for annotation in annotations:
        for key in ('segmentation', 'area'):
            if annotation.get(key) in (None, []):
                raise AnnotationError(
                    f'{ann}: annotation {annotation.get("id")!r} has no `{key}`; human masks '
                    'must have one each'
                )
        image_id = annotation.get('image_id')
        image = images.get(image_id) if isinstance(image_id, Hashable) else None
        if image is None:
            raise AnnotationError(
                f'{ann}: annotation {annotation.get("id")!r} belongs to no image of the file '
                f'(image_id {image_id!r}); fix it'
            )
        problem = mask_problem(annotation, image)
        if problem:
            raise AnnotationError(
                f'{ann}: annotation {annotation.get("id")!r}: {problem}; human masks must have a '
                'pixel at least, and the size of their image'
            )
