"""Attention maps of a ViT encoder: where one token of a crop looks, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from mal_mm.formats import box_problem
from mal_mm.geometry import clip_boxes
from mal_mm.labeling.crop import Crop
from mal_mm.labeling.engine import LabelingEngine
from mal_mm.models.encoders import ViTEncoder

# one map with its title
_TILE_INCHES = (2.8, 3.0)


def find_vit(encoder: nn.Module) -> ViTEncoder:
    """The ViTEncoder in a labeler's encoder, inside CachedEncoder or not.

    Raises:
        ValueError: it is no ViT.
    """
    inner = encoder
    while not isinstance(inner, ViTEncoder) and hasattr(inner, 'encoder'):
        inner = inner.encoder
    if not isinstance(inner, ViTEncoder):
        raise ValueError(
            'attention maps need a plain ViT (ViTEncoder), whose blocks let every token look at '
            f'all others; the encoder of this config is a {type(inner).__name__}'
        )
    return inner


def token_attention(attention: nn.Module, tokens: Tensor, query: int) -> Tensor:
    """Attention of one token to all, softmax(q k^T / sqrt(d)).

    Args:
        attention: mmpretrain's MultiheadAttention.
        tokens: (N, T, C), its input.
        query: place of the token that looks.

    Returns:
        (N, heads, T) float32, sums to 1 over T.
    """
    N, T, _ = tokens.shape
    qkv = attention.qkv(tokens).view(N, T, 3, attention.num_heads, attention.head_dims)
    q, k = qkv[:, query, 0].float(), qkv[:, :, 1].float()
    scores = torch.einsum('nhd,nthd->nht', q, k) * attention.head_dims**-0.5
    return scores.softmax(-1)


@torch.no_grad()
def attention_maps(
    encoder: ViTEncoder,
    images: Tensor,
    blocks: Sequence[int],
    query: tuple[int, int] | None = None,
) -> list[Tensor]:
    """Attention of one token to the patches, after MAL, arXiv 2301.03992, Fig. 6.

    Args:
        encoder: in evaluation mode.
        images: (N, 3, H, W) normalised.
        blocks: numbers of blocks, counted from 1 as the paper does.
        query: row and column of the patch that looks; None is the class token.

    Returns:
        For each block (N, heads, H / patch, W / patch) float32; what is missing to a sum of 1 goes
        to the class token.

    Raises:
        ValueError: a block or the query is not there.
    """
    number = len(encoder.layers)
    if bad := [block for block in blocks if not 1 <= block <= number]:
        raise ValueError(f'the encoder has blocks 1 to {number}, got {bad[0]}')
    if query is None and encoder.cls_token is None:
        raise ValueError('the encoder has no class token; look from a patch instead')
    grid_hw = tuple(side // encoder.patch_size for side in images.shape[-2:])
    extra = encoder.num_extra_tokens
    if query is not None and not all(0 <= q < n for q, n in zip(query, grid_hw, strict=True)):
        raise ValueError(f'the crop has {grid_hw} patches, there is none at {tuple(query)}')
    token = 0 if query is None else extra + query[0] * grid_hw[1] + query[1]

    seen: dict[int, Tensor] = {}
    with ExitStack() as hooks:
        for block in set(blocks):
            attention = encoder.layers[block - 1].attn

            def keep(module: nn.Module, inputs: tuple[Tensor], block: int = block) -> None:
                seen[block] = token_attention(module, inputs[0], token)

            hooks.callback(attention.register_forward_pre_hook(keep).remove)
        encoder(images)
    return [seen[block][..., extra:].unflatten(-1, grid_hw) for block in blocks]


def point_to_patch(
    point_xy: Sequence[float], window: np.ndarray, grid_hw: tuple[int, int]
) -> tuple[int, int]:
    """Row and column of the patch of a crop that shows a point of the image.

    Args:
        point_xy: image pixels.
        window: (4,) int window of the crop.
        grid_hw: patches of the crop.

    Raises:
        ValueError: the point lies outside the window.
    """
    x0, y0, x1, y1 = (int(v) for v in window)
    x, y = point_xy
    if not (x0 <= x < x1 and y0 <= y < y1):
        raise ValueError(
            f'the point ({x:g}, {y:g}) lies outside the crop, which shows x {x0} to {x1} and '
            f'y {y0} to {y1} of the image'
        )
    rows, columns = grid_hw
    return int((y - y0) / (y1 - y0) * rows), int((x - x0) / (x1 - x0) * columns)


def draw_attention(
    crop: Crop,
    maps: Sequence[np.ndarray],
    blocks: Sequence[int],
    query: tuple[int, int] | None = None,
    heads: bool = False,
) -> Figure:
    """Lay the crop and the maps out side by side.

    Args:
        crop: its pixels are shown, with the box.
        maps: for each block (heads, h, w), attention >= 0.
        blocks: their numbers, for the titles.
        query: row and column of the patch that looked, marked by a cross; None is the class token.
        heads: below the mean over heads, also show each.

    Returns:
        A figure of 1 + len(maps) columns; each map has its own scale, from 0 to the largest value,
        which its title gives.
    """
    rows = 1 + (maps[0].shape[0] if heads else 0)
    columns = 1 + len(maps)
    figure = Figure((columns * _TILE_INCHES[0], rows * _TILE_INCHES[1]), layout='constrained')
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()

    grid[0, 0].imshow(crop.pixels)
    x0, y0, x1, y1 = crop.crop_box
    frame = Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, ec='#ffd60a', lw=2)
    grid[0, 0].add_patch(frame)
    grid[0, 0].set_title('crop and box', fontsize=9)
    if query is not None:
        patch = crop.pixels.shape[0] / maps[0].shape[-1]
        place = [(cell + 0.5) * patch - 0.5 for cell in reversed(query)]
        grid[0, 0].plot(*place, '+', color='#ff2d78', markersize=14, markeredgewidth=2)

    for column, (block, block_maps) in enumerate(zip(blocks, maps, strict=True), start=1):
        shown = [('mean of heads', block_maps.mean(0))]
        if heads:
            shown += [(f'head {i}', head_map) for i, head_map in enumerate(block_maps, start=1)]
        for row, (name, values) in enumerate(shown):
            axes = grid[row, column]
            axes.imshow(values, cmap='inferno', vmin=0, vmax=values.max())
            axes.set_title(f'block {block}, {name} (to {values.max():.3g})', fontsize=9)
            if query is not None:
                axes.plot(*reversed(query), '+', color='#00e5ff', markersize=10)
    return figure


def draw_crop_attention(
    engine: LabelingEngine,
    image: np.ndarray,
    box_xyxy: Sequence[float],
    blocks: Sequence[int],
    query: str | tuple[float, float] = 'cls',
    heads: bool = False,
) -> Figure:
    """Cut a box out as labeling does, and draw where the teacher's encoder looks.

    Args:
        engine: makes the crop and holds the labeler.
        image: (H, W, 3) uint8 RGB.
        box_xyxy: (4,) image pixels.
        blocks: see `attention_maps`.
        query: 'cls', 'center' (of the box, as far as it lies in the image), or a point (x, y) in
            image pixels.
        heads: see `draw_attention`.

    Raises:
        ValueError: the box, a block or the query is not there, or the encoder is no ViT.
    """
    vit = find_vit(engine.labeler.teacher.encoder)
    x0, y0, x1, y1 = box_xyxy
    size = dict(height=image.shape[0], width=image.shape[1])
    box = dict(bbox=[x0, y0, x1 - x0, y1 - y0], image_id=0)
    if problem := box_problem(box, {0: size}):
        raise ValueError(f'box {x0:g} {y0:g} {x1:g} {y1:g} cannot be used: {problem}')
    (crop,) = engine.make_crops(image, np.array([box_xyxy]))

    patch = None
    if query != 'cls':
        visible = clip_boxes(np.array(box_xyxy), image.shape[:2])
        point = query if isinstance(query, tuple) else (visible[:2] + visible[2:]) / 2
        side = engine.crop_size // vit.patch_size
        patch = point_to_patch(point, crop.window, (side, side))
    preprocessor = engine.labeler.data_preprocessor
    pixels = torch.from_numpy(crop.pixels).permute(2, 0, 1)[None]
    images = preprocessor.normalise(pixels.to(preprocessor.device))
    maps = attention_maps(vit, images, blocks, patch)
    return draw_attention(crop, [m[0].cpu().numpy() for m in maps], blocks, patch, heads)
