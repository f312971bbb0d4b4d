"""Which range of values 8 bits are to hold: all that was seen, nearly all, or that which costs least.

A few values far out make the steps coarse for all others; cut off, they are wrong themselves. "mse" weighs one
against the other on the histogram of the calibration samples; the percentiles cut a fixed share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tflite_edge.flatbuffer.network import Floats

RULES = ("minmax", "mse", "99.99", "99.9")  # numbers: percent of the values; the rest is cut at each end
STEPS = 255
SHRINKS = 64  # ranges that "mse" tries for an end
ROUNDS = 3  # in which it turns to each end


def choose(rule: str, low: float, high: float, counts: Floats) -> tuple[float, float]:
    """(low, high) by one of RULES. counts: int64 [bins], equal bins from low to high. Zero is always held."""
    import numpy as np

    if rule == "minmax" or not high > low:
        return min(low, 0.0), max(high, 0.0)
    edges = np.linspace(low, high, len(counts) + 1)
    if rule == "mse":
        return _least_error((edges[1:] + edges[:-1]) / 2, counts, min(low, 0.0), max(high, 0.0))
    cut = (1 - float(rule) / 100) * counts.sum()
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    first, last = int(np.searchsorted(below, cut, "right")), int((above > cut).sum())
    # A bin at either end that alone holds the share (the zeros of a ReLU) is no outlier.
    return min(float(edges[first]), 0.0), max(float(edges[last]), 0.0)


def _least_error(values: Floats, counts: Floats, low: float, high: float) -> tuple[float, float]:
    """The ends under which the squared error is least: one after the other, from the whole range."""
    import numpy as np

    shares = np.linspace(1, 1 / SHRINKS, SHRINKS)
    for _ in range(ROUNDS):
        before = low, high
        high = min((high * share for share in shares), key=lambda end: _error(values, counts, low, end))
        low = min((low * share for share in shares), key=lambda end: _error(values, counts, end, high))
        if (low, high) == before:
            break
    return low, high


def _error(values: Floats, counts: Floats, low: float, high: float) -> float:
    """Of all values together: a step's variance for those inside (Bennett 1948), the whole distance outside."""
    import numpy as np

    if not high > low:
        return float("inf")
    outside = values - np.clip(values, low, high)
    step = (high - low) / STEPS
    return float(counts @ (outside**2) + counts[outside == 0].sum() * step**2 / 12)
