"""From boxes to the best masks that can be had of them: instant, trained, or whichever fits.

Everything lies in a work dir, so that a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config

from ..apis import MaskLabeler
from ..compat.config_bases import find_config
from ..formats import atomic_write, mal_fields, read_json, write_json
from ..formats.plain_file import sha256
from ..formats.videos import read_annotations
from ..labeling.choice import mean_fit
from ..labeling.job import LabelingJob
from ..labeling.summary import Summary
from .configs import make_repeatable, write_config
from .labeling_checks import write_page
from .labeling_command import finish, make_job, make_labeler, run_job
from .process import last_lines, run_logged
from .state import DONE, FAILED, RefusedError, RunState, only_one

# boxes below which there is nothing to learn from, for --method auto
LEAST_BOXES = 20
# measured on one core of an x86-64 with AVX-512 bf16; elsewhere it may take three times as long
_SECONDS_A_BOX = 0.12
_SECONDS_AN_ITERATION = 0.2


class TrainingError(RuntimeError):
    """The training ended without a labeler; says where its log is."""


class LabelRun:
    """Steps of `mal-mm label`.

    Args:
        args: its arguments.
        configs: see `labeling_checks.untrained_configs`.

    Raises:
        CheckpointError: the weights cannot be used.
        AnnotationError: the annotation file cannot be used.
    """

    def __init__(self, args: argparse.Namespace, configs: Mapping[str, Config]) -> None:
        self.args = args
        self.work_dir = args.work_dir
        self.names = dict(zip(configs, [args.config, *(args.also or ())], strict=True))
        self.outputs = {name: f'{name}.json' for name in self.names}
        self.outputs |= {'training': 'labeler', 'trained': 'trained.json'}
        self.instant, *others = (make_labeler(args, config) for config in configs.values())
        self.job = self._job('instant', self.instant)
        self.others = dict(zip(list(self.names)[1:], others, strict=True))
        self.work_dir.mkdir(parents=True, exist_ok=True)
        self.method = args.method
        # a labeler learns from all boxes of the file, also where few are drawn again
        boxes = self.job.plan.count if args.redo else self._boxes
        if self.method == 'auto' and boxes < LEAST_BOXES:
            print(f'{boxes} boxes are too few to learn from: instant masks only')
            self.method = 'instant'
        self.state = RunState(
            self.work_dir,
            dict(
                ann=f'{args.ann.name} (sha256 {sha256(args.ann)[:16]})',
                img_root=str(args.img_root.resolve()),
                train_config=args.train_config,
                identity=_texts(self.job),
                **{step: _texts(self._job(step, each)) for step, each in self.others.items()},
            ),
            self.outputs,
        )

    @property
    def _boxes(self) -> int:
        return len(self.job.plan.places)

    def describe(self) -> str:
        """What will be done, and about how long it takes."""
        threads = torch.get_num_threads()
        gpu = torch.cuda.is_available() and self.args.device != 'cpu'
        instant = self._boxes * _SECONDS_A_BOX / (20 if gpu else threads)
        lines = [
            f'{self._boxes} boxes. 1. Instant masks, about {_duration(instant)}: {self.args.out}'
        ]
        lines += [f'Then those of {self.names[step]}, to compare.' for step in self.others]
        if self.method != 'instant':
            loop = Config.fromfile(find_config(self.args.train_config)).train_cfg
            wanted = max(self._boxes * loop.iters_per_box, loop.min_iters)
            training = min(wanted, loop.max_iters) * _SECONDS_AN_ITERATION / (10 if gpu else 1)
            last = 'they replace the instant masks'
            if self.method == 'auto':
                last = 'the masks that fit their boxes and colours better are kept'
            lines.append(
                f'2. A labeler learns from the boxes, about {_duration(training)}. 3. It labels '
                f'them, about {_duration(instant)}; {last}'
            )
        lines.append(f'Work dir: {self.work_dir}. If it stops, the same command goes on.')
        return '\n'.join(lines)

    def run(self) -> int:
        """Do what is not done yet; the exit status."""
        with only_one(self.work_dir) as lock:
            self._take_over()
            start = time.time()
            summary = self._step('instant', lambda: self._label(self.job))
            self._copy_out('instant')
            for step, labeler in self.others.items():
                job = self._job(step, labeler)
                self._step(step, partial(self._label, job, self._title(step)))
            if self.method != 'instant':
                write_page(self.args)
                print('the instant masks are there to look at meanwhile', flush=True)
                self._step('training', lambda: self._train(lock))
                self._step('trained', self._label_with_trained)
            if self.others or self.method != 'instant':
                self._choose()
                summary = None
            if summary is None:
                summary = self._count()
            return finish(self.args, summary, time.time() - start)

    def _take_over(self) -> None:
        differences = self.state.take_over()
        if differences:
            raise RefusedError(
                f'{self.work_dir} holds a run with other arguments: '
                f'{"; ".join(differences.values())}. Call it as before, or choose another '
                '--work-dir'
            )
        self.state.save()

    def _step(self, name: str, work: Callable[[], Summary | None]) -> Summary | None:
        """Do a step unless it is done."""
        if self.state.steps[name]['status'] == DONE and self._path(name).exists():
            print(f'{name}: done before', flush=True)
            return None
        begin = time.monotonic()
        self.state.start(name)
        try:
            result = work()
        except BaseException:
            self.state.end(name, FAILED, time.monotonic() - begin)
            raise
        self.state.end(name, DONE, time.monotonic() - begin)
        return result

    def _path(self, step: str) -> Path:
        return self.work_dir / self.outputs[step]

    def _title(self, step: str) -> str:
        """What its masks are called."""
        return f'{Path(self.names[step]).stem if step in self.others else step} masks'

    def _job(self, step: str, labeler: MaskLabeler) -> LabelingJob:
        return make_job(self.args, labeler, self._path(step))

    def _label(self, job: LabelingJob, title: str = 'instant masks') -> Summary | None:
        return run_job(job, resume=True, title=title)

    def _train(self, lock: int) -> None:
        """Learn from the boxes, with the instant masks as a start."""
        config_path = self.work_dir / 'labeler.py'
        if not config_path.exists():
            cfg = Config.fromfile(find_config(self.args.train_config))
            cfg.update(
                ann_file=str(self.args.ann.resolve()),
                img_root=str(self.args.img_root.resolve()),
                encoder_checkpoint=str(
                    Path(self.instant.config.model.encoder.init_cfg.checkpoint).resolve()
                ),
                start_masks=str(self._path('instant').resolve()),
            )
            make_repeatable(cfg)
            write_config(cfg, config_path, 'A labeler for {ann}.'.format(**vars(self.args)))
        command = [sys.executable, '-m', 'mal_mm_cli', 'train', str(config_path), '--resume']
        command += ['--work-dir', str(self._path('training'))]
        log = self.work_dir / 'training.log'
        print(f'training: what it prints goes to {log} too', flush=True)
        environment = {**os.environ, 'PYTHONUNBUFFERED': '1'}
        status = run_logged(command, log, environment, [lock])
        if status:
            lines = '\n'.join(f'    {line}' for line in last_lines(log))
            raise TrainingError(
                f'the training ended with exit status {status}: {lines}; all of it is in {log}. '
                f'The instant masks are in {self.args.out}; the same command goes on from here'
            )

    def _label_with_trained(self) -> Summary | None:
        config_path = self.work_dir / 'labeler.py'
        checkpoint = Path((self._path('training') / 'last_checkpoint').read_text().strip())
        labeler = make_labeler(self.args, Config.fromfile(str(config_path)), checkpoint)
        job = self._job('trained', labeler)
        return self._label(job, 'trained masks')

    def _choose(self) -> None:
        """Keep the better masks, by what needs no truth."""
        fits = {
            step: round(mean_fit(read_annotations(self._path(step)), self.args.img_root), 4)
            for step in (*self.names, *(() if self.method == 'instant' else ('trained',)))
        }
        best = 'trained' if self.method == 'train' else max(fits, key=fits.__getitem__)
        said = ', '.join(f'{self._title(step)} {fit:.3f}' for step, fit in fits.items())
        print(f'how well masks fit boxes and colours: {said}; kept: {self._title(best)}')
        choice = dict(method=self.args.method, kept=best, fit=fits)
        write_json(choice, self.work_dir / 'choice.json')
        self._write_chosen(best, choice)

    def _copy_out(self, step: str) -> None:
        """The result so far."""
        with self._path(step).open('rb') as source, atomic_write(self.args.out, 'wb') as file:
            shutil.copyfileobj(source, file)

    def _write_chosen(self, step: str, choice: dict) -> None:
        """The masks that were kept, and why, in place of the first ones."""
        data = read_json(self._path(step))
        fits = ', '.join(f'{self._title(name)} {fit:.3f}' for name, fit in choice['fit'].items())
        kept = f'{self._title(step)} (how well masks fit boxes and colours: {fits})'
        data[mal_fields.HEAD] = {**mal_fields.head_of(data), 'kept': kept, 'choice': choice}
        write_json(data, self.args.out)

    def _count(self) -> Summary:
        """What is in the file that was written."""
        summary = Summary()
        for place, annotation in enumerate(read_annotations(self.args.out)['annotations']):
            summary.annotations += 1
            if mal_fields.was_labelled(annotation):
                summary.add(annotation, place, annotation)
            else:
                summary.passed += 1
        return summary


def _texts(job: LabelingJob) -> dict[str, str]:
    return {key: str(value) for key, value in job.identity.items()}


def _duration(seconds: float) -> str:
    return f'{seconds:.0f} s' if seconds < 90 else f'{seconds / 60:.0f} min'
