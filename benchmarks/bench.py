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
from tflite_edge.targets import local

MOST, MOST_MB = 1.02, 10.0
RUNS = 300
MODES = ("float32", "int8")


def bench(*, quick: bool) -> list[Row]:
    """The same file in the harness and in a loop written by hand, in processes that take turns."""
    made = zoo_files("mobilenet", alpha=1.0, size=96, classes=10, modes=MODES, images=1000)
    return [row for mode in MODES for row in _compare(mode, made / f"{mode}.tflite", 2 if quick else 5)]


def _compare(mode: str, model: Path, pairs: int) -> list[Row]:
    def loop(runs: int) -> dict[str, Any]:
        return dict(json.loads(script("bare/latency", model, str(runs)).stdout))

    job = Job("bench", str(model), runs=RUNS, min_seconds=0.0)
    harness: list[BenchResult]
    harness, bare, once = alternate(pairs, lambda: local.bench(job), lambda: loop(RUNS), lambda: loop(0))
    _same_runtime(harness[0], bare[0])
    value, text = ratio([result.median_s for result in harness], [result["median_s"] for result in bare])
    milliseconds = [1e3 * median(times) for times in ([r.median_s for r in harness], [r["median_s"] for r in bare])]
    added = [
        ((ours.peak_rss_bytes or 0) - plain["peak_bytes"]) / 1e6 for ours, plain in zip(harness, once, strict=True)
    ]
    return [
        Row(
            f"{mode}: `bench` / bare loop",
            text,
            f"<= {MOST} x",
            value <= MOST,
            (
                f"MobileNet 1.0, 96x96x3, {harness[0].runtime.name} {harness[0].runtime.version}, 1 thread: "
                f"{milliseconds[0]:.3f} and {milliseconds[1]:.3f} ms, medians of {pairs} x {RUNS} runs",
            ),
        ),
        Row(
            f"{mode}: memory over bare",
            f"{median(added):+.1f} MB ({min(added):+.1f} to {max(added):+.1f})",
            f"<= {MOST_MB:g} MB",
            median(added) <= MOST_MB,
            (
                f"VmHWM of the harness, {median((r.peak_rss_bytes or 0) / 1e6 for r in harness):.1f} MB, "
                "less that of a script that allocates and invokes once",
            ),
        ),
    ]


def _same_runtime(ours: BenchResult, bare: dict[str, Any]) -> None:
    assert ours.runtime.name.replace("-", "_") == bare["runtime"], (ours.runtime.name, bare["runtime"])
