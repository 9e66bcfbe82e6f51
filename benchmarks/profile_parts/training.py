"""Training: one step of the paper's encoders, and epochs of a small set."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import common
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from training_step import TINY_ARCH, TrainingStep, labeler_config

from mal_mm.compat.config_bases import config_path
from mal_mm.models.encoders import CachedEncoder, find_cached_encoders
from mal_mm.samples import make_nuclei

from . import Stage, Table
from .flops import Place, Work, count_flops

# config, crops in a step
STEPS = (('mal/deit_small.py', 4), ('mal/vit_mae_base.py', 2))
# bytes that a parameter costs: AdamW reads it, its gradient and two moments and writes three of
# them; the teacher's update reads two and writes one
ADAMW_BYTES, EMA_BYTES = 28, 12


def steps(tiny: bool, precision: str = 'fp32') -> list[Table]:
    """A training step at 512 px, part by part."""
    return [_step(name, 2 if tiny else batch, tiny, precision) for name, batch in STEPS]


def _step(name: str, batch: int, tiny: bool, precision: str) -> Table:
    size = 64 if tiny else 512
    step = TrainingStep(labeler_config(name, tiny), 'cpu', batch, size, precision)
    step()  # makes gradients and moments
    places = step.parts()
    works = count_flops(step, places)
    stages = common.Stages()
    with stages.watch(places):
        start = common.now()
        step()
        total = common.now() - start
    student = sum(p.numel() for p in step.model.student.parameters())
    moved = {'AdamW': ADAMW_BYTES * student, 'EMA': EMA_BYTES * student}
    lines = [
        Stage(
            title, stages.total(title), works[title].flops, moved.get(title, 0), works[title].bf16
        )
        for title in dict.fromkeys(title for _, _, title in places)
    ]
    title = f'One training step, {name}, {batch} crops of {size} px, {precision}'
    return Table(f'{title}: {works[""].flops / 1e9:.0f} GFLOP', total, lines)


def epochs(tiny: bool, weights: Path | None) -> list[Table]:
    """The first epoch of small_set.py on the nuclei, and one that finds all features computed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_nuclei(folder)
        runner = Runner.from_cfg(_small_set(folder, tiny, weights))
        model = runner.model
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        wrapper = type(runner.optim_wrapper)  # schedulers want the wrapper's own methods
        loader = runner.train_loop.dataloader
        places = (
            *(
                (step, 'transform', type(step).__name__)
                for step in loader.dataset.pipeline.transforms
            ),
            (model.data_preprocessor, 'forward', 'preprocessor'),
            (_encoder(model), 'forward', 'encoder'),
            (model.student, 'decode_layers', 'student decoder'),
            (model.teacher, 'decode', 'teacher decoder'),
            (model.crf_loss, 'refine', 'mean field'),
            (wrapper, 'backward', 'backward'),
            (wrapper, 'step', 'AdamW'),
        )
        batch = next(iter(loader))
        _keep_features(model, False)
        works = count_flops(lambda: model.train_step(batch, runner.optim_wrapper), places)
        _keep_features(model, True)
        hook = _EpochTables(places, works)
        runner.register_hook(hook, priority='VERY_LOW')
        with hook.stages.watch(places):
            runner.train()
    return hook.tables


def _encoder(model: torch.nn.Module) -> torch.nn.Module:
    encoder = model.student.encoder
    return encoder.encoder if isinstance(encoder, CachedEncoder) else encoder


def _keep_features(model: torch.nn.Module, keep: bool) -> None:
    for encoder in find_cached_encoders(model):
        encoder.enabled = keep


def _small_set(folder: Path, tiny: bool, weights: Path | None) -> Config:
    cfg = Config.fromfile(config_path('mal/small_set.py'))
    cfg.model.network.encoder.folder = str(folder / 'features')
    encoder = cfg.model.network.encoder.encoder
    encoder.init_cfg = dict(type='Pretrained', checkpoint=str(weights)) if weights else None
    if tiny:
        encoder.update(arch=dict(TINY_ARCH), out_indices=(0,))
        cfg.model.network.decoder.channels = 8
        cfg.train_dataloader.dataset.views_per_box = 1
        cfg.train_dataloader.dataset.pipeline[1].crop_size = 56
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.train_dataloader.dataset.dataset.update(
        data_root=str(folder),
        ann_file='unseen.json' if tiny else 'train.json',  # the unseen ones are fewer
        data_prefix=dict(img=''),
    )
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
    cfg.work_dir, cfg.log_level, cfg.launcher = str(folder / 'work'), 'ERROR', 'none'
    cfg.visualizer.name = folder.name  # mmengine keeps one of each name, with its folder
    cfg.default_hooks.checkpoint.interval = -1
    cfg.default_hooks.checkpoint.save_last = False
    return cfg


class _EpochTables(Hook):
    """Makes a table of each epoch."""

    def __init__(self, places: Sequence[Place], works: dict[str, Work]) -> None:
        self.places = places
        self.works = works
        self.stages = common.Stages()
        self.tables: list[Table] = []

    def before_train_epoch(self, runner: Runner) -> None:
        self.stages.reset()
        self.start = common.now()

    def after_train_epoch(self, runner: Runner) -> None:
        total = common.now() - self.start
        names = dict.fromkeys(title for _, _, title in self.places)
        length = len(runner.train_dataloader)
        self.tables.append(
            Table(
                f'Epoch {runner.epoch + 1} of small_set.py on the nuclei: {length} iterations of '
                f'{runner.train_dataloader.batch_size} crops',
                total,
                [
                    Stage(
                        name,
                        self.stages.total(name),
                        self.works[name].flops * length,
                        bf16=self.works[name].bf16,
                    )
                    for name in names
                ],
            )
        )
