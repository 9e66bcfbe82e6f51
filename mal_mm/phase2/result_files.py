"""Result files of a test set without public ground truth, such as COCO's test-dev."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config, ConfigDict

from ..config_tree import keep_one_dataset, metrics, type_name


def write_results_only(
    cfg: Config,
    prefix: str | Path,
    ann_file: str | Path | None = None,
    img_root: str | Path | None = None,
) -> None:
    """Make a test write PREFIX.bbox.json and PREFIX.segm.json instead of scores, in place.

    Ground truth is neither read nor needed. Works for what mmdet's CocoMetric and LVISMetric
    evaluate.

    Args:
        cfg: a segmenter of mmdet with `test_dataloader` and `test_evaluator`.
        prefix: of the files; its folder must exist.
        ann_file: images and categories, such as image_info_test-dev2017.json; the config's own
            file if None.
        img_root: folder that the file names in it are relative to; the config's own if None.

    Raises:
        FileNotFoundError: one of the files or folders does not exist.
        ValueError: the config evaluates otherwise.
    """
    prefix = Path(prefix).resolve()
    if not prefix.parent.is_dir():
        raise FileNotFoundError(f'folder {prefix.parent} does not exist; create it first')
    for path in (ann_file, img_root):
        if path is not None and not Path(path).exists():
            raise FileNotFoundError(f'{path} does not exist (from {Path.cwd()})')
    dataset = keep_one_dataset(cfg.test_dataloader)
    if ann_file is not None:
        dataset.ann_file = str(Path(ann_file).resolve())
    if img_root is not None:
        dataset.data_prefix = ConfigDict(img=str(Path(img_root).resolve()))
    dataset.test_mode = True  # images without annotations stay
    dataset.pipeline = [
        step for step in dataset.pipeline if not step.type.endswith('LoadAnnotations')
    ]
    known = [
        each
        for each in metrics(cfg.test_evaluator)
        if type_name(each) in ('CocoMetric', 'LVISMetric')
    ]
    if len(known) != 1:
        raise ValueError(
            'result files come from one CocoMetric or LVISMetric, and `test_evaluator` has '
            f'{len(known)} of them'
        )
    metric = ConfigDict(known[0])
    metric.update(format_only=True, outfile_prefix=str(prefix))
    if ann_file is not None:
        metric.ann_file = dataset.ann_file
    cfg.test_evaluator = metric
