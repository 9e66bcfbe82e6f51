"""The Runner that configs/phase2/mal_masks.py asks for."""

from __future__ import annotations

from mmengine.config import Config
from mmengine.runner import Runner

from .mal_masks import apply_mal_masks, read_images_as_labeling


class MalMasksRunner(Runner):
    """A Runner that first applies the variables `mal_*` of its config.

    Our tools do that when they read a config. MMDetection's would train on the stock file without
    a word, so the fragment names this class by its path (`runner_type`), which needs no import.
    """

    @classmethod
    def from_cfg(cls, cfg: Config) -> Runner:
        """Build the runner from `cfg`, which is changed in place."""
        apply_mal_masks(cfg)
        read_images_as_labeling(cfg)
        return super().from_cfg(cfg)
