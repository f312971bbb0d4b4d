"""Thread and batch settings side by side: each measured in processes of its own, in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tflite_edge.records.job import BenchResult, Job
from tflite_edge.records.timing import Cell, Matrix, recommend
from tflite_edge.targets.machine import Machine

ROUNDS = 3  # of all settings, every other one backwards: what changes with time falls on all alike


def matrix(
    machine: Machine,
    job: Job,
    threads: Sequence[int],
    batches: Sequence[int],
    *,
    deadline_s: float,
    on_progress: Callable[[int, int], None] | None = None,
) -> Matrix:
    """Measure `job` with each of `threads` and `batches`. Raises as `Machine.bench` does."""
    settings = [(count, batch) for batch in batches for count in threads]
    runs: dict[tuple[int, int], list[BenchResult]] = {setting: [] for setting in settings}
    for turn in range(ROUNDS):
        for place, setting in enumerate(settings if turn % 2 == 0 else settings[::-1]):
            if on_progress is not None:
                on_progress(turn * len(settings) + place, ROUNDS * len(settings))
            count, batch = setting
            runs[setting].append(machine.bench(replace(job, threads=count, batch=batch), deadline_s=deadline_s))
    if on_progress is not None:
        on_progress(ROUNDS * len(settings), ROUNDS * len(settings))
    cells = [cell(results) for results in runs.values()]
    best, why = recommend(cells)
    sensors = cells[0].bench.sensors
    cores = sensors.cores if sensors else None
    notes = [
        f"{count} threads on {cores} core{'s' if cores > 1 else ''}: they take turns, and say little about a board"
        for count in threads
        if cores is not None and count > cores
    ]
    return Matrix(cells, (best.threads, best.batch), why, notes)


def cell(results: Sequence[BenchResult]) -> Cell:
    """The runs of one setting together. bench: the last turn's record."""
    samples = np.concatenate([result.samples_s for result in results])
    median = float(np.median(samples))
    last = results[-1]
    return Cell(
        threads=last.threads,
        batch=last.batch,
        median_s=median,
        p99_s=float(np.percentile(samples, 99)),
        per_image_s=median / last.batch,
        rounds_s=[result.median_s for result in results],
        bench=last,
        trouble=next((one.sensors.trouble for one in results if one.sensors and one.sensors.trouble), ""),
    )
