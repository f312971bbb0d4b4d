"""Arm's Vela: compiles a model for an Ethos-U, and estimates what it will cost there."""

from __future__ import annotations

import csv
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from tflite_edge.records.errors import MissingError, ModelError, TargetError
from tflite_edge.records.signals import signal_name
from tflite_edge.targets import compilers

INSTALL = "pip install ethos-u-vela, or pip install 'tflite-edge[ethos-u]'"


@dataclass(frozen=True)
class VelaEstimate:
    """What Vela says of a model on an accelerator: all of it estimated, nothing measured.

    system, memory: Vela's names of the system and the memory mode that it assumed. operators: as Vela splits them.
    cycles, inference_s: of one inference; None where nothing runs on the NPU.
    """

    vela: str
    accelerator: str
    system: str
    memory: str
    npu_operators: int
    cpu_operators: int
    macs: int
    cycles: Optional[int]  # noqa: UP045 - as the other records
    npu_cycles: Optional[int]  # noqa: UP045
    inference_s: Optional[float]  # noqa: UP045
    sram_bytes: int
    dram_bytes: int
    flash_bytes: int


def program() -> str:
    """The path of `vela`. Raises MissingError."""
    found = compilers.find("vela")
    if not found:
        raise MissingError("Vela is not installed", evidence="no program `vela` is found", do=INSTALL)
    return found


def compile_for(
    model: Path, accelerator: str, *, deadline_s: float = compilers.DEADLINE_S
) -> tuple[bytes, VelaEstimate]:
    """(the compiled model, Vela's summary). accelerator: as Vela spells it, such as ethos-u55-256.

    Raises MissingError without Vela, ModelError for what it refuses, TargetError where it crashes or does not end.
    """
    found = program()
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as folder:
        argv = [found, str(model.resolve()), "--accelerator-config", accelerator, "--output-dir", folder]
        log = _run(argv, folder, model.name, deadline_s)
        made = Path(folder) / f"{model.stem}_vela.tflite"
        tables = list(Path(folder).glob("*_summary_*.csv"))
        if not made.is_file() or len(tables) != 1:
            raise ModelError(
                f"Vela refuses {model.name}", evidence=_tail(log), do=f"tflite-edge check MODEL --target {accelerator}"
            )
        said = version(found)
        try:
            estimate = read(tables[0].read_text(encoding="utf-8"), log, said)
        except (StopIteration, KeyError, TypeError, ValueError, OverflowError) as error:
            raise TargetError(
                f"the summary that Vela {said} writes cannot be read",
                evidence=repr(error),
                do=f"another one: {INSTALL}",
            ) from error
        return made.read_bytes(), estimate


def _run(argv: list[str], folder: str, name: str, deadline_s: float) -> str:
    """What it printed. A process of its own, because a model that it cannot read may end it."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=deadline_s, check=False, cwd=folder, errors="replace"
        )
    except subprocess.TimeoutExpired as error:
        raise TargetError(
            f"Vela did not finish {name} within {deadline_s:g} s and was stopped",
            do="look at the file with `tflite-edge inspect`: it may be damaged, or too large for an Ethos-U",
        ) from error
    except OSError as error:
        raise MissingError(f"cannot start {argv[0]}", evidence=str(error), do=INSTALL) from error
    if done.returncode < 0:
        died = signal_name(-done.returncode)
        raise TargetError(
            f"Vela ended on {name}: killed by {died}",
            evidence=_tail(done.stdout + done.stderr),
            do="look at the file with `tflite-edge inspect`: it may be damaged; or try another version of ethos-u-vela",
        )
    if done.returncode:
        raise ModelError(
            f"Vela refuses {name}",
            evidence=_tail(done.stdout + done.stderr),
            do="`tflite-edge check MODEL --target ethos-u55-256` says what an Ethos-U takes",
        )
    return done.stdout + done.stderr


def version(program: str, *, deadline_s: float = 60.0) -> str:
    """Raises TargetError where it does not say."""
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=deadline_s, check=False, errors="replace"
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise TargetError(f"{program} does not tell its version", evidence=str(error), do=INSTALL) from error
    return done.stdout.strip()


def read(table: str, log: str, vela: str) -> VelaEstimate:
    """Vela's summary: a table of one row, and what it prints of operators. Memory is in KiB there."""
    row = next(csv.DictReader(table.splitlines()))
    operators = {name: re.search(rf"{name} operators = (\d+)", log) for name in ("NPU", "CPU")}
    npu, cpu = (int(found[1]) if found else 0 for found in (operators["NPU"], operators["CPU"]))
    kib = {name: float(row[f"{name}_memory_used"]) for name in ("sram", "dram", "on_chip_flash", "off_chip_flash")}
    return VelaEstimate(
        vela,
        row["accelerator_configuration"],
        row["system_config"],
        row["memory_mode"],
        npu,
        cpu,
        int(float(row["nn_macs"])),
        int(float(row["cycles_total"])) if npu else None,
        int(float(row["cycles_npu"])) if npu else None,
        float(row["inference_time"]) if npu else None,
        round(kib["sram"] * 1024),
        round(kib["dram"] * 1024),
        round((kib["on_chip_flash"] + kib["off_chip_flash"]) * 1024),
    )


def _tail(log: str) -> str:
    """Its last words, without the frames of a traceback."""
    last = log.rpartition("Traceback (most recent call last):")[2]
    lines = [line.rstrip() for line in last.splitlines() if line.strip() and not line.startswith((" ", "Warning: No "))]
    return "\n".join(line[:200] for line in lines[-5:])
