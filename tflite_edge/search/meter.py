"""What a trial's file takes on the board: predicted of an emulated one, or measured, one file at a time on each board.

Boards are asked by the search itself, not by its workers: only this machine needs their keys, or the emulator.
"""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tflite_edge.artifact import cached, key_of, sha256
from tflite_edge.records.errors import EdgeError, MissingError, TargetError, UsageError
from tflite_edge.records.job import Job
from tflite_edge.records.plain import to_plain
from tflite_edge.records.search import MEASURED, PREDICTED, Budget
from tflite_edge.targets import open_machine
from tflite_edge.targets.machine import Machine


@dataclass(frozen=True)
class Reading:
    """latency_s: None where there is none, and `why` says why."""

    latency_s: float | None
    kind: str
    on: str
    energy_mj: float | None = None
    why: str = ""


Done = Callable[[Reading | EdgeError], None]


class Meter:
    """Reads the latency of files for `budget.latency_on`. devices: ssh://..., boards that are alike; else that one.

    runtime, deadline_s: as in the recipe's [target]. Raises MissingError for a board that is not installed, UsageError
    for one of which nothing can be predicted.
    """

    def __init__(
        self, budget: Budget, devices: Sequence[str] = (), runtime: str = "auto", deadline_s: float = 600.0
    ) -> None:
        self.budget, self.runtime, self.deadline_s = budget, runtime, deadline_s
        self.predicts = budget.latency_kind == PREDICTED
        if self.predicts:
            _refuse_unfitted(budget.latency_on)
        names = list(dict.fromkeys(devices)) or [
            f"emulator:{budget.latency_on}" if self.predicts else budget.latency_on
        ]
        self.machines: queue.Queue[Machine] = queue.Queue()
        for name in names:
            self.machines.put(open_machine(name))
        self.left = len(names)
        self.has_meter: bool | None = None
        self.threads = ThreadPoolExecutor(len(names), thread_name_prefix="meter")

    def submit(self, model: Path, threads: int, done: Done) -> None:
        """Read `model`, then call `done`, from another thread, with what came of it or why the search cannot go on."""

        def told(future: Future[Reading]) -> None:
            if not future.cancelled():
                error = future.exception()
                done(error if isinstance(error, EdgeError) else _bug(error) if error else future.result())

        self.threads.submit(self._read, model, threads).add_done_callback(told)

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)

    def _read(self, model: Path, threads: int) -> Reading:
        machine = self._free()
        try:
            reading = (
                predicted(machine, model, self.deadline_s) if self.predicts else self._measured(machine, model, threads)
            )
        except MissingError:
            self.machines.put(machine)
            raise
        except TargetError as error:
            if not _unreachable(error):
                self.machines.put(machine)
                return Reading(None, self.budget.latency_kind, machine.name, why=error.what)
            self.left -= 1  # this board is gone; others take its work
            if not self.left:
                raise
            return self._read(model, threads)
        except EdgeError as error:
            self.machines.put(machine)
            return Reading(None, self.budget.latency_kind, machine.name, why=error.what)
        self.machines.put(machine)
        return reading

    def _free(self) -> Machine:
        """A board that nobody uses, as soon as there is one."""
        while self.left:
            with suppress(queue.Empty):
                return self.machines.get(timeout=1)
        raise TargetError(
            "no board is left to measure on", do="look at them with tflite-edge doctor --on ssh://USER@HOST"
        )

    def _measured(self, machine: Machine, model: Path, threads: int) -> Reading:
        """Energy is asked for until a board says that it has no meter: looking takes 15 s."""
        energy = machine.name != "local" and self.has_meter is not False
        job = Job("bench", str(model), runtime=self.runtime, threads=threads, energy=energy)
        result = machine.bench(job, deadline_s=self.deadline_s)
        joules = result.energy.joules if result.energy else None
        if energy:
            self.has_meter = joules is not None
        trouble = result.sensors.trouble if result.sensors else ""
        return Reading(result.median_s, MEASURED, machine.name, None if joules is None else 1e3 * joules, trouble)


def predicted(machine: Machine, model: Path, deadline_s: float) -> Reading:
    """Counted once for each file, by its content. Of the configuration that was fitted: one runtime's counts say little
    of another's latency."""
    from tflite_edge.targets.emulator.fit import load_fit

    fit = load_fit()
    board = machine.name.partition(":")[2]

    def make(folder: Path) -> None:
        job = Job("bench", str(model), runtime=fit.runtime, kernels=fit.kernels, threads=fit.threads)
        found = machine.estimate(job, deadline_s=deadline_s)
        one = found.predicted
        refused = found.why or "; ".join(prediction.why for prediction in found.predictions)
        reading = Reading(None, PREDICTED, board, why=refused)
        if one is not None:
            reading = Reading(one.predicted_s, PREDICTED, board, why="extrapolated" if one.extrapolated else "")
        (folder / "reading.json").write_text(json.dumps(to_plain(reading)), encoding="utf-8")

    key = key_of(sha256(model), board, fit.measured, fit.coefficients)
    folder = cached("latency", key, make)
    return Reading(**json.loads((folder / "reading.json").read_text(encoding="utf-8")))


def _refuse_unfitted(board: str) -> None:
    from tflite_edge.records.board import board_named
    from tflite_edge.targets.emulator.fit import load_fit

    fitted = load_fit().board
    board_named(board)
    if board != fitted:
        raise UsageError(
            f"no latency can be predicted for {board}",
            evidence=f"the published latencies that the prediction was fitted to are of {fitted}",
            do=f"--max-latency 10ms@{fitted}, or measure on the board itself: 10ms@ssh://USER@HOST",
        )


def _unreachable(error: TargetError) -> bool:
    from tflite_edge.targets.ssh.connection import LostError

    return isinstance(error, LostError)


def _bug(error: BaseException) -> EdgeError:
    return EdgeError(f"internal error: {type(error).__name__}: {error}")
