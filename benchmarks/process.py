"""Fresh processes, timed: what a user waits for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

HERE = Path(__file__).resolve().parent
ENTRY_POINT = Path(sys.executable).parent / "tflite-edge"  # the installed command, as `make` installs it


@dataclass(frozen=True)
class Ran:
    """seconds: wall time from start to end of the process."""

    seconds: float
    stdout: str
    stderr: str


def run(*argv: str | Path, environment: Mapping[str, str] | None = None) -> Ran:
    """Run a command to its end. Raises CalledProcessError, with its stderr, when it fails."""
    began = perf_counter()
    done = subprocess.run(
        [str(word) for word in argv],
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    return Ran(perf_counter() - began, done.stdout, done.stderr)


def script(name: str, *arguments: str | Path) -> Ran:
    """Run `bare/NAME.py` or `ours/NAME.py` with our Python."""
    return run(sys.executable, HERE / f"{name}.py", *arguments)


def alternate(times: int, *sides: Callable[[], Any]) -> list[list[Any]]:
    """What each side returned each time, by side; the sides take turns: A, B, A, B."""
    rounds = [[side() for side in sides] for _ in range(times)]
    return [list(column) for column in zip(*rounds, strict=True)]
