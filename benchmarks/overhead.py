"""What a process of the harness costs on each target, beside a bare script that imports and answers once."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.parity import TARGETS
from benchmarks.process import HERE, alternate, run
from benchmarks.row import ratio, seconds
from tflite_edge import inspect
from tflite_edge.cli.sink import Table
from tflite_edge.records.job import Job
from tflite_edge.targets import open_machine
from tflite_edge.targets.emulator import Emulated

ROUNDS = 3
ABOUT = (
    f"Seconds of a whole process, its start included: median of {ROUNDS} (least-greatest), in turn. bare: Python, NumPy"
    " and the runtime imported, one inference. score: a job of one image. count: the instructions of an inference. "
    "Ratios are to bare; an emulated second is no board's second"
)


def overhead(model: Path, rounds: int = ROUNDS) -> Table:
    """One row per target. model: a small int8 file of images."""
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        pack = Path(work) / "pack.npz"
        shape = inspect(model).inputs[0].shape
        np.savez(pack, x=np.random.default_rng(7).integers(0, 256, shape, np.uint8))
        rows = [_row(name, model, pack, rounds) for name in TARGETS]
    columns = ["target ", "runtime ", "bare", "score", "score / bare", "count", "count / bare"]
    return Table(columns, rows, ABOUT, spare=("runtime ",))


def _row(name: str, model: Path, pack: Path, rounds: int) -> list[str]:
    machine = open_machine(name)
    python = machine.argv() if isinstance(machine, Emulated) else [sys.executable]
    runtime = machine.default_runtime if isinstance(machine, Emulated) else "ai-edge-litert"

    def bare() -> float:
        return run(*python, HERE / "bare" / "latency.py", model, "0").seconds

    def score() -> float:
        began = perf_counter()
        machine.score(Job("score", str(model), runtime, pack=str(pack)))
        return perf_counter() - began

    def count() -> float:
        assert isinstance(machine, Emulated)
        began = perf_counter()
        machine.count(Job("bench", str(model), runtime))
        return perf_counter() - began

    sides = [bare, score, count] if isinstance(machine, Emulated) else [bare, score]
    took = alternate(rounds, *sides)
    cells = [seconds(took[0])]
    for side in took[1:]:
        cells += [seconds(side), ratio(side, took[0])[1]]
    return [name, runtime, *cells, *["-"] * (5 - len(cells))]
