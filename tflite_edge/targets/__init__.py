"""Where the harness runs. The same signature everywhere: a job in, its result or an EdgeError out."""

from __future__ import annotations

from tflite_edge.records.errors import UsageError
from tflite_edge.records.estimate import Estimate
from tflite_edge.records.job import BenchResult, Job
from tflite_edge.targets.machine import DEADLINE_S, Machine

FORMS = "local, emulator:BOARD or ssh://USER@HOST[:PORT]"


def open_machine(on: str) -> Machine:
    """The machine that `on` names: one of FORMS. Raises UsageError for anything else, MissingError for a board that is
    not installed. An SSH host is not
    asked anything yet."""
    if on == "local":
        from tflite_edge.targets.local import Local

        return Local()
    kind, _, place = on.partition(":")
    if kind == "emulator":
        from tflite_edge.records.board import board_named
        from tflite_edge.targets.emulator import open_board

        return open_board(board_named(place))
    if kind == "ssh":
        from tflite_edge.targets.ssh import open_ssh

        return open_ssh(on)
    raise UsageError(f"no target {on!r}", do=f"one of: {FORMS}")


def bench(job: Job, on: str = "local", *, deadline_s: float = DEADLINE_S) -> BenchResult:
    """Time the job's model on `on`. Raises as `Machine.run` does."""
    return open_machine(on).bench(job, deadline_s=deadline_s)


def estimate(job: Job, on: str, *, operators: bool = False, deadline_s: float = DEADLINE_S) -> Estimate:
    """What an emulated board tells instead of times: instructions, and a predicted latency. Raises as `Machine.run`."""
    return open_machine(on).estimate(job, operators=operators, deadline_s=deadline_s)
