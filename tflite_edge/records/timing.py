"""What is found out beyond one benchmark: keeping a pace, each operator's share, the best number of threads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Optional, Tuple

from tflite_edge.records.job import BenchResult, Runtime
from tflite_edge.records.sensors import Sensors
from tflite_edge.records.verdict import Finding


@dataclass(frozen=True)
class RealtimeResult:
    """One frame every `period_s`: inputs set, model run, outputs read. Every `*_s` is in seconds.

    The k-th frame is due at k periods after the start, so lateness does not add up. Its deadline is the next due time.
    periods: due times in the run. late: frames that ended after their deadline. skipped: due times that passed while an
    earlier frame was still running; nothing is started for them. misses: both.
    starts: for each frame that ran, which due time it is of. latencies_s: start to end of each. lateness_s: from
    the due time to the start: how late the system woke the process up.
    p999_s: None below a thousand frames. drift: last part's median over the first's, less one; part_s: how long these
    parts are, a minute or a fifth of the run.
    """

    runtime: Runtime
    threads: int
    period_s: float
    duration_s: float
    periods: int
    late: int
    skipped: int
    misses: int
    miss_share: float
    starts: List[int]
    latencies_s: List[float]
    lateness_s: List[float]
    p50_s: float
    p99_s: float
    p999_s: Optional[float]
    p999_why: str
    max_s: float
    lateness_p99_s: float
    lateness_max_s: float
    spread: float
    drift: float
    part_s: float
    sensors: Sensors


@dataclass(frozen=True)
class OperatorTime:
    """Median seconds that the operator adds to those before it. noise_s: a difference below it is none."""

    index: int
    name: str
    seconds: float
    noise_s: float
    share: float

    @property
    def clear(self) -> bool:
        return self.seconds > self.noise_s


@dataclass(frozen=True)
class ProfileResult:
    """What each operator takes: the model ending with it, less the model ending before it.

    empty_s: the model without operators. total_s: the whole model. shares are of total_s.
    how: in a sentence, with what such a difference cannot tell.
    """

    runtime: Runtime
    threads: int
    total_s: float
    empty_s: float
    operators: List[OperatorTime]
    how: str
    sensors: Sensors


@dataclass(frozen=True)
class Cell:
    """One setting of the matrix: the runs of all its rounds together. per_image_s: median over the batch.

    bench: of the last round. trouble: what the sensors said first against one of the rounds, or "".
    """

    threads: int
    batch: int
    median_s: float
    p99_s: float
    per_image_s: float
    rounds_s: List[float]
    bench: BenchResult
    trouble: str = ""


@dataclass(frozen=True)
class Matrix:
    """Settings measured in turns, each turn in a process of its own. recommended: (threads, batch)."""

    cells: List[Cell]
    recommended: Tuple[int, int]
    why: str
    notes: List[str] = field(default_factory=list)


NEAR = 0.05  # as fast as the best, for all practical purposes: drift and spread of a good run


def recommend(cells: List[Cell]) -> Tuple[Cell, str]:
    """(the setting to use, why): of those within NEAR of the fastest per image, the fewest threads, then images."""
    best = min(cells, key=lambda cell: cell.per_image_s)
    near = [cell for cell in cells if cell.per_image_s <= best.per_image_s * (1 + NEAR)]
    chosen = min(near, key=lambda cell: (cell.threads, cell.batch))
    if chosen is best:
        fewest = best.threads == min(cell.threads for cell in cells)
        rest = "and the fewest threads" if fewest else f"nothing with fewer threads is within {NEAR:.0%} of it"
        return best, f"the fastest per image, {rest}"
    gap = chosen.per_image_s / best.per_image_s - 1
    name = f"{best.threads} threads" + (f", batch {best.batch}" if best.batch > 1 else "")
    return chosen, f"within {gap:.1%} of the fastest ({name}) and leaves more of the machine to others"


def missed(result: RealtimeResult) -> Tuple[Finding, ...]:
    """The broken promise of a run that did not keep its pace."""
    if not result.misses:
        return ()
    if result.p50_s > result.period_s:
        do = "the model is too slow for this period: a smaller or quantised model, more threads, or a longer period"
    elif result.p99_s > result.period_s:
        do = f"a period of {1e3 * 1.1 * result.p99_s:.3g} ms or longer, a faster model, or fewer other programs"
    elif result.lateness_p99_s > result.p50_s:
        late = f"the model is fast enough, and the system starts it up to {1e3 * result.lateness_max_s:.3g} ms late"
        do = f"{late}: stop other programs, raise the priority (chrt -f 50), lift CPU limits of a container"
    else:
        do = "rare outliers: stop background services, set the governor to performance, raise the priority (chrt -f 50)"
    return (
        Finding(
            f"{result.misses} of {result.periods} deadlines were missed ({result.miss_share:.2%})",
            f"{result.late} frames ended late and {result.skipped} were skipped; median {1e3 * result.p50_s:.3f} ms, "
            f"slowest {1e3 * result.max_s:.3f} ms, period {1e3 * result.period_s:g} ms",
            do,
        ),
    )
