"""The harness on this machine, in a child process: a broken model kills the child and not us."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from tflite_edge.flatbuffer import Facts, refuse_sparse
from tflite_edge.records.errors import ModelError, TargetError
from tflite_edge.records.job import RUNTIMES, BenchResult, Job, ScoreResult
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


def score_of(facts: Facts, job: Job, *, deadline_s: float = DEADLINE_S) -> ScoreResult:
    """`score` of a file whose facts are known. Where the runtime that ran is one that cannot run it, the ModelError
    says why, instead of the runtime's own words or of wrong answers. Raises as `run` does."""
    try:
        result = score(job, deadline_s=deadline_s)
    except (ModelError, TargetError) as error:
        # What a runtime refuses begins with its name, which "auto" does not tell.
        refuse_sparse(facts, next((name for name in RUNTIMES if error.what.startswith(name)), job.runtime))
        raise
    refuse_sparse(facts, result.runtime.name)
    return result
