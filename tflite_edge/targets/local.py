"""The harness on this machine, in a child process: a broken model kills the child and not us."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from tflite_edge.records.job import BenchResult, Job, ScoreResult
from tflite_edge.records.plain import from_plain
from tflite_edge.targets.child import ask

DEADLINE_S = 600.0


def run(job: Job, *, deadline_s: float = DEADLINE_S, python: str | None = None) -> dict[str, Any]:
    """The harness's result for `job` as plain values, by `python` (ours by default), which has the runtime.

    Raises ModelError, MissingError or DataError as the harness found them, TargetError when it died or
    did not answer within the deadline.
    """
    return ask([python or sys.executable], job, deadline_s)


def bench(job: Job, *, deadline_s: float = DEADLINE_S, python: str | None = None) -> BenchResult:
    """Time the job's model. Raises as `run` does."""
    return from_plain(BenchResult, run(replace(job, verb="bench"), deadline_s=deadline_s, python=python))


def score(job: Job, *, deadline_s: float = DEADLINE_S, python: str | None = None) -> ScoreResult:
    """Score the job's model on its pack. Raises as `run` does."""
    return from_plain(ScoreResult, run(replace(job, verb="score"), deadline_s=deadline_s, python=python))
