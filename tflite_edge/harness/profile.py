"""What each operator takes: the model is timed when cut short after each of them, and differences are taken."""

from __future__ import annotations

import math
from typing import Any, Callable, List

import numpy as np

from tflite_edge.harness.bench import inputs_of, time_runs
from tflite_edge.harness.runtime import choose, describe, open_interpreter, refusals
from tflite_edge.harness.sensors import sensors, snapshot
from tflite_edge.records.cut import Cut, shortened
from tflite_edge.records.errors import ModelError
from tflite_edge.records.job import Job
from tflite_edge.records.timing import OperatorTime, ProfileResult

HOW = (
    "differences of medians between the model cut short after each operator and after the one before: the runtimes' "
    "Python interface has no profiler. What a runtime fuses counts where the fused part is complete, so an operator "
    "may come out near nothing, or below"
)
LEAST_RUNS, PASS_S = 5, 0.1  # of each cut, in each of the two passes


def profile(job: Job) -> ProfileResult:
    """Time the job's model after each of its cuts. Raises ModelError, MissingError or DataError."""
    assert job.cuts  # Job refuses a profile without them
    chosen = choose(job.runtime)
    interpreter = open_interpreter(job.model, chosen, job.threads)
    inputs = inputs_of(job, interpreter.get_input_details())
    del interpreter
    with open(job.model, "rb") as stream:
        content = stream.read()

    def invoker(cut: Cut) -> Callable[[], None]:
        short = chosen.module.Interpreter(model_content=_short(job, content, cut), num_threads=job.threads)
        short.allocate_tensors()
        for index, value in inputs:
            short.set_tensor(index, value)
        invoke: Callable[[], None] = short.invoke
        return invoke

    before = snapshot(job.root)
    with refusals(job.model, chosen):
        # There and back: what gets slower with time falls on both neighbours of each difference alike.
        there = [_timed(invoker(cut), job) for cut in job.cuts]
        back = [_timed(invoker(cut), job) for cut in reversed(job.cuts)]
    samples = {cut.operators: pair for cut, pair in zip(job.cuts, zip(there, reversed(back)))}
    total, empty = (float(np.median(np.concatenate(samples[end]))) for end in (max(samples), min(samples)))
    return ProfileResult(
        runtime=describe(chosen),
        threads=job.threads,
        total_s=total,
        empty_s=empty,
        operators=[
            operator_time(late, samples[early.operators], samples[late.operators], total)
            for early, late in zip(job.cuts, job.cuts[1:])
        ],
        how=HOW,
        sensors=sensors(before, job.root),
    )


def _short(job: Job, content: bytes, cut: Cut) -> bytes:
    try:
        return shortened(content, cut)
    except ValueError as error:
        raise ModelError(f"{job.model} changed while it was measured", evidence=str(error)) from error


def _timed(invoke: Callable[[], None], job: Job) -> List[float]:
    time_runs(invoke, max(job.warmups, 1), 0.0)
    return time_runs(invoke, LEAST_RUNS, PASS_S)


def operator_time(cut: Cut, early: Any, late: Any, total_s: float) -> OperatorTime:
    """From the seconds of the two passes without and with the operator, ([...], [...]) each."""
    steps = [float(np.median(after) - np.median(before)) for before, after in zip(early, late)]
    before_width, width = (half_width(np.concatenate(pair)) for pair in (early, late))
    seconds = float(np.median(np.concatenate(late)) - np.median(np.concatenate(early)))
    return OperatorTime(
        index=cut.operators - 1,
        name=cut.last,
        seconds=seconds,
        noise_s=max(math.hypot(before_width, width), abs(steps[0] - steps[1]) / 2),
        share=seconds / total_s,
    )


def half_width(samples: Any) -> float:
    """Half of the 95 % interval of a median, from the order of the samples alone (David and Nagaraja, 2003, 7.1)."""
    ordered = np.sort(samples)
    reach = 0.98 * np.sqrt(len(ordered))  # 1.96 standard deviations of a binomial with p = 1/2
    low = ordered[max(int(np.floor((len(ordered) - 1) / 2 - reach)), 0)]
    high = ordered[min(int(np.ceil((len(ordered) - 1) / 2 + reach)), len(ordered) - 1)]
    return float(high - low) / 2
