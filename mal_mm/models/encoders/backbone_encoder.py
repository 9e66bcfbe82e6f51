"""What every encoder adds to its mmpretrain backbone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from mmengine.model import PretrainedInit
from torch import Tensor

from ...checkpoints.pretrained import Shapes, Tensors, load_pretrained

if TYPE_CHECKING:
    from mmpretrain.models.backbones import VisionTransformer as Base
else:
    Base = object  # the backbone comes after it in the list of bases


class BackboneEncoder(Base):
    """Mixin in front of an mmpretrain backbone; makes of it what MaskNetwork expects.

    It maps (N, 3, H, W) to one (N, out_channels, H / stride, W / stride), may be frozen as a
    whole, and reads in `init_cfg=dict(type='Pretrained', checkpoint=..., prefix=...)` the files of
    the backbone's authors as well as mmpretrain's. A subclass calls `_freeze` at the end of its
    constructor.
    """

    # crop pixels to a cell of the map
    stride: int
    # mmengine's
    init_cfg: Any
    # no gradients, evaluation mode; MaskAutoLabeler then shares it between student and teacher
    frozen: bool
    # authors' tensors -> mmpretrain's, see checkpoints/encoder_keys.py
    convert_state: Callable[[Tensors, Shapes], Tensors]

    @property
    def out_channels(self) -> int:
        """Channels of the map."""
        raise NotImplementedError

    @property
    def last_channels(self) -> int:
        """Channels of the last layer, which come last in a map of several layers."""
        return self.out_channels

    def _freeze(self, frozen: bool) -> None:
        self.frozen = frozen
        if frozen:
            self.requires_grad_(False)
        # also puts `frozen_stages` into force, which not every backbone does by itself
        self.train()

    def train(self, mode: bool = True) -> BackboneEncoder:
        """As torch's; a frozen encoder stays in evaluation mode."""
        super().train(mode and not self.frozen)
        return self  # mmpretrain's returns None

    def init_weights(self) -> None:
        """Initialise as mmpretrain does, then load the checkpoint that `init_cfg` may name.

        Raises:
            CheckpointError: the file is missing, broken, or one of another architecture.
        """
        init_cfg, pretrained = self.init_cfg, self._pretrained()
        # mmengine's own reading of a checkpoint lets any number of tensors go missing
        self.init_cfg = [each for each in _listed(init_cfg) if each not in pretrained]
        try:
            super().init_weights()
        finally:
            self.init_cfg = init_cfg
        self.load_pretrained()

    def load_pretrained(self) -> bool:
        """Load the checkpoint that `init_cfg` names, if it names one; whether it does.

        Raises:
            CheckpointError: the file is missing, broken, or one of another architecture.
        """
        pretrained = self._pretrained()
        for each in pretrained:
            load_pretrained(self, each['checkpoint'], self.convert_state, each.get('prefix'))
        return bool(pretrained)

    def _pretrained(self) -> list[dict]:
        return [each for each in _listed(self.init_cfg) if each['type'] in _PRETRAINED]

    def forward(self, image: Tensor) -> Tensor:
        """Encode.

        Args:
            image: (N, 3, H, W) normalised, H and W multiples of `stride`.

        Returns:
            (N, out_channels, H / stride, W / stride).

        Raises:
            ValueError: H or W is not a multiple of `stride`.
        """
        return self._checked(self._encode, image)

    def _checked(self, encode: Callable[[Tensor], Any], image: Tensor) -> Any:
        H, W = image.shape[2:]
        if H % self.stride or W % self.stride:
            raise ValueError(
                f"crops must be multiples of the encoder's stride {self.stride}, got {H} x {W}; "
                'change `crop_size`'
            )
        with torch.no_grad() if self.frozen else nullcontext():
            return encode(image)


_PRETRAINED = ('Pretrained', PretrainedInit)


def _listed(init_cfg: dict | list | None) -> list[dict]:
    return [init_cfg] if isinstance(init_cfg, dict) else list(init_cfg or [])
