"""CollapseHook: says when training has gone wrong, and what to do."""

from __future__ import annotations

from math import isfinite

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

STATES = {
    'full': (
        'the student marks the whole box',
        'the learning rate is too high or the warm-up too short (100 iterations of warm-up have '
        'solved it for a pretrained encoder). If not: crops that hardly show background '
        '(RoICrop.theta too small), or a colour kernel blind to edges '
        '(crf_loss.mean_field.zeta too large)',
    ),
    'empty': (
        'the student marks nothing',
        'the learning rate is too high or the warm-up too short. If not: the CRF loss outweighs '
        'the MIL loss (crf_loss.loss_weight against mil_loss.loss_weight), or the boxes do not '
        'fit the images (look at some crops)',
    ),
}


@HOOKS.register_module()
class CollapseHook(Hook):
    """Stop at a loss that is not a number; warn when masks stay empty or fill their boxes.

    Reads what mmengine's RuntimeInfoHook has put into the message hub, so it costs no transfer
    from the device, and a resumed run remembers.

    Under a gradient scaler (fp16) an infinite loss costs one step, which the scaler skips, so only
    `max_skipped` in a row stop the run. Without one the weights are lost at once.

    Args:
        patience: iterations that `box_fill` must stay beyond a bound; the warning comes again
            after as many.
        interval: look at `box_fill` every so many iterations.
        bounds: of box_fill, the student's mean probability inside the box: empty at or below the
            first, full at or above the second.
        max_skipped: steps in a row that a gradient scaler may skip.

    Raises:
        ValueError: `bounds` out of order or outside [0, 1].
    """

    def __init__(
        self,
        patience: int = 500,
        interval: int = 50,
        bounds: tuple[float, float] = (0.02, 0.98),
        max_skipped: int = 20,
    ) -> None:
        if not 0 <= bounds[0] < bounds[1] <= 1:
            raise ValueError(f'`bounds` must rise within [0, 1], got {bounds}')
        self.patience = patience
        self.interval = interval
        self.bounds = bounds
        self.max_skipped = max_skipped
        self._state: str | None = None
        self._warned_at = 0

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Check the losses always, the masks every `interval` iterations.

        Raises:
            RuntimeError: a loss is NaN or infinite; before a checkpoint is written.
        """
        self._check_losses(runner)
        if self.every_n_train_iters(runner, self.interval):
            self._check_masks(runner)

    def _check_losses(self, runner: Runner) -> None:
        scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
        count = 1 + (self.max_skipped if scaler is not None and scaler.is_enabled() else 0)
        recent = _latest(runner, 'loss', count)
        if len(recent) < count or any(isfinite(value) for value in recent):
            return
        names = sorted(key.split('/', 1)[1] for key in runner.message_hub.log_scalars)
        values = {name: _latest(runner, name, 1)[0] for name in names if name.startswith('loss_')}
        broken = [f'{name} = {value}' for name, value in values.items() if not isfinite(value)]
        times = f', {count} times in a row' if count > 1 else ''
        raise RuntimeError(
            f'{" and ".join(broken) or f"loss = {recent[-1]}"} in iteration {runner.iter + 1} of '
            f'epoch {runner.epoch + 1}{times}, at learning rate {_learning_rate(runner):g}. '
            'Likely to help, in this order: a lower learning rate (optim_wrapper.optimizer.lr) or '
            'a longer warm-up (param_scheduler); clipped gradients '
            '(optim_wrapper.clip_grad.max_norm=1); optim_wrapper.dtype=bfloat16 instead of '
            'float16. Then go on from the last checkpoint with --resume'
        )

    def _check_masks(self, runner: Runner) -> None:
        recent = _latest(runner, 'box_fill', self.patience)
        if not recent:
            return
        empty, full = self.bounds
        if self._state and empty < recent[-1] < full:
            runner.logger.warning(
                f'masks recover: box_fill is {recent[-1]:.3f} again in iteration {runner.iter + 1}'
            )
            self._state = None
        if len(recent) < self.patience or not (min(recent) >= full or max(recent) <= empty):
            return
        state = 'full' if recent[-1] >= full else 'empty'
        if state == self._state and runner.iter - self._warned_at < self.patience:
            return
        self._state, self._warned_at = state, runner.iter
        finding, fix = STATES[state]
        bound = f'>= {full}' if state == 'full' else f'<= {empty}'
        runner.logger.warning(
            f'collapse: {finding}, box_fill was {bound} for {self.patience} iterations (now '
            f'{recent[-1]:.3f} in iteration {runner.iter + 1}, learning rate '
            f'{_learning_rate(runner):g}). Most likely {fix}. Masks rarely come back by '
            'themselves: start again'
        )


def _latest(runner: Runner, name: str, count: int) -> list[float]:
    """The last `count` values of a logged scalar, or as many as there are."""
    scalar = runner.message_hub.log_scalars.get(f'train/{name}')
    return [] if scalar is None else scalar.data[0][-count:].tolist()


def _learning_rate(runner: Runner) -> float:
    return max(runner.optim_wrapper.get_lr()['lr'])
