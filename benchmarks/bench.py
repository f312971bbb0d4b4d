"""What the harness adds to a bare `invoke()` loop: time and memory."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.fixture import zoo_files
from benchmarks.process import alternate, script
from benchmarks.row import Row, ratio
from tflite_edge.records.job import BenchResult, Job
from tflite_edge.targets.local import Local

MOST, MOST_MB = 1.02, 10.0
# A shared machine moves the median of one process by some 5 %: the ratio to 2 % needs several of them.
PAIRS, RUNS = 11, 200
MODES = ("float32", "int8")


def bench(*, quick: bool) -> list[Row]:
    """The same file in the harness and in a loop written by hand, in processes that take turns."""
    made = zoo_files("mobilenet", alpha=1.0, size=96, classes=10, modes=MODES, images=1000)
    return [row for mode in MODES for row in _compare(mode, made / f"{mode}.tflite", 2 if quick else PAIRS)]


def _compare(mode: str, model: Path, pairs: int) -> list[Row]:
    def loop(runs: int) -> dict[str, Any]:
        return dict(json.loads(script("bare/latency", model, str(runs)).stdout))

    job = Job("bench", str(model), runs=RUNS, min_seconds=0.0)
    harness, bare, once = alternate(pairs, lambda: Local().bench(job), lambda: loop(RUNS), lambda: loop(0))
    _same_runtime(harness[0], bare[0])
    return [_time(mode, harness, bare), _memory(harness, once)]


def _time(mode: str, harness: list[BenchResult], bare: list[dict[str, Any]]) -> Row:
    ours, plain = [result.median_s for result in harness], [result["median_s"] for result in bare]
    value, text = ratio(ours, plain)
    runtime = f"{harness[0].runtime.name} {harness[0].runtime.version}"
    notes = (
        f"MobileNet 1.0, 96x96x3, {runtime}, 1 thread",
        f"{1e3 * median(ours):.3f} and {1e3 * median(plain):.3f} ms, medians of {len(ours)} processes of {RUNS} runs",
    )
    return Row(f"{mode}: `bench` / bare loop", text, f"<= {MOST} x", value <= MOST, notes)


def _memory(harness: list[BenchResult], once: list[dict[str, Any]]) -> Row:
    """VmHWM of the harness process, less that of a script that allocates and invokes once."""
    ours = [(result.peak_rss_bytes or 0) / 1e6 for result in harness]
    plain = [result["peak_bytes"] / 1e6 for result in once]
    added = [a - b for a, b in zip(ours, plain, strict=True)]
    text = f"{median(added):+.1f} MB ({min(added):+.1f} to {max(added):+.1f})"
    notes = (f"peak {median(ours):.1f} MB, and {median(plain):.1f} MB of a script that allocates and invokes once",)
    return Row("  memory over bare", text, f"<= {MOST_MB:g} MB", median(added) <= MOST_MB, notes)


def _same_runtime(ours: BenchResult, bare: dict[str, Any]) -> None:
    assert ours.runtime.name.replace("-", "_") == bare["runtime"], (ours.runtime.name, bare["runtime"])
