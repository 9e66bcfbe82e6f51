"""ExactResumeHook: a killed and resumed run is the run that was never killed."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from mmdet.registry import HOOKS
from mmengine.dist import broadcast_object_list, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

EPOCH_BEGIN = 'epoch_begin'


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Make all chance a function of seed, epoch and iteration, and resume inside an epoch.

    - Each iteration seeds torch, numpy and python from (seed, rank, iteration): student views,
      drop path.
    - Each epoch hands (epoch, seed) to a dataset that has `set_epoch`, as RoIDataset: crops,
      flips.
    - A run resumed from a checkpoint within an epoch (CheckpointHook with by_epoch=False) skips
      the samples already seen, given a ResumableSampler. The position is in the checkpoint's
      message hub.

    In fp32 on a CPU the resumed run then has the weights and the losses of an unbroken one bit for
    bit, if checkpoints fall on whole steps of gradient accumulation. On GPUs the random numbers
    and the samples are the same, the order of additions need not be. An IterBasedTrainLoop has its
    iterations seeded only.
    """

    # last of all, so that no other hook draws between the seeding and the step
    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """Agree on the seed; a resumed run has the one of its checkpoint."""
        seeds = [runner.seed]  # differs from rank to rank under `diff_rank_seed`
        broadcast_object_list(seeds)
        self._seed = seeds[0]
        self._rank = get_rank()
        sampler = _sampler(runner)
        if hasattr(sampler, 'seed'):
            sampler.seed = self._seed  # was built before the checkpoint was read

    def before_train_epoch(self, runner: Runner) -> None:
        """Hand the epoch to the dataset, and let the first one after resuming begin inside."""
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            return
        set_epoch = getattr(runner.train_dataloader.dataset, 'set_epoch', None)
        if set_epoch is not None:
            set_epoch(runner.epoch, self._seed)
        batch_size = runner.train_dataloader.batch_sampler.batch_size
        done = self._iterations_done(runner, batch_size * get_world_size())
        if done:
            _sampler(runner).start = done * batch_size
            _count_from(runner.train_loop, done)
            runner.logger.info(
                f'epoch {runner.epoch + 1} goes on after its iteration {done} of '
                f'{len(runner.train_dataloader)}'
            )
        runner.message_hub.update_info(
            EPOCH_BEGIN,
            {
                'epoch': runner.epoch,
                'iter': runner.iter - done,
                'batch_size': batch_size * get_world_size(),
            },
        )

    def after_train_epoch(self, runner: Runner) -> None:
        """The next epoch counts from 0."""
        vars(runner.train_loop).pop('run_iter', None)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Seed; takes 0.02 ms."""
        seed_generators(self._seed, self._rank, runner.iter)

    def _iterations_done(self, runner: Runner, total_batch_size: int) -> int:
        """Iterations of the epoch that begins now which the checkpoint has behind it."""
        begin = runner.message_hub.get_info(EPOCH_BEGIN, {})
        if begin.get('epoch') != runner.epoch or begin['iter'] == runner.iter:
            return 0
        problem = None
        if begin['batch_size'] != total_batch_size:
            problem = (
                f'the checkpoint was made with {begin["batch_size"]} samples an iteration, this '
                f'run has {total_batch_size}'
            )
        elif not hasattr(_sampler(runner), 'start'):
            problem = (
                f'{type(_sampler(runner)).__name__} cannot begin there; set '
                "train_dataloader.sampler.type='ResumableSampler'"
            )
        if problem:
            runner.logger.warning(
                f'epoch {runner.epoch + 1} starts anew, though the checkpoint is from iteration '
                f'{runner.iter - begin["iter"]} of it: {problem}'
            )
            return 0
        return runner.iter - begin['iter']


def seed_generators(*key: int) -> None:
    """Seed torch (CPU and this process's GPU), numpy and python.

    Args:
        *key: non-negative integers; other keys give unrelated numbers.
    """
    for_torch, for_numpy, for_python = np.random.SeedSequence(key).generate_state(3).tolist()
    # torch.manual_seed() costs ten times as much, and where there is no GPU it remembers each call
    torch.default_generator.manual_seed(for_torch)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(for_torch)
    np.random.seed(for_numpy)
    random.seed(for_python)


def _count_from(loop: EpochBasedTrainLoop, done: int) -> None:
    # the loop counts the batches it is given, and the log averages over no more than that count
    run_iter = loop.run_iter
    loop.run_iter = lambda batch_idx, data_batch: run_iter(batch_idx + done, data_batch)


def _sampler(runner: Runner) -> Any:
    # the batch sampler has the real one, also where the config gives its own batch sampler
    return runner.train_dataloader.batch_sampler.sampler
