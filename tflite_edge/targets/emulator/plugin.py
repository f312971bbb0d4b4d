"""The plugin for QEMU that counts instructions, compiled on the user's machine into the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tflite_edge.artifact import CACHE_ADVICE, cache_folder
from tflite_edge.records.errors import MissingError

SOURCE = Path(__file__).with_name("count.c")
FLAGS = ("-O2", "-shared", "-fPIC", "-fvisibility=hidden")
COMPILERS = ("cc", "gcc", "clang")
LONGEST_S = 120


def plugin() -> Path:
    """The compiled plugin, named by its source; made only where it is not there. Raises MissingError."""
    source = SOURCE.read_bytes()
    name = hashlib.sha256(source + " ".join(FLAGS).encode()).hexdigest()[:16]
    path = cache_folder() / "emulator" / f"count-{name}.so"
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=path.parent, prefix=path.name)
            os.close(handle)
        except OSError as error:
            raise MissingError(f"cannot write into {path.parent}", evidence=str(error), do=CACHE_ADVICE) from error
        try:
            _compile(Path(part))
            Path(part).replace(path)
        finally:
            Path(part).unlink(missing_ok=True)
    return path


def _compile(into: Path) -> None:
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise MissingError(
            "no C compiler for the plugin that counts instructions",
            evidence=f"none of {', '.join(COMPILERS)} is on the PATH",
            do="sudo apt install gcc libc6-dev",
        )
    try:
        done = subprocess.run(
            [compiler, *FLAGS, "-o", str(into), str(SOURCE)],
            check=False, capture_output=True, text=True, timeout=LONGEST_S,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingError(f"cannot run {compiler}", evidence=str(error)) from error
    if done.returncode:
        raise MissingError(
            f"{compiler} cannot compile {SOURCE.name}",
            evidence=done.stderr.strip()[-1500:] or f"exit status {done.returncode}",
            do="sudo apt install gcc libc6-dev",
        )
