"""Count the instructions of one inference, where something outside counts them.

Under QEMU, a plugin (targets/emulator/count.c) adds up what is executed, and writes a line with the sums so far each
time this process calls getppid(2), a call that changes nothing and that nothing else here makes. So two calls bracket
an inference, and the difference of their lines is what it took, with a few thousand instructions of Python's own.
"""

from __future__ import annotations

import gc
import os
from typing import Any, List, Tuple

from tflite_edge.harness.bench import inputs_of
from tflite_edge.harness.runtime import Chosen, choose, describe, open_interpreter, refusals, tensors
from tflite_edge.records.cut import shortened
from tflite_edge.records.errors import MissingError
from tflite_edge.records.job import CountResult, Job

# Between processes the same file differed by up to 0.02 %: allocators and dictionaries depend on addresses.
MOST_SPREAD = 0.001


def count(job: Job) -> CountResult:
    """Count `job.runs` inferences of the model and one of each cut. Raises ModelError, MissingError or DataError."""
    assert job.counts is not None
    chosen = choose(job.runtime)
    interpreter = open_interpreter(job.model, chosen, job.threads, job.kernels)
    details = interpreter.get_input_details()
    collecting = gc.isenabled()
    gc.disable()
    try:
        _bracket(job, chosen, interpreter, job.runs)
        cuts = _count_cuts(job, chosen)
    finally:
        if collecting:
            gc.enable()
    names, rows = read_counts(job.counts, 2 * (job.runs + cuts))
    # Python 3.9 has no zip(strict=True); read_counts has looked at the lengths.
    counted = [[last - first for first, last in zip(*pair)] for pair in zip(rows[::2], rows[1::2])]
    whole, shortened = counted[: job.runs], counted[job.runs :]
    median = sorted(whole, key=sum)[len(whole) // 2]
    totals = [sum(row) for row in whole]
    spread = (max(totals) - min(totals)) / sum(median)
    exact = len(totals) > 1 and spread <= MOST_SPREAD
    return CountResult(
        runtime=describe(chosen),
        kernels=job.kernels,
        threads=job.threads,
        inputs=tensors(details),
        outputs=tensors(interpreter.get_output_details()),
        classes=dict(zip(names, median)),
        total=sum(median),
        runs=totals,
        spread=spread,
        exact=exact,
        why=f"{len(totals)} inferences differ by {spread:.3%}; up to {MOST_SPREAD:.1%} is called exact",
        cuts=[sum(row) for row in shortened],
    )


def _bracket(job: Job, chosen: Chosen, interpreter: Any, runs: int) -> None:
    for index, value in inputs_of(job, interpreter.get_input_details()):
        interpreter.set_tensor(index, value)
    mark, invoke = os.getppid, interpreter.invoke
    with refusals(job.model, chosen):
        invoke()  # the first one allocates and packs weights
        for _ in range(runs):
            mark()
            invoke()
            mark()


def _count_cuts(job: Job, chosen: Chosen) -> int:
    """How many cuts were counted: all of them. One interpreter after the other, so that their memory is not needed
    at once."""
    if not job.cuts:
        return 0
    with open(job.model, "rb") as stream:
        content = stream.read()
    for cut in job.cuts:
        short = shortened(content, cut)
        _bracket(job, chosen, open_interpreter(job.model, chosen, job.threads, job.kernels, content=short), 1)
    return len(job.cuts)


def read_counts(path: str, rows: int) -> Tuple[List[str], List[List[int]]]:
    """(names of the classes, `rows` lines of their sums) from the file that the counter writes. Raises MissingError."""
    try:
        with open(path, encoding="ascii") as stream:
            names, *lines = [line.split() for line in stream]
        counted = [[int(word) for word in line] for line in lines]
    except (OSError, ValueError) as error:
        evidence = str(error)
    else:
        if len(counted) == rows and all(len(row) == len(names) for row in counted):
            return names, counted
        evidence = f"{path} has {len(counted)} lines of {len(names)} classes; {rows} were expected"
    raise MissingError(
        "nothing counts instructions here",
        evidence=evidence,
        do="count on an emulated board: tflite-edge bench MODEL --on emulator:pi4",
    )
