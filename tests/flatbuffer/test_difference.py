"""What changed from one file to another."""

from __future__ import annotations

import json

from tests.flatbuffer import real, tiny
from tflite_edge.flatbuffer import inspect
from tflite_edge.flatbuffer.difference import Difference, difference
from tflite_edge.flatbuffer.strip import strip
from tflite_edge.records.plain import from_plain, to_plain


def test_float_and_int8_of_one_layer():
    found = difference(inspect(tiny.float_model()), inspect(tiny.int8_model()))
    assert not found.same_bytes
    numbers = {change.what: (change.before, change.after) for change in found.numbers}
    assert numbers["parameters"] == (40, 40)
    assert numbers["MACs"] == (32, 32)
    assert numbers["arena bytes, estimated"] == (96, 72)
    assert numbers["constant bytes"] == (40 * 4, 32 + 8 * 4)
    assert numbers["zeros in kernels %"] == (None, None)  # 32 weights are too few to say
    assert ("scheme", "float", "static-wi8ai8") in [(t.what, t.before, t.after) for t in found.texts]
    assert [(t.before, t.after, t.tensors) for t in found.types] == [("float32", "int8", 3), ("float32", "int32", 1)]
    assert found.operators == ()
    assert from_plain(Difference, json.loads(json.dumps(to_plain(found)))) == found


def test_operators_that_came_went_and_changed_their_version():
    tensors = [tiny.X, tiny.KERNEL, tiny.T("m", shape=(1, 8)), tiny.Y]

    def model(second, version):
        dense = tiny.Op("FULLY_CONNECTED", ("x", "w", -1), ("m",), version)
        return inspect(tiny.build(tensors, [dense, tiny.Op(second, ("m",), ("y",))]))

    found = difference(model("TANH", 1), model("RELU", 9)).operators
    assert [(o.name, o.version, o.before, o.after) for o in found] == [
        ("FULLY_CONNECTED", 1, 1, 0),
        ("FULLY_CONNECTED", 9, 0, 1),
        ("RELU", 1, 0, 1),
        ("TANH", 1, 1, 0),
    ]


def test_a_file_and_itself_and_its_stripped_self():
    one = inspect(real.PATH)
    assert difference(one, one).same_bytes
    found = difference(one, inspect(strip(real.PATH)[0]))
    assert (found.texts, found.operators, found.types) == ((), (), ())
    assert found.only_before > 0 == found.only_after
    changed = {change.what for change in found.numbers if change.before != change.after}
    assert changed == {"file bytes", "gzip bytes", "container bytes"}
