"""A frozen encoder that computes each crop once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...pip_download import default_cache
from ...precision import autocast, check_precision
from ...version import __version__
from .feature_store import FeatureStore


@MODELS.register_module()
class CachedEncoder(BaseModule):
    """Keep the feature maps of a frozen encoder on disk, for the next epoch and the next run.

    For small data sets on machines without a GPU: with `RoIDataset(views_per_box=...)` the same
    crops come back every epoch, and all but the first epoch cost the decoder alone. A resumed
    training, one with another seed of the network or another decoder, and a second labeling find
    them as well.

    A map is found by its crop's pixels, the encoder's weights and arguments, and the precision;
    maps are kept as half floats and handed out as such also when just computed, so that
    runs with and without them agree but for the rounding of other batches. On a GPU computing is
    quicker than reading: there the encoder is called as if this class were not.

    Args:
        encoder: config of a frozen encoder.
        folder: where the maps are; None: `$XDG_CACHE_HOME/mal_mm/features`
            (`~/.cache/mal_mm/features`).
        max_gigabytes: of the folder, see `FeatureStore`; further crops are computed anew each
            time.
        precision: in which maps are computed, see `mal_mm.precision`; it does not depend on the
            precision around it, so that training and labeling find the same maps.

    Raises:
        ValueError: the encoder is not frozen, or unknown `precision`.
    """

    frozen = True

    def __init__(
        self,
        encoder: dict,
        folder: str | Path | None = None,
        max_gigabytes: float = 4.0,
        precision: str = 'auto',
    ) -> None:
        super().__init__()
        self.encoder = MODELS.build(encoder)
        if not getattr(self.encoder, 'frozen', False):
            raise ValueError(
                'CachedEncoder needs `frozen=True` in its encoder: features of a moving one change'
            )
        self.store = FeatureStore(
            folder if folder is not None else default_cache() / 'features',
            int(max_gigabytes * 1e9),
        )
        self.precision = check_precision(precision)
        self.enabled = True
        self.hits = self.misses = self.unkept = 0
        arguments = {key: value for key, value in encoder.items() if key != 'init_cfg'}
        self._arguments = json.dumps(arguments, sort_keys=True, default=str)
        self._fingerprint: tuple[object, str] = (None, '')
        # where its tensors lie: asking the modules for them takes longer than reading a map
        self._tensors = [
            tensors
            for module in self.encoder.modules()
            for tensors in (module._parameters, module._buffers)
        ]

    @property
    def out_channels(self) -> int:
        """Channels of the feature map."""
        return self.encoder.out_channels

    @property
    def last_channels(self) -> int:
        """Channels of the last layer."""
        return self.encoder.last_channels

    @property
    def stride(self) -> int:
        """Crop pixels to a cell of the map."""
        return self.encoder.stride

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """As the wrapped encoder: (N, 3, H, W) -> (N, C, h, w)."""
        with autocast(self.precision, self.encoder, image.device):
            if not self.enabled or image.device.type != 'cpu':
                return self.encoder(image)
            return self._recall(image)

    def _recall(self, image: Tensor) -> Tensor:
        prefix = f'{self._weights_key()}/{_precision()}'
        keys = [f'{prefix}{_digest(crop)}' for crop in image]
        # one place of each crop, however often the batch repeats it
        places = {key: n for n, key in enumerate(keys)}
        maps = {key: self.store.get(key) for key in places}
        missing = {key: n for key, n in places.items() if maps[key] is None}
        features = {
            key: torch.from_numpy(found) for key, found in maps.items() if found is not None
        }
        if missing:
            fresh = self.encoder(image[list(missing.values())]).half()
            for key, feature in zip(missing, fresh, strict=True):
                features[key] = feature
                self._keep(key, feature)
        self.hits += len(places) - len(missing)
        self.misses += len(missing)
        batch = image.new_empty(len(keys), *features[keys[0]].shape)
        for place, key in zip(batch, keys, strict=True):
            place.copy_(features[key])
        return batch

    def _keep(self, key: str, feature: Tensor) -> None:
        if not self.enabled:
            return
        try:
            self.unkept += not self.store.put(key, feature.contiguous().numpy())
        except OSError as error:
            self.enabled = False
            MMLogger.get_current_instance().warning(
                f'features are not kept from now on: {error}; give another `folder` to '
                'CachedEncoder'
            )

    def take_counts(self) -> str:
        """What the cache was good for since the last call, in words; counting starts anew."""
        text = (
            f'features of {self.hits} crops read, of {self.misses} computed '
            f'({self.store.folder}, at most {self.store.max_bytes / 1e9:g} GB)'
        )
        if self.unkept:
            text += (
                f'; {self.unkept} were not kept, the folder is full: raise `max_gigabytes` of '
                'CachedEncoder'
            )
        self.hits = self.misses = self.unkept = 0
        return text

    def _weights_key(self) -> str:
        """Name of the encoder with its present weights."""
        # tells cheaply whether anything was written since: hashing takes a tenth of a second
        state = [
            (tensor.data_ptr(), tensor._version)
            for tensors in self._tensors
            for tensor in tensors.values()
            if tensor is not None
        ]
        if state != self._fingerprint[0]:
            digest = hashlib.blake2b(f'{__version__} {self._arguments}'.encode(), digest_size=12)
            for name, tensor in self.encoder.state_dict().items():
                digest.update(name.encode())
                digest.update(tensor.detach().contiguous().numpy())
            self._fingerprint = (state, digest.hexdigest())
        return self._fingerprint[1]


def find_cached_encoders(model: nn.Module) -> list[CachedEncoder]:
    """Those of a model; one that student and teacher share counts once."""
    return [module for module in model.modules() if isinstance(module, CachedEncoder)]


def log_cache_counts(model: nn.Module) -> None:
    """Log what the caches of a model were good for since the last time, if they were asked."""
    for encoder in find_cached_encoders(model):
        if encoder.hits or encoder.misses:
            MMLogger.get_current_instance().info(encoder.take_counts())


def _digest(crop: Tensor) -> str:
    return hashlib.blake2b(crop.contiguous().numpy(), digest_size=16).hexdigest()


def _precision() -> str:
    # what autocast, if on, makes of a product; torch renamed the functions that tell
    one = torch.ones(1, 1)
    return f'{torch.mm(one, one).dtype}-'.removeprefix('torch.')
