"""A board's userland under QEMU: the harness runs on the board's own Python, NumPy and runtime."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tflite_edge.records.board import Board
from tflite_edge.records.errors import MissingError, ModelError, TargetError, UsageError
from tflite_edge.records.estimate import Estimate
from tflite_edge.records.job import BenchResult, CountResult, Job
from tflite_edge.records.plain import from_plain
from tflite_edge.targets.child import ask
from tflite_edge.targets.emulator.estimate import estimate
from tflite_edge.targets.emulator.plugin import plugin
from tflite_edge.targets.emulator.qemu import Qemu
from tflite_edge.targets.machine import DEADLINE_S, Machine

# A guest that dies would leave its memory as a file in the working folder.
NO_CORE = ("/bin/sh", "-c", 'ulimit -c 0; exec "$0" "$@"')
# What this machine's Python is told is not meant for the board's.
COUNTED_RUNS = 3
NOT_FOR_GUESTS = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "LD_PRELOAD", "LD_LIBRARY_PATH")


@functools.cache
def steady() -> list[str]:
    """What starts a program with its memory at the same addresses each time; nothing where that is not allowed.

    (A container may forbid personality(2). The tests hold counts to 0.1 % from process to process without it too.)
    """
    starter = [shutil.which("setarch") or "setarch", "--addr-no-randomize"]
    try:
        allowed = subprocess.run([*starter, "true"], check=False, capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        allowed = False
    return starter if allowed else []


class Emulated(Machine):
    """`board` with the files of `root`, run by `qemu`."""

    emulated = True
    # The fewest that show one answer in 200, which is what may differ within a family of kernels (99.5 % of argmax). An
    # image takes 35 to 60 ms here: 200 are as long as starting Python and importing NumPy.
    samples = 200

    def __init__(self, board: Board, root: Path, qemu: Qemu) -> None:
        self.board, self.root, self.qemu = board, root, qemu
        self.name = f"emulator:{board.name}"
        self.default_runtime = board.default_runtime

    def argv(self, extra_qemu_args: Sequence[str] = ()) -> list[str]:
        """How the board's Python is started: what `targets.child.ask` takes."""
        guest = [word for name in NOT_FOR_GUESTS for word in ("-U", name)]
        if self.board.machine == "armv7l":  # its loader looks with statx, which QEMU does not redirect into the sysroot
            places = [str(path) for part in ("usr/lib", "lib") for path in (self.root / part).glob("*-linux-gnu*")]
            guest += ["-E", "LD_LIBRARY_PATH=" + ":".join(places)]
        python = self.root / "usr" / "bin" / f"python{self.board.python}"
        options = ["-cpu", self.board.cpu, "-L", str(self.root), *guest, *extra_qemu_args]
        return [*NO_CORE, *self.qemu.argv, *options, str(python), "-s"]

    def run(self, job: Job, *, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """As Machine.run; runtime "auto" is the board's default. Raises UsageError for one that the board lacks."""
        return self._run(self.argv(), job, deadline_s)

    def _run(self, argv: list[str], job: Job, deadline_s: float) -> dict[str, Any]:
        asked = job.runtime
        self.refuse(asked)
        runtime = self.board.default_runtime if asked == "auto" else asked
        try:
            document = ask(argv, replace(job, runtime=runtime), deadline_s)
        except ModelError as error:
            raise self._with_the_fix(error, runtime) from error
        except (MissingError, TargetError) as error:  # a runtime that is missing was there when it was proven
            raise self._explained(error) from error
        if asked == "auto":
            told = document["runtime"]
            told["why"] = f"{told['name']} {told['version']}: the one for {self.board.title}"
        return document

    def refuse(self, runtime: str) -> None:
        if runtime not in ("auto", *self.board.runtimes):
            raise UsageError(
                f"{self.board.title} has no {runtime}",
                evidence=f"there is no wheel of it for {self.board.machine}",
                do=f"--runtime {self.board.default_runtime}",
            )

    def bench(self, job: Job, *, deadline_s: float = DEADLINE_S) -> BenchResult:  # noqa: ARG002 - as every machine's
        """Raises UsageError: nothing is timed here; `estimate` is what there is instead."""
        raise UsageError(
            "timing under emulation says nothing about the board",
            evidence=f"{self.name} is emulated by QEMU {self.qemu.version}, in which a float operation is software",
            do=f"tflite-edge bench --on {self.name} counts instructions and predicts; measure on a real board",
        )

    def count(self, job: Job, *, deadline_s: float = DEADLINE_S) -> CountResult:
        """The instructions of one inference, on one thread whatever the job says. Raises as `run` does, and
        MissingError without a compiler for the plugin that counts."""
        with tempfile.TemporaryDirectory(prefix="tflite-edge-") as folder:
            counts = Path(folder) / "counts"
            option = f"{plugin()},out={str(counts).replace(',', ',,')}"
            argv = [*steady(), *self.argv(["-plugin", option, "-E", "PYTHONHASHSEED=0"])]
            counting = replace(job, verb="count", threads=1, runs=COUNTED_RUNS, counts=str(counts))
            return from_plain(CountResult, self._run(argv, counting, deadline_s))

    def estimate(self, job: Job, *, operators: bool = False, deadline_s: float = DEADLINE_S) -> Estimate:
        """What was counted for the job's runtime, and what its latency is predicted to be. Raises as `count` does.

        operators: also for each operator (a model of one subgraph; ModelError otherwise).
        """
        return estimate(self.board, lambda one: self.count(one, deadline_s=deadline_s), job, operators=operators)

    def _with_the_fix(self, error: ModelError, runtime: str) -> ModelError:
        """An operator that the board's runtime does not know: what to do about it on this board, where pip's newest
        runtime may not run."""
        if "it does not know" not in error.what:
            return error
        other = [f"--runtime {name}" for name in self.board.runtimes if name != runtime]
        cure = f"convert it again with --on {self.name} --runtime {runtime}, in another --quantize mode if need be"
        return ModelError(error.what, evidence=error.evidence, do=", or ".join([cure, *other]))

    def _explained(self, error: MissingError | TargetError) -> MissingError | TargetError:
        """What is told when the guest died or lacks something: whether it is the board's files, or its processor."""
        from tflite_edge.targets.emulator.installation import PROOF, damage_of

        damaged = damage_of(self.board) if (self.root / PROOF).is_file() else ""  # without: it is being installed
        if damaged:
            return MissingError(
                f"the emulated {self.board.name} is damaged",
                evidence=f"{damaged}\n{error.what}\n{error.evidence}".strip(),
                do=f"tflite-edge emulator install {self.board.name}",
            )
        if "SIGILL" in error.what:
            return TargetError(
                f"{error.what} on {self.board.cpu}",
                evidence=error.evidence,
                do=f"the runtime used an instruction that a {self.board.cpu} lacks: try --runtime with the other one",
            )
        return error
