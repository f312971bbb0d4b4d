"""Keep a pace: one inference every period, on an absolute schedule, and how well that went."""

from __future__ import annotations

import gc
import time
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

import numpy as np

from tflite_edge.harness.bench import inputs_of, time_runs
from tflite_edge.harness.preprocess import Array
from tflite_edge.harness.runtime import choose, describe, open_interpreter, refusals
from tflite_edge.harness.sensors import sensors, snapshot
from tflite_edge.records.job import Job, periods_of
from tflite_edge.records.timing import RealtimeResult

MINUTE_S, PART = 60.0, 0.2  # the parts compared for drift: a minute, or a fifth of a run shorter than five


class Frame(NamedTuple):
    """One inference: the number of its due time, and when it started and ended, in seconds after the run's start."""

    number: int
    start_s: float
    end_s: float


def realtime(job: Job) -> RealtimeResult:
    """Run the job's model at its period. Raises as `bench` does."""
    period_s = job.period_s or 0.0
    periods = periods_of(period_s, job.duration_s)
    chosen = choose(job.runtime)
    interpreter = open_interpreter(job.model, chosen, job.threads)
    inputs = inputs_of(job, interpreter.get_input_details())
    outputs = [detail["index"] for detail in interpreter.get_output_details()]

    def frame() -> None:
        for index, value in inputs:
            interpreter.set_tensor(index, value)
        interpreter.invoke()
        for index in outputs:
            interpreter.get_tensor(index)

    with refusals(job.model, chosen):
        time_runs(frame, max(job.warmups, 1), 0.0)
        before = snapshot(job.root)
        frames = keep_pace(frame, period_s, periods)
    found = sensors(before, job.root)
    return RealtimeResult(
        runtime=describe(chosen),
        threads=job.threads,
        period_s=period_s,
        duration_s=periods * period_s,
        sensors=found,
        **summary(frames, period_s, periods),
    )


def keep_pace(
    frame: Callable[[], None],
    period_s: float,
    periods: int,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> List[Frame]:
    """Call `frame` at each due time, k periods after the start; those that pass while it runs are left out."""
    frames: List[Frame] = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        began, number = clock(), 0
        while number < periods:
            wait = number * period_s - (clock() - began)
            if wait > 0:
                sleep(wait)
            start = clock() - began
            frame()
            end = clock() - began
            frames.append(Frame(number, start, end))
            number = next_due(number, end, period_s)
    finally:
        if collecting:
            gc.enable()
    return frames


def next_due(number: int, end_s: float, period_s: float) -> int:
    """The first due time after `number` that is not over when a frame ends at `end_s`."""
    following = number + 1
    while following * period_s < end_s:
        following += 1
    return following


def summary(frames: List[Frame], period_s: float, periods: int) -> Dict[str, Any]:
    """The fields of RealtimeResult that follow from the frames."""
    numbers, starts, ends = (np.array(column) for column in zip(*frames))
    latencies, lateness = ends - starts, starts - numbers * period_s
    late = int((ends > (numbers + 1) * period_s).sum())
    skipped = periods - len(frames)
    p25, p50, p75, p99, p999 = (float(value) for value in np.percentile(latencies, (25, 50, 75, 99, 99.9)))
    drift, part_s = drift_of(starts, latencies, periods * period_s)
    enough = len(frames) >= 1000
    return {
        "periods": periods,
        "late": late,
        "skipped": skipped,
        "misses": late + skipped,
        "miss_share": (late + skipped) / periods,
        "starts": [int(number) for number in numbers],
        "latencies_s": latencies.tolist(),
        "lateness_s": lateness.tolist(),
        "p50_s": p50,
        "p99_s": p99,
        "p999_s": p999 if enough else None,
        "p999_why": "" if enough else f"p99.9 needs 1,000 frames, and {len(frames)} ran",
        "max_s": float(latencies.max()),
        "lateness_p99_s": float(np.percentile(lateness, 99)),
        "lateness_max_s": float(lateness.max()),
        "spread": (p75 - p25) / p50,
        "drift": drift,
        "part_s": part_s,
    }


def drift_of(starts_s: Array, latencies_s: Array, duration_s: float) -> Tuple[float, float]:
    """(median latency of the last part over that of the first, less one; seconds of a part)."""
    part_s = min(MINUTE_S, PART * duration_s)
    first, last = latencies_s[starts_s < part_s], latencies_s[starts_s >= duration_s - part_s]
    if not len(first) or not len(last):
        return 0.0, part_s
    return float(np.median(last) / np.median(first)) - 1, part_s
