"""Time one model: constructor, first inference, warm-ups and timed runs, each kept apart."""

from __future__ import annotations

import gc
from time import perf_counter_ns
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from tflite_edge.harness.memory import peak, resident
from tflite_edge.harness.pack import check_images, load_pack
from tflite_edge.harness.preprocess import Array, to_input
from tflite_edge.harness.runtime import Chosen, choose, describe, open_interpreter, refusals, tensors
from tflite_edge.harness.sensors import sensors, snapshot
from tflite_edge.records.errors import ModelError
from tflite_edge.records.job import BenchResult, Job
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.sensors import Energy

SEED = 7
MOST_RUNS = 1_000  # a microsecond model must not fill the memory that is measured, nor the manifest

# A measurement beyond one of these is called unstable. pyperf warns at 10 % deviation and at a tail
# 50 % off the mean (pyperf.readthedocs.io, "check"); a microsecond model has twice that from interrupts
# alone. Drift is ours: heat shows in a few per cent.
MOST_SPREAD = 0.10
MOST_DRIFT = 0.05
MOST_TAIL = 2.0


def bench(job: Job) -> BenchResult:
    """Run the model of `job` on one input, set once. Raises ModelError, MissingError or DataError."""
    chosen = choose(job.runtime)
    before = snapshot(job.root)
    began = perf_counter_ns()
    interpreter = open_interpreter(job.model, chosen, job.threads, job.kernels, batch=job.batch)
    init_s = (perf_counter_ns() - began) * 1e-9

    details = interpreter.get_input_details()
    inputs = inputs_of(job, details)
    for index, value in inputs:
        interpreter.set_tensor(index, value)
    with refusals(job.model, chosen):
        first = time_runs(interpreter.invoke, 1, 0.0)
        warmups = time_runs(interpreter.invoke, job.warmups, 0.0)
        samples = time_runs(interpreter.invoke, job.runs, job.min_seconds)
    found = sensors(before, job.root)
    peak_bytes, peak_why = peak()
    taken = _energy(interpreter.invoke, job, chosen) if job.energy else None

    def another() -> Any:
        copy = open_interpreter(job.model, chosen, job.threads, job.kernels, batch=job.batch)
        for index, value in inputs:
            copy.set_tensor(index, value)
        copy.invoke()
        return copy

    resident_bytes: Optional[int]
    try:
        resident_bytes, resident_why = resident(another, peak_bytes)
    except (ModelError, RuntimeError, ValueError, MemoryError) as error:  # the times above are worth more
        resident_bytes, resident_why = None, f"a second interpreter failed: {error}"

    p25, median, p75, p90, p99 = (float(value) for value in np.percentile(samples, (25, 50, 75, 90, 99)))
    stable, stability = judge(samples, found.trouble)
    return BenchResult(
        runtime=describe(chosen),
        threads=job.threads,
        inputs=tensors(details),
        outputs=tensors(interpreter.get_output_details()),
        init_s=init_s,
        first_s=first[0],
        warmups_s=warmups,
        samples_s=samples,
        median_s=median,
        p90_s=p90,
        p99_s=p99,
        min_s=min(samples),
        spread=(p75 - p25) / median,
        stable=stable,
        stability=stability,
        peak_rss_bytes=peak_bytes,
        peak_rss_why=peak_why,
        resident_bytes=resident_bytes,
        resident_why=resident_why,
        batch=job.batch,
        sensors=found,
        energy=taken,
    )


def _energy(invoke: Callable[[], None], job: Job, chosen: Chosen) -> Energy:
    from tflite_edge.harness.energy import energy  # only where it is asked for

    with refusals(job.model, chosen):
        return energy(invoke, job.energy_s, job.power_command, job.root)


def time_runs(invoke: Callable[[], None], runs: int, min_seconds: float) -> List[float]:
    """Seconds of each call: `runs` of them or more, until `min_seconds` have gone by or MOST_RUNS are done.

    The garbage collector is off meanwhile, and only `invoke` is between the two clock readings.
    """
    times: List[int] = []
    clock, keep = perf_counter_ns, times.append
    collecting = gc.isenabled()
    gc.disable()
    try:
        until = clock() + int(min_seconds * 1e9)
        end = 0
        while len(times) < runs or (end < until and 0 < len(times) < MOST_RUNS):
            begin = clock()
            invoke()
            end = clock()
            keep(end - begin)
    finally:
        if collecting:
            gc.enable()
    return [time * 1e-9 for time in times]


def judge(samples_s: Sequence[float], trouble: str = "") -> Tuple[bool, str]:
    """(stable, a sentence that says why, and what to do when it is not), from samples in the order taken.

    trouble: what the sensors say against the run.
    """
    p25, median, p75, p99 = (float(value) for value in np.percentile(samples_s, (25, 50, 75, 99)))
    spread, tail = (p75 - p25) / median, p99 / median
    third = len(samples_s) // 3
    drift = float(np.median(samples_s[-third:]) / np.median(samples_s[:third])) - 1 if third else 0.0
    faults = [trouble] if trouble else []
    if abs(drift) > MOST_DRIFT:
        change = f"the last third is {abs(drift):.0%} {'slower' if drift > 0 else 'faster'} than the first"
        faults.append(f"{change} (cool the board, set the CPU governor to performance, raise the warm-ups)")
    if spread > MOST_SPREAD:
        width = f"half of the runs spread over {spread:.0%} of the median"
        faults.append(f"{width} (stop other programs, use fewer threads than cores)")
    if tail > MOST_TAIL:
        slow = f"the slowest 1 % take {tail:.1f} times the median"
        faults.append(f"{slow} (stop background services, raise the runs)")
    if faults:
        return False, "unstable: " + "; ".join(faults)
    return True, f"stable: spread {spread:.1%}, drift {drift:+.1%}, p99 {tail:.2f} times the median"


def inputs_of(job: Job, details: List[Dict[str, Any]]) -> List[Tuple[int, Array]]:
    """(tensor index, value) of every input: the pack's first image where there is a pack, else random."""
    if job.pack is None:
        generator = np.random.default_rng(SEED)
        return [(detail["index"], random_input(generator, detail, job.model)) for detail in details]
    images = load_pack(job.pack).x
    check_images(images, details, job.pack)
    taker, record = details[0], job.preprocess or Preprocess()
    return [
        (
            taker["index"],
            to_input(np.repeat(images[:1], job.batch, axis=0), record, taker["dtype"], *taker["quantization"]),
        )
    ]


def random_input(generator: np.random.Generator, detail: Dict[str, Any], model: str) -> Array:
    """A valid value for an input: floats in [-1, 1], small integers over their whole range, wide ones 0 or 1.

    Wide integers (int32, int64) are indices or lengths as a rule, and an index out of range is a crash.
    Raises ModelError for a type that cannot be made up, such as a string.
    """
    dtype, shape = np.dtype(detail["dtype"]), tuple(detail["shape"])
    if dtype.kind == "f":
        return generator.uniform(-1.0, 1.0, shape).astype(dtype)
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    if dtype.kind in "iub":
        return generator.integers(0, 2, shape).astype(dtype)
    raise ModelError(
        f"nothing valid can be made up for the input {detail['name']!r} of {model}",
        evidence=f"it takes {dtype.name}",
    )
