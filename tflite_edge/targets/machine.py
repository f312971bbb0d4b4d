"""What every target can do: take a job, give its result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

from tflite_edge.flatbuffer import Facts, refuse_sparse
from tflite_edge.flatbuffer.prefix import cuts
from tflite_edge.flatbuffer.reader import read
from tflite_edge.records.errors import ModelError, TargetError, UsageError
from tflite_edge.records.estimate import Estimate
from tflite_edge.records.job import RUNTIMES, BenchResult, Job, LearnResult, ScoreResult
from tflite_edge.records.plain import from_plain
from tflite_edge.records.timing import ProfileResult, RealtimeResult

DEADLINE_S = 600.0


def scored_note(most: int, total: int, machine: Machine) -> str:
    """Why not all test samples were scored."""
    why = f": {machine.name} is slow" if most == machine.samples else ""
    return f"{most} of {total} test samples are scored{why} (--samples {total} scores all)"


class Machine(ABC):
    """Somewhere the harness runs. name: as `--on` spells it. emulated: its clock says nothing about the board.

    samples: as many test samples as are scored there unless more are asked for; None: all.
    default_runtime: what "auto" stands for there, as far as it is known before anything runs.
    """

    name = ""
    emulated = False
    samples: int | None = None
    default_runtime = "auto"

    @abstractmethod
    def run(self, job: Job, *, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """The harness's result for `job` as plain values. The job's paths are of this machine.

        Raises ModelError, MissingError or DataError as the harness found them, TargetError when it died, could
        not be reached, or did not answer within the deadline.
        """

    def refuse(self, runtime: str) -> None:  # noqa: B027 - most machines cannot know
        """Raise UsageError for a runtime that is known not to exist there."""

    def bench(self, job: Job, *, deadline_s: float = DEADLINE_S) -> BenchResult:
        """Time the job's model. Raises as `run` does."""
        return from_plain(BenchResult, self.run(replace(job, verb="bench"), deadline_s=deadline_s))

    def estimate(self, job: Job, *, operators: bool = False, deadline_s: float = DEADLINE_S) -> Estimate:  # noqa: ARG002
        """What stands in for `bench` on an emulated machine. Raises UsageError on all others."""
        raise UsageError(
            f"instructions are counted on emulated boards, and {self.name} is none",
            do="--on emulator:pi4 --operators, or bench without --operators",
        )

    def realtime(self, job: Job, *, deadline_s: float = DEADLINE_S) -> RealtimeResult:
        """Keep the job's pace. Raises as `run` does, UsageError where the clock is not the board's."""
        self._own_clock("--period")
        return from_plain(RealtimeResult, self.run(replace(job, verb="realtime"), deadline_s=deadline_s))

    def profile(self, job: Job, *, deadline_s: float = DEADLINE_S) -> ProfileResult:
        """Time each operator of the job's model. Raises as `realtime` does, ModelError where it cannot be cut."""
        self._own_clock("--operators")
        cut = replace(job, verb="profile", cuts=cuts(read(job.model)))
        return from_plain(ProfileResult, self.run(cut, deadline_s=deadline_s))

    def _own_clock(self, option: str) -> None:
        if self.emulated:
            raise UsageError(
                f"{option} measures time, and the clock of {self.name} says nothing about the board",
                do=f"{option} on the board itself: --on ssh://USER@HOST",
            )

    def score(self, job: Job, *, deadline_s: float = DEADLINE_S) -> ScoreResult:
        """Score the job's model on its pack. Raises as `run` does."""
        return from_plain(ScoreResult, self.run(replace(job, verb="score"), deadline_s=deadline_s))

    def learn(self, job: Job, *, deadline_s: float = DEADLINE_S) -> LearnResult:
        """Teach the job's model its pack. Raises as `run` does."""
        return from_plain(LearnResult, self.run(replace(job, verb="learn"), deadline_s=deadline_s))

    def score_of(self, facts: Facts, job: Job, *, deadline_s: float = DEADLINE_S) -> ScoreResult:
        """`score` of a file whose facts are known. Where the runtime that ran is one that cannot run it, the ModelError
        says why, instead of the runtime's own words or of wrong answers. Raises as `run` does."""
        try:
            result = self.score(job, deadline_s=deadline_s)
        except (ModelError, TargetError) as error:
            # What a runtime refuses begins with its name, which "auto" does not tell.
            refuse_sparse(facts, next((name for name in RUNTIMES if error.what.startswith(name)), job.runtime))
            raise
        refuse_sparse(facts, result.runtime.name)
        return result
