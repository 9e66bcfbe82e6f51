"""COCO's evaluation for ids of any kind."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from typing import Any

from pycocotools.coco import COCO

# beyond it floats, which the evaluators keep ids in, no longer tell neighbours apart
_EXACT = 2**53


def with_exact_ids(evaluator: type) -> type:
    """A COCOeval that numbers images, categories and annotations anew where it has to.

    pycocotools and faster-coco-eval keep ids as floats or 64-bit integers: large ones fall
    together (all detections then match), texts are refused, and annotation 0 counts as none.

    Args:
        evaluator: pycocotools' COCOeval, or a class with its interface.
    """

    class ExactIds(evaluator):
        def __init__(self, gt: COCO, found: COCO, *args: Any, **options: Any) -> None:
            self._numbers: dict[str, dict[Any, int]] = {}
            if not _are_plain(gt, found):
                self._numbers = {
                    'imgIds': _number(gt.dataset['images']),
                    'catIds': _number(gt.dataset.get('categories') or []),
                }
                gt, found = (self._renumbered(each) for each in (gt, found))
            super().__init__(gt, found, *args, **options)

        def evaluate(self) -> Any:
            """As the parent does; ids in `params` may still be those of the files."""
            for name, numbers in self._numbers.items():
                ids = getattr(self.params, name)
                setattr(self.params, name, [numbers.get(each, each) for each in ids])
            return super().evaluate()

        def _renumbered(self, coco: COCO) -> COCO:
            images, categories = self._numbers['imgIds'], self._numbers['catIds']
            renumbered = COCO()
            renumbered.dataset = {
                **coco.dataset,
                'images': [{**each, 'id': images[each['id']]} for each in coco.dataset['images']],
                'categories': [
                    {**each, 'id': categories[each['id']]}
                    for each in coco.dataset.get('categories') or []
                ],
                'annotations': [
                    {
                        **each,
                        'id': number,
                        'image_id': images[each['image_id']],
                        'category_id': categories[each['category_id']],
                    }
                    for number, each in enumerate(coco.dataset['annotations'], 1)
                ],
            }
            with contextlib.redirect_stdout(io.StringIO()):
                renumbered.createIndex()
            return renumbered

    ExactIds.__name__ = ExactIds.__qualname__ = evaluator.__name__
    return ExactIds


def _are_plain(gt: COCO, found: COCO) -> bool:
    return all(
        type(each) is int and 0 <= each < _EXACT
        for ids in (gt.imgs, gt.cats, found.imgs)
        for each in ids
    ) and all(
        type(each) is int and 0 < each < _EXACT for coco in (gt, found) for each in coco.anns
    )


def _number(records: Iterable[dict[str, Any]]) -> dict[Any, int]:
    return {record['id']: number for number, record in enumerate(records, 1)}
