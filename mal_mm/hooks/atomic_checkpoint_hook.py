"""AtomicCheckpointHook: a kill, at whatever moment, leaves a checkpoint to resume from."""

from __future__ import annotations

from pathlib import Path

from mmdet.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.optim import ZeroRedundancyOptimizer
from mmengine.runner import Runner

from ..formats.atomic import atomic_write

WHOLE_FILES = 'whole_files'


class WholeFileBackend(LocalBackend):
    """Local files that appear under their name once they are complete."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write `obj`, beside `filepath` first."""
        Path(filepath).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(filepath, 'wb') as file:
            file.write(obj)


register_backend(WHOLE_FILES, WholeFileBackend, force=True)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, which writes whole files and removes old ones afterwards.

    The parent removes the outdated checkpoint first and writes in place: a kill meanwhile leaves
    `last_checkpoint` pointing at half a file, and with max_keep_ckpts=1 nothing else. It also
    hangs or fails when the optimiser's state is sharded (ZeroRedundancyOptimizer), since only the
    first rank takes part in gathering it.

    Args:
        **kwargs: of mmengine's CheckpointHook. With `backend_args` or a remote `out_dir`, that
            storage decides how files appear.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        local = '://' not in str(self.out_dir)
        chosen = getattr(self, 'backend_args', None), getattr(self, 'file_client_args', None)
        if local and chosen == (None, None):
            self.backend_args = {'backend': WHOLE_FILES}

    def before_train(self, runner: Runner) -> None:
        """Remove what a run killed while saving has left half written."""
        super().before_train(runner)
        if is_main_process() and isinstance(self.file_backend, WholeFileBackend):
            for unfinished in Path(self.out_dir).glob('.*.pth.*.tmp'):
                unfinished.unlink(missing_ok=True)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated = None
        if self.max_keep_ckpts > 0:
            kept = self.keep_ckpt_ids
            if len(kept) == self.max_keep_ckpts and kept[-1] != step:
                outdated = kept.popleft()  # the parent finds room and removes nothing
        if self.save_optimizer and not is_main_process():
            optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
            if isinstance(optimizer, ZeroRedundancyOptimizer):
                optimizer.state_dict()  # sends its shards to the first rank, which saves
        super()._save_checkpoint_with_step(runner, step, meta)
        if outdated is not None and is_main_process():
            path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(outdated))
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
