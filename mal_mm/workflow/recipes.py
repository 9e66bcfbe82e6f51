"""The configs that a user names for a run of both phases."""

from __future__ import annotations

from mmengine.config import Config

from ..compat.config_bases import find_config


def read_recipe(name: str) -> Config:
    """Read a config by path, or as mal_mm::NAME.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    try:
        path = find_config(name)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from None
    cfg = Config.fromfile(path)
    for key in ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'):
        if cfg.get(key) is None:
            raise ValueError(f'config {name!r} has no {key!r}; give one that can be trained')
    return cfg
