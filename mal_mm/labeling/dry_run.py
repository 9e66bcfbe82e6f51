"""What a labeling job would do, without doing it."""

from __future__ import annotations

from ..formats.image_hints import name_hint
from ..formats.paths import resolve_under
from .job import LabelingJob


def describe_job(job: LabelingJob, limit: int = 20) -> tuple[str, int]:
    """Describe a job, and look whether each of its images is there.

    Args:
        job: not started, or interrupted.
        limit: problems that are listed.

    Returns:
        Lines without a closing line break, and the number of problems.
    """
    plan = job.plan
    images = sorted(set(plan.image_indices.tolist()))
    problems = [f'annotation {skip.annotation_id}: {skip.reason}' for skip in plan.skips]
    missing = []
    for index in images:
        try:
            path = resolve_under(job.img_root, plan.file_names[index])
            if not path.is_file():
                missing.append(f'{path}: no such image{name_hint(path)}')
        except (OSError, ValueError) as error:
            missing.append(str(error))
    lines = [
        f'{job.ann}: {plan.count} annotations, {len(plan.places)} boxes to label in '
        f'{len(images)} images, {plan.passed} pass through untouched, {len(plan.skips)} have no '
        f'usable box, {len(missing)} images cannot be found'
    ]
    problems += missing
    lines += [f'warning: {each}' for each in plan.survey()]
    if images and len(missing) == len(images):
        lines.append(
            f'none of the images is under --img-root {job.img_root}; the run would refuse to start'
        )
    lines += [f'  {problem}' for problem in problems[:limit]]
    if len(problems) > limit:
        lines.append(f'  and {len(problems) - limit} more')
    if job.folder.exists():
        lines.append(
            f'{job.done_boxes()} boxes are done already in {job.folder}; --resume goes on'
        )
    lines.append(f'would write {job.out}; nothing was changed')
    return '\n'.join(lines), len(problems)
