"""TFLite Micro's own interpreter, where its Python package is installed: how large an arena must be."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

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
        done = subprocess.run(argv, capture_output=True, text=True, timeout=deadline_s, check=False, errors="replace")
    except subprocess.TimeoutExpired:
        return None, f"TFLite Micro gave no answer within {deadline_s:g} s"
    except OSError as error:
        return None, f"TFLite Micro cannot be asked: {error}"
    try:
        found, version = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        died = f"killed by signal {-done.returncode}: " if done.returncode < 0 else ""
        return None, f"TFLite Micro cannot be asked: {died}{said[0][:200]}"
    if found is None:
        return None, f"TFLite Micro {version} does not start it in {MOST_BYTES:,} bytes"
    return int(found), f"TFLite Micro {version} starts and answers in it on this machine"
