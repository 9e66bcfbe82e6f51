"""How the formula of `mal_quality` was chosen, and how well it orders masks by their true IoU.

Labels data sets that have true masks, compares every signal that could tell a good mask with the
IoU, ranks exponents of the product by the --fit sets and judges the formula in use on all sets.
docs/quality.md holds the numbers.

    python tools/make_sample_dataset.py shapes data/shapes
    python benchmarks/fit_quality.py configs/mal/small_set.py \
        $(cat work_dirs/small_set/last_checkpoint) --fit data/shapes/train_gt.json \
        --check data/shapes/unseen_gt.json --limit 500 --cache quality.npz
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path

import common  # first: it sets the threads, which libraries read when they are loaded
import numpy as np
import torch
from scipy.stats import rankdata, spearmanr
from torch import Tensor

from mal_mm.apis import MaskLabeler
from mal_mm.evaluation.mask_iou import mask_iou
from mal_mm.formats.coco import read_coco
from mal_mm.formats.rle import annotation_to_rle
from mal_mm.geometry import draw_box_masks
from mal_mm.labeling import engine as engine_module
from mal_mm.labeling import quality as Q
from mal_mm.labeling.image_io import read_image
from mal_mm.models import MaskAutoLabeler

OPTIONS = {
    'plain': dict(network='teacher', flip=False, refine=False, mask_threshold=0.5),
    'cut 0.1': dict(network='teacher', flip=False, refine=False, mask_threshold=0.1),
    'flip': dict(network='teacher', flip=True, refine=False, mask_threshold=0.5),
    'refine': dict(network='teacher', flip=False, refine=True, mask_threshold=0.5),
    'flip, refine': dict(network='teacher', flip=True, refine=True, mask_threshold=0.5),
    'both, flip, refine': dict(network='both', flip=True, refine=True, mask_threshold=0.5),
}
FACTORS = ('separation', 'tightness', 'decidedness')
EXPONENTS = (0, 0.5, 1, 2)
IN_USE = (0.5, 1, 1)
Signals = dict[str, np.ndarray]


# -- signals --------------------------------------------------------------------------------------


def soft_iou(a: Tensor, b: Tensor) -> Tensor:
    """(N, s, s) in [0, 1] each -> (N,)."""
    return torch.minimum(a, b).sum((1, 2)) / torch.maximum(a, b).sum((1, 2)).clamp(min=1e-6)


def signals_of(
    model: MaskAutoLabeler,
    crops: list,
    probs: Tensor,
    images: Tensor,
    boxes: Tensor,
    threshold: float,
) -> dict[str, Tensor]:
    """All signals of one batch; the last four as `mask_quality` gets them."""
    s = probs.shape[-1]
    S = images.shape[-1]
    crop_boxes = torch.from_numpy(np.stack([crop.crop_box for crop in crops]))
    sides = np.stack([crop.box[2:] - crop.box[:2] for crop in crops])
    box_areas = torch.from_numpy(sides.prod(1).astype(np.float32))
    box_masks = draw_box_masks(crop_boxes, S, s)
    masks = (probs > threshold).float()

    def view(network: str, view_images: Tensor) -> Tensor:
        maps = model.predict_maps(view_images, crop_boxes, box_areas, network)
        return maps.sigmoid()

    teacher = view('teacher', images) * box_masks
    on_grid = Q.to_grid(probs, s)
    log_odds = probs.clamp(1e-6, 1 - 1e-6).logit() - float(np.log(threshold / (1 - threshold)))
    # released with the first version: both at 0.5, against the box mask
    on_map = crop_boxes * (s / S)
    former = Q.tightness(probs, on_map, 0.5) * Q.decidedness(probs, 0.5)
    return {
        'separation': Q.colour_separation(on_grid > threshold, images),
        'tightness': Q.tightness(probs, boxes, threshold),
        'decidedness': Q.decidedness(on_grid, threshold),
        'tightness to the box mask': Q.tightness(probs, on_map, threshold),
        'stability, 1 in log-odds': (log_odds > 1).float().sum((1, 2))
        / (log_odds > -1).float().sum((1, 2)).clamp(min=1),
        'student and teacher agree': soft_iou(teacher, view('student', images) * box_masks),
        'mirrored view agrees': soft_iou(
            teacher, view('teacher', images.flip(-1)).flip(-1) * box_masks
        ),
        'fill': masks.sum((1, 2)) / box_masks.sum((1, 2)).clamp(min=1),
        'shorter side of the box': torch.from_numpy(sides.min(1)),
        'former formula': former,
        'quality': Q.mask_quality(probs, images, boxes, threshold),
    }


@torch.inference_mode()
def label_set(labeler: MaskLabeler, path: Path, options: dict, limit: int) -> Signals:
    """Label a COCO file with true masks, through the engine.

    Args:
        labeler: trained.
        path: the file; its folder is the image root.
        options: of the engine.
        limit: stop after the image with which so many boxes are reached.

    Returns:
        'iou' and the signals, (n,) each.
    """
    settings = {**labeler.model.test_cfg, 'crop_size': labeler.engine.crop_size, **options}
    engine = engine_module.LabelingEngine(labeler.model, **settings)
    data = read_coco(path)
    by_image: dict = {}
    for annotation in data['annotations']:
        by_image.setdefault(annotation['image_id'], []).append(annotation)
    batches: list[Signals] = []
    crops: list = []

    def record(*arguments: Tensor) -> Tensor:
        pixels = [torch.from_numpy(crop.pixels).permute(2, 0, 1) for crop in crops]
        images = labeler.model.data_preprocessor.normalise(pixels)
        probs, _, boxes, _ = arguments
        found = signals_of(labeler.model, crops, probs, images, boxes, options['mask_threshold'])
        batches.append(found)
        return found['quality']

    engine_module.mask_quality, real = record, engine_module.mask_quality
    try:
        ious: list[np.ndarray] = []
        for image in data['images']:
            annotations = by_image.get(image['id'], [])
            if not annotations or sum(map(len, ious)) >= limit:
                continue
            boxes = np.array([a['bbox'] for a in annotations], dtype=np.float64)
            boxes[:, 2:] += boxes[:, :2]
            masks = []
            for crop in engine.make_crops(read_image(path.parent / image['file_name']), boxes):
                crops[:] = [crop]  # one by one: the engine batches by size
                masks += engine.label(crops)
            size = image['height'], image['width']
            truth = [annotation_to_rle(a, *size) for a in annotations]
            ious.append(mask_iou([mask.rle for mask in masks], truth))
    finally:
        engine_module.mask_quality = real
    found = {k: np.concatenate([batch[k].numpy() for batch in batches]) for k in batches[0]}
    return {'iou': np.concatenate(ious), **found}


# -- choosing and judging -------------------------------------------------------------------------


def product(signals: Signals, exponents: tuple[float, ...]) -> np.ndarray:
    """The three factors to these powers."""
    powers = [signals[name] ** power for name, power in zip(FACTORS, exponents, strict=True)]
    return np.prod(powers, axis=0)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's; 0 where one of both is constant."""
    return float(np.nan_to_num(spearmanr(a, b)[0])) if np.ptp(a) and np.ptp(b) else 0.0


