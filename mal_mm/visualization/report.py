"""One HTML page that shows what the labeler did, to be looked through by a person."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mal_mm.evaluation import evaluate
from mal_mm.formats import AnnotationError, read_coco, read_json
from mal_mm.formats.mal_fields import head_of
from mal_mm.version import __version__

from . import overlay, pictures, summary

TEMPLATE_DIR = Path(__file__).parent / 'templates'
# Tells our own `images` folder from a user's, so that a new report never deletes theirs.
MARKER = '.mal_mm_report'
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
VIEWS = (
    ('masks', 'Pseudo-masks'),
    ('boxes', 'Boxes'),
    ('human', 'Human masks'),
    ('both', 'Side by side'),
    ('agreement', 'Agreement'),
    ('photo', 'Photo'),
)
HUMAN_VIEWS = ('human', 'both', 'agreement')


def write_report(
    pred: dict | str | Path,
    img_root: str | Path,
    out_dir: str | Path,
    gt: dict | str | Path | None = None,
    metrics: dict | str | Path | None = None,
    title: str = 'Pseudo-mask review',
    max_images: int = 24,
    max_instances: int = 60,
    seed: int = 0,
    skipped: Any = None,
) -> Path:
    """Write the review page of a labeled file with its pictures.

    The folder is complete in itself (relative links, no scripts or fonts from elsewhere).
    It is built beside `out_dir` and moved into place at the end; an earlier report there is
    replaced, other files there stay. Pictures that cannot be read are listed on the page.

    Args:
        pred: COCO dict or JSON file with pseudo-masks (`segmentation`, `mal_quality`).
        img_root: folder that `file_name` of the images is relative to.
        out_dir: folder for `index.html` and `images/`.
        gt: COCO dict or JSON file with human masks under the same annotation ids.
        metrics: what `mal_mm.evaluation.evaluate` returned, or its JSON file; by
            default computed when `gt` is given.
        title: headline of the page.
        max_images: number of images to show, drawn at random.
        max_instances: number of crops to show, half of them the lowest in quality, half
            drawn at random.
        seed: of the random draws.
        skipped: what the labeler skipped, see `summary.skip_groups`; by default
            `pred['mal_mm']['skipped']`.

    Returns:
        Path of `index.html`.

    Raises:
        ModuleNotFoundError: Jinja2 is not installed.
        AnnotationError: a file is not JSON or not COCO-style.
        FileExistsError: `out_dir/images` exists and was not written by a report.
    """
    template = load_template('report.html.j2')
    pred = pred if isinstance(pred, dict) else read_coco(pred)
    gt = gt if gt is None or isinstance(gt, dict) else read_coco(gt)
    metrics = metrics if metrics is None or isinstance(metrics, dict) else read_json(metrics)
    out_dir = Path(out_dir)
    _refuse_foreign_folder(out_dir)

    data = summary.collect(pred, gt)
    if metrics is None and gt is not None:
        try:
            metrics = evaluate(pred, gt)
        except AnnotationError as error:
            data.problems['scores against human masks'] = str(error)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    build_dir = Path(tempfile.mkdtemp(prefix=f'.{out_dir.name}-', dir=out_dir.parent))
    try:
        folder = build_dir / 'images'
        folder.mkdir()
        (folder / MARKER).touch()
        book = pictures.PictureBook(data, img_root, folder)
        figures = draw_figures(data, book, max_images, max_instances, seed)
        problems = list((data.problems | book.problems).items())
        page = template.render(
            title=title,
            version=__version__,
            seed=seed,
            quality_meaning=QUALITY_MEANING,
            provenance=_provenance(pred),
            skips=summary.skip_groups(data, _skipped(pred) if skipped is None else skipped),
            problems=problems[:MAX_PROBLEMS],
            problems_more=max(0, len(problems) - MAX_PROBLEMS),
            **figures,
            **headline_numbers(data, metrics, seed),
        )
        (build_dir / 'index.html').write_text(page, encoding='utf-8')
        return _move_into_place(build_dir, out_dir)
    finally:
        shutil.rmtree(build_dir, ignore_errors=True)


def headline_numbers(data: summary.ReviewData, metrics: dict | None, seed: int) -> dict:
    """Return every number and table that the template shows."""
    quality = data.quality[np.isfinite(data.quality)]
    scored = np.flatnonzero(np.isfinite(data.iou) & np.isfinite(data.quality))
    if len(scored) > MAX_SCATTER_POINTS:
        scored = np.sort(np.random.default_rng(seed).choice(scored, MAX_SCATTER_POINTS, False))
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


def draw_figures(
    data: summary.ReviewData,
    book: pictures.PictureBook,
    max_images: int,
    max_instances: int,
    seed: int,
) -> dict:
    """Choose images and instances, draw them, and return what the template needs."""
    chance = random.Random(seed)
    shuffled = list(data.images)
    chance.shuffle(shuffled)
    # Images with boxes first: an empty picture says nothing about masks.
    shuffled.sort(key=lambda image_id: not book.instances_of(image_id))
    images = _first_drawn(shuffled, book.image_figure, max_images)
    place = {image_id: i for i, image_id in enumerate(data.images)}
    images = [images[image_id] for image_id in sorted(images, key=place.__getitem__)]

    ranked = np.argsort(data.quality, kind='stable')
    ranked = [int(i) for i in ranked if np.isfinite(data.quality[i])]
    worst = _first_drawn(ranked, book.instance_figure, max_instances // 2)
    others = [i for i in range(len(data.annotations)) if i not in worst]
    chance.shuffle(others)
    sample = _first_drawn(others, book.instance_figure, max_instances - max_instances // 2)
    with_human = any('human' in figure['views'] for figure in images)
    return {
        'views': [(key, name) for key, name in VIEWS if with_human or key not in HUMAN_VIEWS],
        'images': images,
        'worst': list(worst.values()),
        'sample': list(sample.values()),
        'colors': {
            'mask': pictures.MASK_COLOR,
            'human': pictures.HUMAN_COLOR,
            'box': pictures.BOX_COLOR,
            'agreed': overlay.AGREED,
            'extra': overlay.EXTRA,
            'missed': overlay.MISSED,
        },
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


def _first_drawn(
    keys: Iterable[Any], draw: Callable[[Any], dict | None], number: int
) -> dict[Any, dict]:
    """Draw keys in turn until `number` worked; give up when far too many did not."""
    drawn: dict[Any, dict] = {}
    failures = 0
    for key in keys:
        if len(drawn) >= number or failures > 10 * number + 100:
            break
        figure = draw(key)
        if figure is None:
            failures += 1
        else:
            drawn[key] = figure
    return drawn


def load_template(name: str) -> Any:
    """A page of ours as a Jinja2 template, with the filters `count` and `decimal`.

    Raises:
        ModuleNotFoundError: Jinja2 is not installed.
    """
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'The HTML pages need Jinja2; install it with `pip install mal-mm[report]`.'
        ) from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE_DIR),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters['count'] = lambda number: f'{number:,}'
    environment.filters['decimal'] = lambda x, digits=3: '–' if x is None else f'{x:.{digits}f}'
    return environment.get_template(name)


def _skipped(pred: dict) -> Any:
    return head_of(pred).get('skipped')


def _provenance(pred: dict) -> list[tuple[str, str]]:
    """Return what the labeler noted down about its run, as plain text."""
    return [
        (str(key).replace('_', ' '), f'{value:g}' if isinstance(value, float) else str(value))
        for key, value in head_of(pred).items()
        if isinstance(value, (str, int, float, bool)) and value != ''
    ]


def _refuse_foreign_folder(out_dir: Path) -> None:
    folder = out_dir / 'images'
    if folder.exists() and not (folder / MARKER).exists():
        raise FileExistsError(
            f"'{folder}' exists and was not written by a report, so it is left alone; "
            'choose another output folder'
        )


def _move_into_place(build_dir: Path, out_dir: Path) -> Path:
    out_dir.mkdir(exist_ok=True)
    if (out_dir / 'images').exists():
        (out_dir / 'images').rename(build_dir / 'earlier')
    (build_dir / 'images').rename(out_dir / 'images')
    (build_dir / 'index.html').replace(out_dir / 'index.html')
    return out_dir / 'index.html'
