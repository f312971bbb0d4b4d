"""One line of the result table, and how repeated measurements are written in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """`met` is None where there is no target. `notes` go below the table in RESULTS.md."""

    what: str
    measured: str
    target: str = ""
    met: bool | None = None
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        return "" if self.met is None else "met" if self.met else "missed"


def seconds(samples_s: Sequence[float]) -> str:
    """The median with the least and the greatest, such as "0.073 s (0.068-0.080)"."""
    middle = median(samples_s)
    digits = 3 if middle < 1 else 2 if middle < 10 else 1
    return f"{middle:.{digits}f} s ({min(samples_s):.{digits}f}-{max(samples_s):.{digits}f})"


def ratio(ours: Sequence[float], bare: Sequence[float]) -> tuple[float, str]:
    """(median of ours / median of bare, the same as text with the ratios of the single pairs as its spread)."""
    middle = median(ours) / median(bare)
    pairs = [a / b for a, b in zip(ours, bare, strict=True)]
    return middle, f"{middle:.3f} x ({min(pairs):.3f}-{max(pairs):.3f})"
