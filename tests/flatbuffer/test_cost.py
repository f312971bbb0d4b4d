"""Multiply-accumulates worked out by hand."""

from __future__ import annotations

import pytest

from tests.flatbuffer import real
from tests.flatbuffer.tiny import Op, T, build
from tflite_edge.flatbuffer import inspect


def constant(shape):
    return T("w", shape=shape, constant=True)


X = T("x", shape=(1, 8, 8, 4))
CASES = {
    "CONV_2D": ([X, constant((16, 3, 3, 4)), T("y", shape=(1, 4, 4, 16))], ("x", "w"), 4 * 4 * 16 * 3 * 3 * 4),
    "grouped CONV_2D": ([X, constant((16, 3, 3, 2)), T("y", shape=(1, 4, 4, 16))], ("x", "w"), 4 * 4 * 16 * 3 * 3 * 2),
    "DEPTHWISE_CONV_2D": ([X, constant((1, 3, 3, 8)), T("y", shape=(1, 8, 8, 8))], ("x", "w"), 8 * 8 * 8 * 3 * 3),
    "FULLY_CONNECTED": ([T("x", shape=(5, 4)), constant((7, 4)), T("y", shape=(5, 7))], ("x", "w"), 5 * 7 * 4),
    "TRANSPOSE_CONV": (
        [T("s", "INT32", (4,), constant=True), X, constant((6, 2, 2, 4)), T("y", shape=(1, 16, 16, 6))],
        ("s", "w", "x"),
        8 * 8 * 4 * 2 * 2 * 6,
    ),
    "BATCH_MATMUL": (
        [T("x", shape=(2, 3, 5)), T("w", shape=(2, 5, 7)), T("y", shape=(2, 3, 7))],
        ("x", "w"),
        2 * 3 * 7 * 5,
    ),
    "transposed BATCH_MATMUL": (
        [T("x", shape=(2, 5, 3)), T("w", shape=(2, 5, 7)), T("y", shape=(2, 3, 7))],
        ("x", "w"),
        2 * 3 * 7 * 5,
    ),
    "CONV_3D": (
        [T("x", shape=(1, 4, 4, 4, 2)), constant((2, 2, 2, 2, 6)), T("y", shape=(1, 2, 2, 2, 6))],
        ("x", "w"),
        2 * 2 * 2 * 6 * 2 * 2 * 2 * 2,
    ),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (
        [T("x", shape=(1, 9, 4)), constant((6, 4)), T("y", shape=(1, 9, 6))],
        ("x", "w"),
        9 * 6 * 4,
    ),
    "TANH": ([X, T("y", shape=(1, 8, 8, 4))], ("x",), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_macs(name):
    tensors, inputs, expected = CASES[name]
    found = inspect(build(tensors, [Op(name.split()[-1], inputs, ("y",))]))
    assert (found.macs, found.macs_why, found.nodes[0].macs) == (expected, "", expected)


def test_what_nobody_can_count_is_none_and_said():
    odd = build([X, T("y")], [Op("", ("x",), ("y",), custom="Mine")])
    few = build([X, T("y")], [Op("CONV_2D", ("x",), ("y",))])
    for data, name in ((odd, "Mine"), (few, "CONV_2D")):
        found = inspect(data)
        assert (found.macs, found.nodes[0].macs, found.macs_why) == (0, None, f"without {name}")


def test_a_converted_net():
    found = inspect(real.PATH)
    shapes = {tensor.index: tensor.shape for tensor in found.tensors}
    by_hand = 0
    for node in found.nodes:
        if "CONV" in node.name or node.name == "FULLY_CONNECTED":
            kernel, output = shapes[node.inputs[1]], shapes[node.outputs[0]]
            per_value = (
                kernel[1] * kernel[2] * (1 if node.name.startswith("DEPTH") else kernel[3])
                if len(kernel) == 4
                else kernel[1]
            )
            for size in output:
                per_value *= size
            by_hand += per_value
    assert found.macs == by_hand > 10_000
