"""The jobs of profile_job.py, and the table that each of them gives."""

from __future__ import annotations

from dataclasses import dataclass

from .limits import Limits


@dataclass(frozen=True)
class Stage:
    """One line of a table.

    Args:
        name: of the stage; one that begins with two spaces is part of the one above.
        seconds: CPU time, or what the table's title says.
        flops: floating point operations, 0 where they are not counted.
        bytes: read from memory and written to it, 0 where they are not known.
        bf16: whether the operations run in bf16.
    """

    name: str
    seconds: float
    flops: float = 0
    bytes: float = 0
    bf16: bool = False

    def least_seconds(self, limits: Limits) -> float | None:
        """What the machine would need at its limit, None where the work is not known."""
        if self.flops:
            return self.flops / (limits.bf16 if self.bf16 else limits.fp32)
        return self.bytes / limits.memcpy if self.bytes else None


@dataclass(frozen=True)
class Table:
    """Where the seconds of one job go."""

    title: str
    total: float
    stages: list[Stage]

    def rows(self, limits: Limits) -> list[list[str]]:
        """Cells of the table, head first; what no stage accounts for is the rest."""
        counted = sum(stage.seconds for stage in self.stages if not stage.name.startswith('  '))
        rest = [Stage('the rest', self.total - counted)] if self.total > counted else []
        head = ['stage', 'seconds', 'share', 'work', 'reached', 'limit', 'of the limit']
        return [head, *(self._row(stage, limits) for stage in [*self.stages, *rest]), self._foot()]

    def _row(self, stage: Stage, limits: Limits) -> list[str]:
        least = stage.least_seconds(limits)
        cells = [stage.name, f'{stage.seconds:.3g}', f'{stage.seconds / self.total:.1%}']
        if least is None or not stage.seconds:
            return [*cells, '', '', '', '']
        if stage.flops:
            work, unit, limit = stage.flops, 'GFLOP', limits.bf16 if stage.bf16 else limits.fp32
        else:
            work, unit, limit = stage.bytes, 'GB', limits.memcpy
        cells += [f'{work / 1e9:.3g} {unit}', f'{work / stage.seconds / 1e9:.3g} {unit}/s']
        return [*cells, f'{limit / 1e9:.3g} {unit}/s', f'{least / stage.seconds:.0%}']

    def _foot(self) -> list[str]:
        return ['together', f'{self.total:.3g}', '100.0%', '', '', '', '']
