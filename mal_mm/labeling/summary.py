"""What happened to a file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..formats.boxes import Skip
from ..formats.mal_fields import EMPTY_MASK, IGNORE, flag_of, quality_of, skip_reason

BINS = 10


@dataclass
class Summary:
    """Counts of a labelled file.

    Attributes:
        annotations: annotations in the file.
        masks: annotations that got a mask.
        passed: annotations that passed through untouched.
        empty: masks that came out empty and were replaced by the box.
        ignored: masks below the least quality asked for.
        same: masks drawn again for a review that came out as they were.
        skips: annotations without a new mask, with the reason.
        warnings: what is strange about the boxes as a whole.
        qualities: number of masks with a quality in [0, 0.1), [0.1, 0.2), ... [0.9, 1].
    """

    annotations: int = 0
    masks: int = 0
    passed: int = 0
    empty: int = 0
    ignored: int = 0
    same: int = 0
    skips: list[Skip] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    qualities: list[int] = field(default_factory=lambda: [0] * BINS)
    _image_ids: set = field(default_factory=set)

    @property
    def images(self) -> int:
        """Images in which masks were drawn."""
        return len(self._image_ids)

    def add(self, fields: dict[str, Any], place: int, annotation: dict[str, Any]) -> None:
        """Count the fields of one annotation, see `PortionLabeler.run`."""
        reason = skip_reason(fields)
        if reason is not None:
            self.skips.append(Skip(place, annotation.get('id'), reason))
            return
        self.masks += 1
        self._image_ids.add(annotation['image_id'])
        self.empty += flag_of(fields) == EMPTY_MASK
        self.ignored += IGNORE in fields
        self.qualities[min(int(quality_of(fields) * BINS), BINS - 1)] += 1

    def reasons(self) -> Counter:
        """Reason -> number of annotations."""
        return Counter(skip.reason for skip in self.skips)

    def as_dict(self) -> dict[str, Any]:
        """What JSON can hold; ids and reasons of the skipped annotations included."""
        return dict(
            annotations=self.annotations,
            images=self.images,
            masks=self.masks,
            passed=self.passed,
            empty=self.empty,
            ignored=self.ignored,
            quality_histogram=self.qualities,
            warnings=self.warnings,
            skipped=[
                dict(annotation_id=skip.annotation_id, reason=skip.reason) for skip in self.skips
            ],
        )
