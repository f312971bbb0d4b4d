"""A model that was cut short is the beginning of the whole one: the real runtimes say so, in child processes."""

import importlib.util
import json
import struct
import subprocess
import sys

import pytest
from hypothesis import given, settings

from tests.flatbuffer import tiny
from tests.flatbuffer.harm import mutations
from tests.flatbuffer.tiny import Op, T
from tflite_edge.flatbuffer.prefix import cuts, prefixes
from tflite_edge.flatbuffer.reader import read
from tflite_edge.records.cut import shortened
from tflite_edge.records.errors import ModelError
from tflite_edge.records.job import RUNTIMES

INSTALLED = [name for name in RUNTIMES if importlib.util.find_spec(name.replace("-", "_"))]

# Largest difference of every answer of every prefix to the same tensor of the whole model. That one is cut as well:
# tflite-runtime 2.14 adds in place, also when all tensors are to be preserved, so a tensor is asked for as an output.
COMPARE = """
import importlib, json, sys
import numpy as np
module = importlib.import_module(sys.argv[1].replace("-", "_") + ".interpreter")
def answers(preserve, **model):
    interpreter = module.Interpreter(experimental_preserve_all_tensors=preserve, **model)
    interpreter.allocate_tensors()
    generator = np.random.default_rng(1)
    for detail in interpreter.get_input_details():
        value = generator.integers(0, 100, detail["shape"]) if detail["dtype"] == np.int8 else generator.normal(
            size=detail["shape"])
        interpreter.set_tensor(detail["index"], value.astype(detail["dtype"]))
    interpreter.invoke()
    return interpreter
whole = answers(True, model_path=sys.argv[2])
found = []
for path in sys.argv[3:]:
    short = answers(False, model_path=path)
    indices = [detail["index"] for detail in short.get_output_details()]
    pairs = [(short.get_tensor(i).astype(float), whole.get_tensor(i).astype(float)) for i in indices]
    found.append([indices, [float(np.abs(a - b).max()) for a, b in pairs]])
print(json.dumps(found))
"""


def compared(runtime, source, folder):
    """(the cuts, for each of them [outputs, differences]) of the model, on the runtime."""
    whole = folder / "whole.tflite"
    whole.write_bytes(source)
    made, paths = [], []
    for cut, content in prefixes(whole):
        made.append(cut)
        paths.append(folder / f"{cut.operators}.tflite")
        paths[-1].write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", COMPARE, runtime, whole, *paths], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return made, json.loads(done.stdout)


def residual() -> bytes:
    """y = tanh(logistic(x) + x * x) - logistic(x): two branches, one of which is needed to the end."""
    tensors = [T(name) for name in ("x", "a", "b", "c", "d", "y")]
    ops = [
        Op("LOGISTIC", ("x",), ("a",)),
        Op("MUL", ("x", "x"), ("b",)),
        Op("ADD", ("a", "b"), ("c",)),
        Op("TANH", ("c",), ("d",)),
        Op("SUB", ("d", "a"), ("y",)),
    ]
    return tiny.build(tensors, ops)


def folded() -> bytes:
    """y = tanh(x + float(k)), with k in float16: the first operator works on a constant alone."""
    tensors = [T("x"), T("k", "FLOAT16", constant=True), T("f"), T("a"), T("y")]
    return tiny.build(
        tensors, [Op("DEQUANTIZE", ("k",), ("f",)), Op("ADD", ("x", "f"), ("a",)), Op("TANH", ("a",), ("y",))]
    )


@pytest.mark.parametrize("runtime", INSTALLED)
@pytest.mark.parametrize("odd", [b"", b"\0"])
def test_every_prefix_answers_what_the_whole_model_computes(runtime, odd, tmp_path):
    made, found = compared(runtime, residual() + odd, tmp_path)
    assert [(cut.operators, cut.last) for cut in made] == [
        (0, ""), (1, "LOGISTIC"), (2, "MUL"), (3, "ADD"), (4, "TANH"), (5, "SUB"),
    ]  # fmt: skip
    assert [cut.outputs for cut in made] == [[0], [1], [2, 1], [3, 1], [4, 1], [5]]
    assert [outputs for outputs, _ in found] == [cut.outputs for cut in made]
    # The last answer of each is that of the operator itself, and MUL's is overwritten by ADD in the whole model.
    assert all(difference[0] < 1e-6 for (_, difference), cut in zip(found, made, strict=True) if cut.last != "MUL")


@pytest.mark.parametrize("runtime", INSTALLED)
def test_what_follows_from_constants_is_not_answered(runtime, tmp_path):
    made, found = compared(runtime, folded(), tmp_path)
    assert [cut.outputs for cut in made] == [[0], [0], [3], [4]]
    assert max(max(differences) for _, differences in found) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("runtime", INSTALLED)
def test_models_of_every_mode(runtime, converted, tmp_path):
    folder, document = converted
    files = [model["file"] for model in document["models"] if model["file"]]
    assert len(files) >= 4
    for name in files:
        if runtime == "tflite-runtime" and "-dynamic-" in name:
            continue  # it knows no FULLY_CONNECTED 12
        made, found = compared(runtime, (folder / name).read_bytes(), tmp_path)
        assert [outputs for outputs, _ in found] == [cut.outputs for cut in made]
        assert found[-1][1] == pytest.approx([0.0], abs=1e-6)  # float sums of several threads differ in their last bit


def test_a_cut_is_refused_by_another_model():
    content = residual()
    cut = cuts(read(content))[1]
    with pytest.raises(ValueError, match="another model"):
        shortened(content[:40], cut)


def test_a_model_without_operators_is_refused():
    made = tiny.model([T("x")], [], outputs=("x",))
    made.subgraphs[0].operators = None
    with pytest.raises(ModelError, match="sound"):
        cuts(read(tiny.pack(made)))


def test_signatures_that_lie_outside_the_file():
    """Nothing but a cut looks for them."""
    data = bytearray(residual())
    struct.pack_into("<I", data, read(bytes(data)).model.position_of("signature_defs"), 2**31)
    with pytest.raises(ModelError, match="sound"):
        cuts(read(bytes(data)))


@given(mutations(residual()))
@settings(max_examples=200, deadline=None)
def test_strangers_files(data):
    try:
        for cut, content in prefixes(data):
            assert len(content) == len(data) + -len(data) % 4 + 4 * len(cut.tail)
    except ModelError:
        pass
