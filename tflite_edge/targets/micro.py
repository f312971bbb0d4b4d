"""TFLite Micro's own interpreter, where its Python package is installed: how large an arena must be."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tflite_edge.records.signals import signal_name

DEADLINE_S = 120.0
INSTALL = "pip install tflite-micro"
MOST_BYTES = 1 << 28
STEP_BYTES = 1024

# In a child: a model that an interpreter cannot take may end it. Doubles until it starts, then halves the distance,
# each try in a fork of its own, because some arenas that are too small end the interpreter as well.
SMALLEST = """
import sys
sys.path = [place for place in sys.path if place]  # "" is the folder that the user stands in, with a json.py of its own
import json, os
from importlib.metadata import version
from tflite_micro.python.tflite_micro import runtime
model, step, most = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def starts(steps, invoke=False):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            interpreter = runtime.Interpreter.from_file(model, arena_size=steps * step)
            if invoke:
                interpreter.invoke()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0
enough = 1
while enough * step <= most and not starts(enough):
    enough *= 2
low = enough // 2
while enough - low > 1 and enough * step <= most:
    middle = (low + enough) // 2
    low, enough = (low, middle) if starts(middle) else (middle, enough)
fits = enough * step <= most and starts(enough, invoke=True)
print(json.dumps([enough * step if fits else None, version("tflite-micro")]))
"""


def smallest_arena(
    model: Path, *, python: str = sys.executable, deadline_s: float = DEADLINE_S
) -> tuple[int | None, str]:
    """(bytes of the smallest arena in which the model starts and answers, how it is known); None with the reason where
    it cannot be measured here. Whole KiB, found by trying."""
    if python == sys.executable and importlib.util.find_spec("tflite_micro") is None:
        return None, f"TFLite Micro's Python package is not installed ({INSTALL} has it measured)"
    argv = [python, "-c", SMALLEST, str(model.resolve()), str(STEP_BYTES), str(MOST_BYTES)]
    try:
        status, answer, talk = _ran(argv, deadline_s)
    except subprocess.TimeoutExpired:
        return None, f"TFLite Micro gave no answer within {deadline_s:g} s"
    except OSError as error:
        return None, f"TFLite Micro cannot be asked: {error}"
    try:
        found, version = json.loads(answer)
    except ValueError:
        said = talk.strip().splitlines()[-1:] or [f"exit status {status}"]
        died = f"killed by {signal_name(-status)}: " if status < 0 else ""
        return None, f"TFLite Micro cannot be asked: {died}{said[0][:200]}"
    if found is None:
        return None, f"TFLite Micro {version} does not start it in {MOST_BYTES:,} bytes"
    return int(found), f"TFLite Micro {version} starts and answers in it on this machine"


def _ran(argv: list[str], deadline_s: float) -> tuple[int, str, str]:
    """(exit status, stdout, stderr) of a program in a group of its own, of which nothing is left: each try is a fork,
    and one that does not end would outlive the program. Raises TimeoutExpired and OSError."""
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True
    ) as child:
        try:
            answer, talk = child.communicate(timeout=deadline_s)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        return child.returncode, answer, talk
