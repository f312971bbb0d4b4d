"""The accelerators' own compilers, asked where they are installed and never required."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflite_edge.flatbuffer import inspect
from tflite_edge.flatbuffer.facts import TensorFact
from tflite_edge.records.card import EDGETPU_OP
from tflite_edge.records.errors import ModelError

DEADLINE_S = 300.0
PROGRAMS = {"coral": "edgetpu_compiler", "ethos": "vela"}


@dataclass(frozen=True)
class Compiled:
    """What a compiler says. program: "" where the target has none. mapped, total: operators; None where not told."""

    program: str
    said: str
    mapped: int | None = None
    total: int | None = None


def find(program: str) -> str | None:
    """Its path: of the PATH, or of the environment that runs us, whose programs need not be on the PATH."""
    return shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))


def compiled(target: str, model: str, *, deadline_s: float = DEADLINE_S) -> Compiled:
    """Ask the target's compiler about the model, in a folder of its own. Never raises: rules stand without it."""
    program = PROGRAMS.get(target.partition("-")[0], "")
    if not program:
        return Compiled("", "this target has none")
    found = find(program)
    if not found:
        return Compiled(program, f"{program} is not installed; these are the rules alone")
    if program == PROGRAMS["coral"]:
        return edgetpu(Path(model), deadline_s=deadline_s)[1]
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as folder:
        argv = [found, str(Path(model).resolve()), "--accelerator-config", target, "--output-dir", folder]
        done, why = _ran([*argv, "--show-cpu-operations"], folder, deadline_s)
    if done is None:
        return Compiled(program, f"{program} gave no answer: {why}")
    return _failed(program, done) if done.returncode else read_vela(done.stdout)


def _ran(argv: list[str], folder: str, deadline_s: float) -> tuple[subprocess.CompletedProcess[str] | None, str]:
    """(what a compiler did in `folder`, ""), or (None, why it gave no answer)."""
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=deadline_s, check=False, cwd=folder, errors="replace"
        ), ""
    except (subprocess.TimeoutExpired, OSError) as error:
        return None, str(error)[:200]


def edgetpu(model: Path, *, deadline_s: float = DEADLINE_S) -> tuple[bytes, Compiled]:
    """(the model compiled for the Edge TPU, what the compiler said); no bytes where it is missing or fails, or where
    what it made is not `model` with an operator of the Edge TPU."""
    program = PROGRAMS["coral"]
    found = find(program)
    if not found:
        return b"", Compiled(program, f"{program} is not installed here")
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as folder:
        argv = [found, "--show_operations", "--out_dir", folder, str(model.resolve())]
        done, why = _ran(argv, folder, deadline_s)
        if done is None:
            return b"", Compiled(program, f"{program} gave no answer: {why}")
        made = Path(folder) / f"{model.stem}_edgetpu.tflite"
        if done.returncode or not made.is_file():
            return b"", _failed(program, done)
        content = made.read_bytes()
    wrong = _differs(content, model)
    if wrong:
        return b"", Compiled(program, f"what {program} made cannot be used: {wrong}")
    return content, read_edgetpu(done.stdout + done.stderr)


def _failed(program: str, done: subprocess.CompletedProcess[str]) -> Compiled:
    return Compiled(program, f"{program} failed (exit {done.returncode}): {_last(done.stdout + done.stderr)}")


def _differs(content: bytes, model: Path) -> str:
    """Why `content` is not `model` compiled for the Edge TPU; "" where it is."""
    try:
        made, had = inspect(content), inspect(model)
    except ModelError as error:
        return error.what
    if EDGETPU_OP not in made.custom:
        return f"it has no {EDGETPU_OP}"
    if [_edges(made.inputs), _edges(made.outputs)] != [_edges(had.inputs), _edges(had.outputs)]:
        return "it takes or gives other tensors than the model"
    return ""


def _edges(tensors: Sequence[TensorFact]) -> list[Any]:
    return [(tensor.dtype, tensor.shape, tensor.scale, tensor.zero_point) for tensor in tensors]


def read_edgetpu(log: str) -> Compiled:
    """What edgetpu_compiler 16.0 prints, by logs that its users published: two lines count the operators where some are
    left to the CPU (google-coral/edgetpu, issue 433), one where none are (WongKinYiu/yolov7, pull request 1672), and a
    refusal has none (issue 845)."""
    on = re.search(r"Number of operations that will run on Edge TPU: (\d+)", log)
    on = on or re.search(r"Total number of operations: (\d+)", log)
    off = re.search(r"Number of operations that will run on CPU: (\d+)", log)
    if not on:
        return Compiled("edgetpu_compiler", f"edgetpu_compiler refuses it: {_last(log)}")
    mapped, rest = int(on[1]), int(off[1]) if off else 0
    return Compiled("edgetpu_compiler", f"{mapped} of {mapped + rest} operators on the Edge TPU", mapped, mapped + rest)


def read_vela(log: str) -> Compiled:
    """What Vela prints: "NPU operators = 12 (92.3%)" and the same of CPU operators."""
    found = {name: re.search(rf"{name} operators = (\d+)", log) for name in ("CPU", "NPU")}
    if not found["NPU"]:
        return Compiled("vela", f"vela refuses it: {_last(log)}")
    mapped, rest = int(found["NPU"][1]), int(found["CPU"][1]) if found["CPU"] else 0
    return Compiled(
        "vela", f"{mapped} of {mapped + rest} operators on the NPU, counted as Vela splits them", mapped, mapped + rest
    )


def _last(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it says nothing"
