"""Sample set `nuclei`: a microscopy image with 125 expert-labelled nuclei, split in space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from .coco_writer import SplitWriter
from .data_dir import default_data_dir

# (x0, y0, x1, y1) in pixels, x1 and y1 exclusive; the four tiles fill the image without overlap.
# Of all vertical lines x = 333 cuts the fewest nuclei, one, of which 6 of 454 px lie on its left.
# The lines y = 184 and y = 388 cut none of those on its right. The bottom right corner is for
# training, so that 30 of 125 nuclei stay unseen.
TILES = {
    'train': ((0, 0, 333, 512), (333, 388, 512, 512)),
    'unseen': ((333, 0, 512, 184), (333, 184, 512, 388)),
}
# A cut nucleus belongs to the tile that holds more than this share of it. Its other piece stays
# in the neighbouring tile as unlabelled ground, so no nucleus counts on both sides.
MIN_SHARE = 0.5


def make_nuclei(out_dir: str | Path, data_dir: str | Path | None = None) -> dict[str, Path]:
    """Write the nuclei as tiles to train on and tiles never seen in training.

    Source: 2018 Data Science Bowl (BBBC038, CC0), taken from stardist 0.9.2.

    Args:
        out_dir: gets {train,unseen}/tile_*.png (RGB, 8 bits, contrast stretched) and {train,
            train_gt,unseen,unseen_gt}.json. Files of the same names are replaced.
        data_dir: folder with image.png and labels.png; None: the one that came with mal_mm.

    Returns:
        JSON files by name: 'train' and 'unseen' hold boxes only, 'train_gt' and 'unseen_gt'
        the same annotations with the experts' masks.

    Raises:
        FileNotFoundError: the data are not in `data_dir`.
    """
    image, labels = _load(Path(data_dir) if data_dir is not None else default_data_dir('nuclei'))
    sizes = np.bincount(labels.ravel())
    paths: dict[str, Path] = {}
    for split, tiles in TILES.items():
        writer = SplitWriter(
            Path(out_dir),
            split,
            description='Nuclei of the 2018 Data Science Bowl (BBBC038), one image cut into tiles',
            categories=['nucleus'],
            info={'url': 'https://bbbc.broadinstitute.org/BBBC038'},
        )
        for number, (x0, y0, x1, y1) in enumerate(tiles):
            tile_labels = labels[y0:y1, x0:x1]
            tile = np.repeat(image[y0:y1, x0:x1, None], 3, axis=2)
            tile_sizes = np.bincount(tile_labels.ravel(), minlength=len(sizes))
            kept = [
                n for n in np.unique(tile_labels) if n and tile_sizes[n] > MIN_SHARE * sizes[n]
            ]
            writer.add_image(
                f'tile_{number}.png', tile, [(1, tile_labels == n) for n in kept if n]
            )
        paths |= writer.write()
    return paths


def stretch_contrast(image: np.ndarray) -> np.ndarray:
    """Spread dark values over the whole scale, as a viewer would.

    Fluorescence is dark: most nuclei lie below a quarter of the scale.

    Args:
        image: (H, W) uint8.

    Returns:
        (H, W) uint8: the 1st to 99.8th percentile on [0, 255], gamma 0.6.
    """
    low, high = np.percentile(image, (1, 99.8))
    return np.round(255 * np.clip((image - low) / (high - low), 0, 1) ** 0.6).astype(np.uint8)


def _load(data_dir: Path) -> tuple[np.ndarray, np.ndarray]:
    # (H, W) uint8 grey values; (H, W) int64, 0 = ground, n = the n-th nucleus
    for name in ('image.png', 'labels.png'):
        if not (data_dir / name).is_file():
            raise FileNotFoundError(
                f'{data_dir / name} is missing; `data_dir` must be the folder '
                'tools/sample_data/nuclei of mal_mm'
            )
    with (
        Image.open(data_dir / 'image.png') as image,
        Image.open(data_dir / 'labels.png') as labels,
    ):
        return stretch_contrast(np.asarray(image)), np.asarray(labels).astype(np.int64)