def bad_mask_auroc(quality: np.ndarray, iou: np.ndarray, bad: float = 0.7) -> float:
    """Chance that a mask with IoU below `bad` has the lower quality of the two; nan: no such."""
    ranks, good = rankdata(quality), iou >= bad
    pairs = good.sum() * (~good).sum()
    return (ranks[good].sum() - good.sum() * (good.sum() + 1) / 2) / pairs if pairs else np.nan


def bootstrap(
    score: Callable[[np.ndarray, np.ndarray], float],
    quality: np.ndarray,
    iou: np.ndarray,
    rounds: int,
    seed: int,
) -> tuple[float, float]:
    """95 % interval of a score over boxes drawn with replacement."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(iou), (rounds, len(iou)))
    scores = [score(quality[draw], iou[draw]) for draw in draws]
    return tuple(np.nanpercentile(scores, (2.5, 97.5)))


def print_signals(results: dict[tuple[str, str], Signals]) -> None:
    """Rank correlation of each signal alone."""
    print('\n| signal alone | ' + ' | '.join(f'{s}, {o}' for s, o in results) + ' |')
    print('|---|' + '---|' * len(results))
    for name in list(next(iter(results.values())))[1:]:
        row = [f'{rank_correlation(r[name], r["iou"]):.2f}' for r in results.values()]
        print(f'| {name} | ' + ' | '.join(row) + ' |')


def print_exponents(results: dict[tuple[str, str], Signals]) -> None:
    """Mean rank correlation of the best products and of the one that is in use."""
    scored = {
        exponents: np.mean(
            [rank_correlation(product(r, exponents), r['iou']) for r in results.values()]
        )
        for exponents in itertools.product(EXPONENTS, repeat=len(FACTORS))
    }
    best = sorted(scored, key=scored.get, reverse=True)[:8]
    print(f'\nexponents of {", ".join(FACTORS)}: mean Spearman on the sets to fit')
    for exponents in dict.fromkeys([*best, IN_USE, (1, 1, 1), (1, 1, 0)]):
        print(f'  {exponents}  {scored[exponents]:.3f}')


def print_judgement(results: dict[tuple[str, str], Signals], rounds: int, seed: int) -> None:
    """The formula beside the former one, with bootstrap intervals."""
    print('\n| set | masks | n | IoU, 5 to 95 % | former | quality | AUROC, IoU < 0.7 |')
    print('|---|---|---|---|---|---|---|')
    for (name, option), r in results.items():
        iou, quality = r['iou'], r['quality']
        low, high = bootstrap(rank_correlation, quality, iou, rounds, seed)
        spread = ' to '.join(f'{q:.2f}' for q in np.quantile(iou, (0.05, 0.95)))
        print(
            f'| {name} | {option} | {len(iou)} | {spread} '
            f'| {rank_correlation(r["former formula"], iou):.2f} '
            f'| {rank_correlation(quality, iou):.2f} ({low:.2f} to {high:.2f}) '
            f'| {bad_mask_auroc(r["former formula"], iou):.2f} -> '
            f'{bad_mask_auroc(quality, iou):.2f} ({(iou < 0.7).sum()}) |'
        )


def parse_args() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    parser.add_argument('config', help='of a trained labeler')
    parser.add_argument('checkpoint')
    for role in ('fit', 'check'):
        parser.add_argument(
            f'--{role}',
            type=Path,
            nargs='+',
            default=[],
            metavar='GT.json',
            help=f'COCO files with true masks to {role} on; images lie beside them',
        )
    parser.add_argument(
        '--options', nargs='+', choices=list(OPTIONS), default=list(OPTIONS), help='(default: all)'
    )
    parser.add_argument('--limit', type=int, default=10**9, help='boxes of each set at most')
    parser.add_argument('--rounds', type=int, default=1000, help='of the bootstrap')
    parser.add_argument('--crop-size', type=int, help='(default: what the config says)')
    parser.add_argument('--cache', type=Path, help='.npz to keep the signals in, or to read them')
    parser.add_argument(
        '--add', type=Path, nargs='+', default=[], help='caches of other labelers, to fit on too'
    )
    return parser.parse_args()


def collect(args: argparse.Namespace) -> dict[tuple[str, str], Signals]:
    """Signals of every set with every option, from the caches if there are any."""
    if args.cache and args.cache.is_file():
        results: dict = {}
        for cache in [args.cache, *args.add]:
            for key, values in np.load(cache).items():
                name, option, signal = key.split('|')
                results.setdefault((name, option), {})[signal] = values
        return results
    labeler = MaskLabeler(
        args.config, args.checkpoint, device='cpu', crop_size=args.crop_size, batch_size=16
    )
    results = {
        (f'{path.parent.name}/{path.stem}', option): label_set(
            labeler, path, OPTIONS[option], args.limit
        )
        for path in args.fit + args.check
        for option in args.options
    }
    if args.cache:
        flat = {'|'.join((*k, signal)): v for k, r in results.items() for signal, v in r.items()}
        np.savez_compressed(args.cache, **flat)
    return results


def main() -> None:
    args = parse_args()
    results = collect(args)
    names = {f'{path.parent.name}/{path.stem}' for path in args.fit}
    to_fit = {key: r for key, r in results.items() if key[0] in names}
    if to_fit:
        print_signals(to_fit)
        print_exponents(to_fit)
    print_judgement(results, args.rounds, args.seed)


if __name__ == '__main__':
    main()
