"""The steps of tools/quickstart.sh after the installation, each a process as there."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import common

from . import Stage, Table

ROOT = Path(__file__).parents[2]


def commands(work: Path, weights: Path) -> dict[str, list[str]]:
    """What tools/quickstart.sh runs, with weights from a file in place of a download.

    Args:
        work: folder of the run; the trained labeler's checkpoint is looked up in it.
        weights: of the encoder.
    """
    given = ['--cfg-options', f'model.encoder.init_cfg.checkpoint={weights}']
    photos, run = work / 'photos', work / 'nuclei_work'
    last = run / 'labeler' / 'last_checkpoint'
    trained = [str(run / 'labeler.py'), last.read_text().strip() if last.exists() else '']

    def label(name: str, ann: Path, out: str, *more: object) -> list[object]:
        files = ['--ann', ann, '--img-root', ann.parent, '--out', work / out]
        return [f'tools/{name}.py', *more, *files]

    def score(masks: str, truth: Path, out: str) -> list[object]:
        files = [work / f'{masks}.json', truth, '--out', work / f'metrics_{out}.json']
        return ['tools/evaluate_pseudo_masks.py', *files]

    def report(masks: str, truth: Path, metrics: str, title: str, out: str) -> list[object]:
        files = [work / f'{masks}.json', '--img-root', truth.parent, '--gt', truth]
        more = ['--metrics', work / f'metrics_{metrics}.json', '--title', title]
        return ['tools/make_report.py', *files, *more, '--out', work / out]

    generate, unseen = 'generate_pseudo_masks', work / 'unseen.json'
    instant = ['configs/mal/instant_dinov2_small.py', '--resume']
    auto = ['--work-dir', run, '--method', 'auto']
    truth, of_photos = work / 'unseen_gt.json', photos / 'photos_gt.json'
    steps = {
        'photos: samples': ['tools/make_sample_dataset.py', 'photos', photos],
        'photos: instant masks': [
            *label('label', photos / 'photos.json', 'photos_masks.json', '--method', 'instant'),
            *given,
        ],
        'photos: scores': score('photos_masks', of_photos, 'photos'),
        'photos: report': report('photos_masks', of_photos, 'photos', 'Photographs', 'report'),
        'nuclei: samples': ['tools/make_sample_dataset.py', 'nuclei', work],
        'nuclei: label.py --method auto': [
            *label('label', work / 'train.json', 'pseudo_masks.json', *auto),
            *given,
        ],
        'unseen nuclei: instant masks': [
            *label(generate, unseen, 'unseen_instant.json', *instant),
            *given,
        ],
        'unseen nuclei: trained masks': [
            *label(generate, unseen, 'unseen_trained.json', *trained, '--resume')
        ],
        'nuclei: scores, trained on': score('pseudo_masks', work / 'train_gt.json', 'train'),
        'nuclei: scores, instant': score('unseen_instant', truth, 'unseen_instant'),
        'nuclei: scores, trained': score('unseen_trained', truth, 'unseen_trained'),
        'nuclei: report': report(
            'unseen_trained', truth, 'unseen_trained', 'Nuclei', 'report_nuclei'
        ),
    }
    return {name: list(map(str, words)) for name, words in steps.items()}


def quickstart(work: Path, weights: Path) -> Table:
    """Run them; seconds are CPU time of each process and those that it starts.

    Raises:
        RuntimeError: one fails; its last lines are told.
    """
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    environment['OMP_NUM_THREADS'] = str(common.THREADS)
    cache = work / 'cache'  # features of an earlier run would be found
    environment['XDG_CACHE_HOME'] = str(cache)
    stages = []
    for name in commands(work, weights):
        spent = cpu_seconds(commands(work, weights)[name], environment)
        stages.append(Stage(name, spent))
        if name.startswith('nuclei: label'):
            stages += _parts_of_label(work / 'nuclei_work' / 'state.json', spent)
        print(f'  {name}: {spent:.1f} s', file=sys.stderr, flush=True)
    begin = cpu_seconds(['-c', 'from mal_mm.apis import MaskLabeler'], environment)
    title = (
        'Quick start after the installation, each step a process of its own. Parts of a step: its '
        'CPU seconds, shared out by elapsed time. To import the labeler, each process that needs '
        f'it takes {begin:.1f} s'
    )
    total = sum(stage.seconds for stage in stages if not stage.name.startswith('  '))
    return Table(title, total, stages)


def cpu_seconds(arguments: list[str], environment: dict[str, str]) -> float:
    """User and system time of `python ARGUMENTS` and of all that it has waited for.

    Raises:
        RuntimeError: it fails.
    """
    before = _children()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        said = '\n'.join((done.stdout + done.stderr).splitlines()[-12:])
        raise RuntimeError(f'{" ".join(arguments)} ended with {done.returncode}:\n{said}')
    return _children() - before


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _parts_of_label(state: Path, spent: float) -> list[Stage]:
    """CPU seconds of a command shared out by the elapsed time that its state tells."""
    steps = json.loads(state.read_text())['steps']
    elapsed = sum(step['seconds'] for step in steps.values())
    return [Stage(f'  {name}', spent * step['seconds'] / elapsed) for name, step in steps.items()]
