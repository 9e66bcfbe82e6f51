"""The parts of gpu_check.py: each measures one thing and gives rows of its table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        what: was measured.
        value: the number, or None where there is none to give.
        unit: of the value.
        note: said beside it.
        goal: ('>=' or '<=', number); of one H200 at full size.
    """

    what: str
    value: float | None
    unit: str = ''
    note: str = ''
    goal: tuple[str, float] | None = None

    def verdict(self) -> str:
        """'met' or 'missed', '' without a goal."""
        if self.goal is None or self.value is None:
            return ''
        sign, bound = self.goal
        return (
            'met' if (self.value >= bound if sign == '>=' else self.value <= bound) else 'missed'
        )


@dataclass(frozen=True)
class Size:
    """How large everything is."""

    tiny: bool
    crop: int
    instant_crop: int
    batch: int
    images: int
    steps: int
    field: int
    picture: int


SIZES = {
    'full': Size(False, 512, 224, 32, 300, 20, 128, 1024),
    'tiny': Size(True, 64, 56, 2, 1, 1, 16, 64),
}
