"""A file that the converter made, for tests that want more than hand-made ones: TensorFlow 2.21, full int8, of a
convolution, a depthwise one and two dense layers for images 12 x 12 x 3 (`small_model` of tests/conftest.py)."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parent / "small.tflite"
RUNTIMES = ("ai_edge_litert", "tflite_runtime")

# In a child: tflite-runtime and this process do not get along, and a broken plan may crash.
ADDRESSES = """
import importlib, json, sys
runtime = importlib.import_module(sys.argv[1] + ".interpreter")
kernels = runtime.OpResolverType.BUILTIN_REF  # these ask for no scratch memory of their own
interpreter = runtime.Interpreter(sys.argv[2], experimental_op_resolver_type=kernels)
interpreter.allocate_tensors()
views = {detail["index"]: interpreter.tensor(detail["index"])() for detail in interpreter.get_tensor_details()}
print(json.dumps({index: [view.__array_interface__["data"][0], view.nbytes] for index, view in views.items()}))
"""


def addresses(runtime: str, path: Path) -> dict[int, tuple[int, int]]:
    """(address, bytes) of every tensor in a real interpreter; skips where the runtime is not installed."""
    if importlib.util.find_spec(runtime) is None:
        pytest.skip(f"{runtime} is not installed")
    done = subprocess.run([sys.executable, "-c", ADDRESSES, runtime, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {int(index): tuple(place) for index, place in json.loads(done.stdout).items()}
