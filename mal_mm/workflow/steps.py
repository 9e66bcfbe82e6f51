"""The steps from boxes to a retention rate, each one command of ours that can be resumed."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .options import OUTPUTS as OUTPUTS
from .options import Options

NO_PICTURE = 3  # exit status of make_report.py: the page is there, without a single picture
SKIPPED_SOME = 3  # exit status of generate_pseudo_masks.py: some boxes could not be labelled


class ShellText(str):
    """A word of a command that a shell is to evaluate; all others are shown quoted."""

    __slots__ = ()


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        name: short, for the state, logs and messages; a key of OUTPUTS.
        title: what it does, for people.
        command: makes the command when it is due, from what the steps before have left.
        depends: names of the arguments that change the result.
        accepts: whether an exit status means that the step is done.
    """

    name: str
    title: str
    command: Callable[[], list[str]]
    depends: frozenset[str]
    accepts: Callable[[int], bool] = field(default=lambda status: status == 0)


class Planner:
    """Knows the commands; see `steps`.

    Args:
        options: of the run.
        tools: folder of train.py and the others.
    """

    def __init__(self, options: Options, tools: Path) -> None:
        self.options = options
        self.tools = tools
        self.work_dir = options.work_dir

    def steps(self) -> list[Step]:
        """All steps of the run, in order."""
        o = self.options
        boxes = {'ann', 'img_root', 'labeler', 'labeler_options', 'labeler_checkpoint'}
        masks = boxes | {'label_options'}
        human = {'gt_ann'} if o.gt_ann else set()
        data = {'ann', 'img_root', 'segmenter', 'segmenter_options', 'val_ann', 'val_img_root'}
        steps = []
        if o.labeler_checkpoint is None:
            steps.append(self._train('labeler', 'Phase 1: learn masks from boxes', boxes))
        steps.append(
            Step(
                'labeling',
                'Label the boxes',
                self._labeling,
                frozenset(masks),
                self._labeled,
            )
        )
        if o.gt_ann:
            steps.append(
                Step(
                    'masks',
                    'Compare the masks with human ones',
                    lambda: self._tool(
                        'evaluate_pseudo_masks.py',
                        *(self.work_dir / 'pseudo_masks.json', o.gt_ann),
                        *('--out', self.work_dir / 'masks.json'),
                    ),
                    frozenset(masks | human),
                )
            )
        steps.append(
            Step(
                'report',
                'Draw masks to review',
                self._report,
                frozenset(masks | human),
                lambda status: status in (0, NO_PICTURE),
            )
        )
        steps.append(
            self._train('segmenter', 'Phase 2: train the segmenter on the masks', masks | data)
        )
        if o.val_ann:
            steps.append(self._test('evaluation', 'Evaluate it', 'segmenter', masks | data))
        if o.gt_ann:
            title = 'Train its twin on human masks'
            steps.append(self._train('segmenter_gt', title, data | human))
            title = 'Evaluate the twin'
            steps.append(self._test('evaluation_gt', title, 'segmenter_gt', data | human))
        return steps

    def _train(self, name: str, title: str, depends: set[str]) -> Step:
        folder = self.work_dir / name
        return Step(
            name,
            title,
            lambda: self._ranks(
                'train.py', self.work_dir / f'{name}.py', '--work-dir', folder, '--resume'
            ),
            frozenset(depends),
        )

    def _test(self, name: str, title: str, trained: str, depends: set[str]) -> Step:
        return Step(
            name,
            title,
            lambda: self._ranks(
                'test.py',
                *(self.work_dir / f'{trained}.py', self._checkpoint(trained)),
                *('--work-dir', self.work_dir / name),
            ),
            frozenset(depends),
        )

    def _labeling(self) -> list[str]:
        o = self.options
        checkpoint = o.labeler_checkpoint or self._checkpoint('labeler')
        return self._ranks(
            'generate_pseudo_masks.py',
            *(self.work_dir / 'labeler.py', checkpoint),
            *('--ann', o.ann, '--img-root', o.img_root),
            *('--out', self.work_dir / 'pseudo_masks.json', '--resume'),
            *('--summary', self.work_dir / 'labeling.json', *o.label_options),
        )

    def _labeled(self, status: int) -> bool:
        if status in (0, SKIPPED_SOME):
            return True
        if self.options.gpus == 1:
            return False
        # torchrun makes a 1 of every status of a rank; the summary, written last, tells
        try:
            return bool(json.loads((self.work_dir / 'labeling.json').read_text())['skipped'])
        except (OSError, ValueError, KeyError):
            return False

    def _report(self) -> list[str]:
        o = self.options
        human = []
        if o.gt_ann:
            human = ['--gt', o.gt_ann, '--metrics', self.work_dir / 'masks.json']
        return self._tool(
            'make_report.py',
            *(self.work_dir / 'pseudo_masks.json', '--img-root', o.img_root),
            *('--out', self.work_dir / 'report', *human),
        )

    def _checkpoint(self, name: str) -> str:
        """The last checkpoint; before it is there, what a shell would make of it."""
        last = self.work_dir / name / 'last_checkpoint'
        if last.is_file():
            return str(last.with_name(Path(last.read_text().strip()).name))
        return ShellText(f'$(cat {shlex.quote(str(last))})')

    def _tool(self, name: str, *arguments: object) -> list[str]:
        words = [each if isinstance(each, str) else str(each) for each in arguments]
        return [sys.executable, str(self.tools / name), *words]

    def _ranks(self, name: str, *arguments: object) -> list[str]:
        """A tool that can use several GPUs."""
        command = self._tool(name, *arguments)
        if self.options.gpus == 1:
            return command
        launch = [str(self.tools / 'ranks.py'), '--standalone', '--local-addr=127.0.0.1']
        ranks = f'--nproc-per-node={self.options.gpus}'
        return [command[0], *launch, ranks, *command[1:], '--launcher', 'pytorch']
