"""Run the steps that are not done yet, and keep the state and the page up to date."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from ..formats import atomic_write
from .options import Options
from .page import page_template, write_page
from .process import last_lines, run_logged
from .recipes import read_recipe
from .results import collect, headlines
from .state import DONE, FAILED, STOPPED, RefusedError, RunState, only_one
from .steps import OUTPUTS, Planner, ShellText, Step

INTERRUPTED = 130
_HEADS = {
    'labeler': 'Phase 1 of {work_dir}: {labeler} on {ann}.',
    'segmenter': 'Phase 2 of {work_dir}: {segmenter} on the masks of the labeler.',
    'segmenter_gt': 'The twin of phase 2 of {work_dir}: {segmenter} on {gt_ann}.',
}


class TwoPhaseRun:
    """A run from boxes to a segmenter, see tools/run_two_phase.py.

    Args:
        options: what to do.
        tools: folder of train.py and the others.

    Raises:
        ValueError, OSError: the options cannot be used, see `Options.check` and `build_configs`.
        ModuleNotFoundError: Jinja2 is not installed.
    """

    def __init__(self, options: Options, tools: Path) -> None:
        self.options = options
        self.work_dir = options.work_dir
        page_template()  # before the first hour is spent
        classes = options.check()
        recipes = {name: read_recipe(getattr(options, name)) for name in ('labeler', 'segmenter')}
        from .configs import build_configs, check_segmenters  # MMDetection, which takes seconds

        self.configs = build_configs(options, classes, recipes)
        check_segmenters(self.configs, options, classes)
        self.steps = Planner(options, tools).steps()
        texts = {name: str(cfg.to_dict()) for name, cfg in recipes.items()}
        self.state = RunState(
            self.work_dir, options.arguments(texts), [step.name for step in self.steps]
        )

    def describe(self) -> str:
        """The steps and their commands, as a shell would take them."""
        self.state.take_over()
        lines = []
        for number, step in enumerate(self.steps, 1):
            status = self.state.steps[step.name]['status']
            command = ' '.join(
                word if isinstance(word, ShellText) else shlex.quote(word)
                for word in step.command()
            )
            lines.append(f'# {number}. {step.name}: {step.title} ({status})\n{command}')
        return '\n'.join(lines)

    def run(self, restart: str | None = None) -> int:
        """Do what is not done yet.

        Args:
            restart: 'all' throws away an earlier run in the work dir, 'changed' those of its
                steps whose result other arguments now change.

        Returns:
            0, the exit status of the step that failed, or 130 after an interruption.

        Raises:
            RefusedError: the work dir holds something else, or is in use.
            OSError: it cannot be written.
        """
        self.work_dir.mkdir(parents=True, exist_ok=True)
        with only_one(self.work_dir) as lock:
            self._take_over(restart)
            self._write_configs()
            (self.work_dir / 'logs').mkdir(exist_ok=True)
            for number, step in enumerate(self.steps, 1):
                place = f'==> {number}/{len(self.steps)} {step.name}'
                if self._is_done(step):
                    print(f'{place}: done before', flush=True)
                    continue
                print(f'{place}: {step.title}', flush=True)
                status = self._run_step(step, lock)
                self.write_summary()
                if status:
                    return status
            page, numbers = self.write_summary()
        print('\n'.join(['==> all done', *headlines(numbers), str(page)]))
        return 0

    def write_summary(self) -> tuple[Path, dict]:
        """Write summary.json and index.html; returns the page and the figures."""
        done = {step.name: self._is_done(step) for step in self.steps}
        numbers = collect(self.work_dir, done)
        with atomic_write(self.work_dir / 'summary.json') as file:
            content = {'arguments': self.state.arguments, 'steps': self.state.steps}
            json.dump({'numbers': numbers, **content}, file, indent=2)
        titles = {step.name: step.title for step in self.steps}
        return write_page(self.work_dir, titles, self.state, numbers), numbers

    def _take_over(self, restart: str | None) -> None:
        if restart == 'all' and self.state.path.exists():
            self._remove(OUTPUTS)
            self.state.path.unlink()
        differences = self.state.take_over()
        if differences is None:
            names = [name for each in OUTPUTS.values() for name in each]
            foreign = [name for name in names if (self.work_dir / name).exists()]
            if foreign:
                raise RefusedError(
                    f'{self.work_dir} holds {", ".join(foreign)}, but no state of a run; choose '
                    'another --work-dir'
                )
        changed = [step.name for step in self.steps if step.depends & (differences or {}).keys()]
        if differences and restart != 'changed':
            raise RefusedError(
                f'{self.work_dir} holds a run with other arguments: '
                f'{"; ".join(differences.values())}. Call it as before, choose another '
                f'--work-dir, do the steps anew that this changes ({", ".join(changed)}) with '
                '--restart changed, or all with --restart'
            )
        self._remove(changed)
        if 'labeling' in changed:  # without a step that trains, the labeler's config is its own
            (self.work_dir / 'labeler.py').unlink(missing_ok=True)
        for name in changed:
            self.state.reset(name)
        self.state.save()

    def _remove(self, steps: Iterable[str]) -> None:
        for step in steps:
            for name in OUTPUTS[step]:
                path = self.work_dir / name
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    def _write_configs(self) -> None:
        """Leave those alone that are there: the user may have changed them on purpose."""
        from .configs import write_config

        for name, cfg in self.configs.items():
            path = self.work_dir / f'{name}.py'
            if not path.exists():
                write_config(cfg, path, _HEADS[name].format(**vars(self.options)))

    def _is_done(self, step: Step) -> bool:
        done = self.state.steps[step.name]['status'] == DONE
        return done and (self.work_dir / OUTPUTS[step.name][0]).exists()

    def _run_step(self, step: Step, lock: int) -> int:
        """Run a step; returns 0 if it is done."""
        log = self.work_dir / 'logs' / f'{step.name}.log'
        command = step.command()
        self.state.start(
            step.name,
            command=shlex.join(command),
            log=str(log.relative_to(self.work_dir)),
            outputs=list(OUTPUTS[step.name]),
        )
        self.write_summary()
        begin = time.monotonic()
        environment = {**os.environ, 'PYTHONUNBUFFERED': '1'}
        if self.options.gpus > 1:  # as torchrun does, which would say so at length
            environment.setdefault('OMP_NUM_THREADS', '1')
        try:
            status = run_logged(command, log, environment, [lock])
        except KeyboardInterrupt:
            self.state.end(step.name, STOPPED, time.monotonic() - begin)
            print(
                f'\ninterrupted in {step.name}; the same command goes on from there',
                file=sys.stderr,
            )
            return INTERRUPTED
        done = step.accepts(status)
        self.state.end(step.name, DONE if done else FAILED, time.monotonic() - begin, status)
        if done:
            return 0
        lines = '\n'.join(f'    {line}' for line in last_lines(log))
        print(
            f'\n{lines}\nrun_two_phase: step {step.name!r} ended with exit status {status}; its '
            f'last lines are above, all of them in {log}. The same command goes on from there',
            file=sys.stderr,
        )
        return status
