"""The review page: every mask of a labeled file, to be reviewed, marked and searched.

The folder works from the disk and without a network: `index.html`, its `assets`, `data` (an index
of all boxes and their run lengths) and, where they are copied, `images`.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mal_mm.evaluation import evaluate
from mal_mm.formats import AnnotationError, read_json
from mal_mm.formats.mal_fields import head_of
from mal_mm.formats.videos import read_annotations
from mal_mm.version import __version__

from . import summary
from .pages import ASSET_DIR, load_template, provenance
from .photos import COPY, FOLDER, LINK, SMALL, SMALL_SIDE, place_photos, relative_address
from .review_index import script_json, write_index

# in the order in which they use each other
SCRIPTS = (
    'store.js',
    'rle.js',
    'photos.js',
    'draw.js',
    'marks.js',
    'filter.js',
    'grid.js',
    'viewer.js',
    'controls.js',
    'keys.js',
    'main.js',
)
STYLES = ('base.css', 'review.css')
# Tells our own folders from a user's, so that a new report never deletes theirs.
MARKER = '.mal_mm_report'
FOLDERS = ('assets', 'data', FOLDER)
MAX_SCATTER_POINTS = 1500
MAX_PROBLEMS = 200
# mal_mm/labeling/quality.py in a sentence.
QUALITY_MEANING = (
    'Quality, from 0 to 1, orders the masks by how well they seem to fit: whether colours tell '
    'inside from outside, whether the mask reaches the four sides of its box, and how decided '
    'the labeler is; no human mask goes into it.'
)
SCORE_BARS = (
    ('pseudo-masks', 'masks'),
    ('ellipse in the box', 'inscribed_ellipse'),
    ('box filled', 'box_fill'),
)


@dataclass(frozen=True)
class ReviewPage:
    """What was written.

    Attributes:
        path: of `index.html`.
        boxes: boxes on the page.
        images: images that have boxes.
        photos: those of them whose photo is there.
        problem: the first reason why a photo is missing; None where none is.
    """

    path: Path
    boxes: int
    images: int
    photos: int
    problem: str | None = None

    def why_empty(self, img_root: str | Path) -> str:
        """A sentence about a page without a single picture."""
        if not self.boxes:
            return f'{self.path} shows no picture: the file has no boxes'
        return (
            f'{self.path} shows no picture: of {self.images} images with boxes none is there '
            f'({self.problem}); give the folder that the file names are relative to as '
            f'--img-root instead of {img_root}'
        )


def write_report(
    pred: dict | str | Path,
    img_root: str | Path,
    out_dir: str | Path,
    gt: dict | str | Path | None = None,
    metrics: dict | str | Path | None = None,
    title: str = 'Pseudo-mask review',
    images: str = LINK,
    file_name: str | None = None,
) -> ReviewPage:
    """Write the review page of a labeled file.

    The folder is built beside `out_dir` and moved into place at the end; an earlier report there
    is replaced, other files there stay. Pictures that are not there are listed on the page.

    Args:
        pred: COCO dict or JSON file with pseudo-masks (`segmentation`, `mal_quality`).
        img_root: folder that `file_name` of the images is relative to.
        out_dir: folder for `index.html` and what belongs to it.
        gt: COCO dict or JSON file with human masks under the same annotation ids.
        metrics: what `mal_mm.evaluation.evaluate` returned, or its JSON file; by
            default computed when `gt` is given.
        title: headline of the page.
        images: 'link': the page points to the photos where they lie, so that the folder must
            stay where it is beside them; 'copy': it takes copies of them along; 'small': copies
            of at most 640 pixels.
        file_name: what to call `pred` on exported marks; by default the name of its file.

    Raises:
        ModuleNotFoundError: Jinja2 is not installed.
        AnnotationError: a file is not JSON or not COCO-style.
        FileExistsError: `out_dir` has a folder of one of our names that no report wrote.
    """
    template = load_template('review.html.j2')
    if file_name is None:
        file_name = 'masks.json' if isinstance(pred, dict) else Path(pred).name
    pred = pred if isinstance(pred, dict) else read_annotations(pred)
    gt = gt if gt is None or isinstance(gt, dict) else read_annotations(gt)
    metrics = metrics if metrics is None or isinstance(metrics, dict) else read_json(metrics)
    out_dir = Path(out_dir)
    _refuse_foreign_folders(out_dir)

    data = summary.collect(pred, gt)
    if metrics is None and gt is not None:
        try:
            metrics = evaluate(pred, gt)
        except AnnotationError as error:
            data.problems['scores against human masks'] = str(error)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    build_dir = Path(tempfile.mkdtemp(prefix=f'.{out_dir.name}-', dir=out_dir.parent))
    try:
        for folder in FOLDERS:
            (build_dir / folder).mkdir()
            (build_dir / folder / MARKER).touch()
        for name in (*STYLES, *SCRIPTS):
            shutil.copyfile(ASSET_DIR / name, build_dir / 'assets' / name)
        keys = summary.images_with_boxes(data)
        photos = place_photos(
            [data.images.get(key) for key in keys],
            keys,
            img_root,
            out_dir,
            build_dir / FOLDER,
            images,
            data.mask_sizes,
        )
        head = write_index(data, photos, keys, build_dir / 'data')
        missing = {photo.name: photo.problem for photo in photos if photo.problem}
        problems = list((missing | data.problems).items())
        page = template.render(
            title=title,
            version=__version__,
            scripts=SCRIPTS,
            head_json=_markup(script_json({**head, 'fileName': file_name, 'photos': images})),
            quality_meaning=QUALITY_MEANING,
            photo_words=_photo_words(images, img_root, out_dir),
            provenance=provenance(head_of(pred)),
            skips=summary.skip_groups(data),
            problems=problems[:MAX_PROBLEMS],
            problems_more=max(0, len(problems) - MAX_PROBLEMS),
            number_without_photo=len(missing),
            **headline_numbers(data, metrics),
        )
        (build_dir / 'index.html').write_text(page, encoding='utf-8')
        _move_into_place(build_dir, out_dir)
    finally:
        shutil.rmtree(build_dir, ignore_errors=True)
    return ReviewPage(
        out_dir / 'index.html',
        len(data.annotations),
        len(photos),
        len(photos) - len(missing),
        next((f'{name}: {problem}' for name, problem in missing.items()), None),
    )


def headline_numbers(data: summary.ReviewData, metrics: dict | None) -> dict:
    """Return every number and table that the summary shows."""
    quality = data.quality[np.isfinite(data.quality)]
    scored = np.flatnonzero(np.isfinite(data.iou) & np.isfinite(data.quality))
    if len(scored) > MAX_SCATTER_POINTS:
        scored = np.sort(np.random.default_rng(0).choice(scored, MAX_SCATTER_POINTS, False))
    return {
        'number_of_images': len(data.images),
        'number_of_boxes': len(data.annotations),
        'number_of_masks': int(data.has_mask.sum()),
        'number_compared': int(np.isfinite(data.iou).sum()),
        'quality_median': float(np.median(quality)) if quality.size else None,
        'quality_bins': summary.quality_histogram(data.quality),
        'quality_unknown': int((~np.isfinite(data.quality)).sum()),
        'flags': summary.flag_counts(data),
        'scatter': [(data.quality[i], data.iou[i]) for i in scored],
        'correlation': metrics.get('quality_spearman') if metrics else None,
        'score': headline_score(metrics) if metrics else None,
        'sizes': summary.size_rows(data),
        'classes': summary.class_rows(data),
        'with_iou': bool(np.isfinite(data.iou).any()),
    }


def headline_score(metrics: dict) -> dict | None:
    """Return the mean IoU with human masks beside the floors, None where nothing was scored.

    Args:
        metrics: what `mal_mm.evaluation.evaluate` returned.

    Raises:
        ValueError: it is something else.
    """
    try:
        own = metrics['masks']
        if own['mean_iou'] is None:
            return None
        bars = [{'name': name, 'value': metrics[kind]['mean_iou']} for name, kind in SCORE_BARS]
        details = [('mean over classes', own['class_mean_iou'])]
        details += [
            (f'{size} ({entry["instances"]:,})', entry['mean_iou'])
            for size, entry in own['size'].items()
            if entry['instances']
        ]
        details += [
            (f'share with IoU ≥ {level}', share) for level, share in own['share_above'].items()
        ]
        missing = metrics['counts']['missing']
        number = own['instances']
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'`metrics` lacks {error}; give what tools/evaluate_pseudo_masks.py --out wrote'
        ) from error
    return {'number': number, 'missing': missing, 'bars': bars, 'details': details}


def _markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _photo_words(images: str, img_root: str | Path, out_dir: Path) -> str:
    """Where the photos are, for the page and for who moves it."""
    if images == LINK:
        where = relative_address(img_root, out_dir)
        return (
            f'The photos are not in this folder but in {where}, as seen from it: both have to '
            f'stay where they are, or write the page with --images {COPY} or {SMALL}.'
        )
    small = f', at most {SMALL_SIDE} pixels large' if images == SMALL else ''
    return f'This folder holds copies of the photos{small}; it can be moved as a whole.'


def _refuse_foreign_folders(out_dir: Path) -> None:
    for name in FOLDERS:
        folder = out_dir / name
        if folder.exists() and not (folder / MARKER).exists():
            raise FileExistsError(
                f"'{folder}' exists and was not written by a report, so it is left alone; "
                'choose another output folder'
            )


def _move_into_place(build_dir: Path, out_dir: Path) -> None:
    out_dir.mkdir(exist_ok=True)
    earlier = build_dir / 'earlier'
    earlier.mkdir()
    for name in FOLDERS:
        if (out_dir / name).exists():
            (out_dir / name).rename(earlier / name)
        (build_dir / name).rename(out_dir / name)
    (build_dir / 'index.html').replace(out_dir / 'index.html')
