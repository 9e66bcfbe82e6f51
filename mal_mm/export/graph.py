"""LabelerGraph: a labeler as a function of tensors, which torch.onnx can follow.

N crops of S x S pixels, s x s cells of the logits.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from ..models import InstantLabeler, MaskAutoLabeler
from ..models.decoders.heads import SizeBins, base_map, resize
from ..models.encoders import CachedEncoder, SwinEncoder, ViTEncoder
from ..models.encoders.vit_encoder import resize_position_embedding


class ExportError(ValueError):
    """The labeler, or the way in which it labels, cannot be written as ONNX."""


class LabelerGraph(nn.Module):
    """Crops and boxes in, mask logits out.

    The labeler is copied and changed where a graph cannot follow it: position embeddings are
    resized to the crop's size once, as are Swin's window masks, all object sizes are decoded and
    one is chosen, features are not looked up in a cache.

    Args:
        model: MaskAutoLabeler or InstantLabeler.
        crop_size: side of the crops in pixels; the graph is good for this size alone.
        network, flip, refine: see LabelingEngine.

    Raises:
        ExportError: another kind of labeler, or a refinement that is not to be had in a graph.
    """

    def __init__(
        self, model: nn.Module, crop_size: int, network: str, flip: bool, refine: str
    ) -> None:
        super().__init__()
        if not isinstance(model, (InstantLabeler, MaskAutoLabeler)):
            raise ExportError(
                f'a {type(model).__name__} cannot be exported; instant and trained labelers can'
            )
        if refine not in ('none', 'instant'):
            raise ExportError(
                f"refine '{refine}' cannot be exported: its hundred rounds over colours stay in "
                "torch; set test_cfg.refine to 'none' or 'instant'"
            )
        self.model = copy.deepcopy(model).cpu().eval()
        self.how = dict(network=network, flip=flip, refine=refine)
        if hasattr(self.model, 'precision'):
            self.model.precision = 'fp32'
        if hasattr(self.model, 'teacher') and network != 'both':  # the other one is not needed
            self.model.student = self.model.teacher = getattr(self.model, network)
        for module in list(self.model.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, CachedEncoder):
                    setattr(module, name, child.encoder)
                elif isinstance(child, SizeBins):
                    setattr(module, name, AllSizes(child))
        for module in self.model.modules():
            if isinstance(module, ViTEncoder):
                _fold_positions(module, crop_size)
            elif isinstance(module, SwinEncoder):
                _free_windows(module, crop_size)

    def forward(self, crops: Tensor, crop_boxes: Tensor, box_areas: Tensor) -> Tensor:
        """Look at crops.

        Args:
            crops: (N, S, S, 3) uint8 RGB.
            crop_boxes: (N, 4) float32 `(x0, y0, x1, y1)` in crop pixels.
            box_areas: (N,) float32 image px^2.

        Returns:
            (N, s, s) float32 mask logits.
        """
        preprocessor = self.model.data_preprocessor
        images = (crops.permute(0, 3, 1, 2).float() - preprocessor.mean) / preprocessor.std
        return self.model.predict_maps(images, crop_boxes, box_areas, **self.how)


class AllSizes(SizeBins):
    """SizeBins for a graph, which cannot take a way that depends on the boxes.

    All crops are decoded at each scale, and the scale of their box is chosen.

    Args:
        bins: whose bounds and scales are taken.
    """

    def __init__(self, bins: SizeBins) -> None:
        super().__init__(bins.area_bounds, bins.scales, bins.mask_scale)

    def forward(
        self,
        feature: Tensor | Mapping[float, Tensor],
        box_areas: Tensor,
        decode: Callable[[Tensor, slice], Tensor],
    ) -> Tensor:
        """As SizeBins."""
        base = base_map(feature)
        size = tuple(self.mask_scale * int(side) for side in base.shape[2:])
        chosen = None
        for scale, low in zip(self.scales, (0.0, *self.area_bounds), strict=True):
            members = feature[scale] if isinstance(feature, Mapping) else base
            if scale != 1 and not isinstance(feature, Mapping):
                members = resize(members, scale_factor=scale)
            logits = resize(decode(members, slice(None))[:, None], size=size)[:, 0]
            # from the smallest on, each bin takes what is at or above its lower bound
            fits = (box_areas >= low)[:, None, None]
            chosen = logits if chosen is None else torch.where(fits, logits, chosen)
        return chosen


def _fold_positions(encoder: ViTEncoder, crop_size: int) -> None:
    if encoder.pos_embed is None:
        return
    grid = (crop_size // encoder.patch_size,) * 2
    with torch.no_grad():
        resized = resize_position_embedding(encoder.pos_embed, grid, encoder.num_extra_tokens)
    encoder.pos_embed = nn.Parameter(resized, requires_grad=False)


def _free_windows(encoder: SwinEncoder, crop_size: int) -> None:
    """Two helpers of mmpretrain's windows that torch.onnx does not follow.

    Masks are written slice by slice, and putting windows together computes the number of crops.
    """
    masks = {}

    def keep(module: nn.Module, make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def made(*args: object, **kwargs: object) -> Tensor:
            if module not in masks:
                masks[module] = make(*args, **kwargs)
            return masks[module]

        return made

    for module in encoder.modules():
        if hasattr(module, 'get_attn_mask'):
            module.get_attn_mask = keep(module, module.get_attn_mask)
            module.window_reverse = _join_windows
    with torch.no_grad():
        encoder(torch.zeros(1, 3, crop_size, crop_size))


def _join_windows(windows: Tensor, H: int, W: int, window_size: int) -> Tensor:
    """(N * windows, w, w, C) -> (N, H, W, C)."""
    H, W, C, w = int(H), int(W), windows.shape[-1], window_size
    parts = windows.view(-1, H // w, W // w, w, w, C)
    return parts.permute(0, 1, 3, 2, 4, 5).reshape(-1, H, W, C)
