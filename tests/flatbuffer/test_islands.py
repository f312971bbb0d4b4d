"""Where a quantised model computes in float, and between whom."""

from __future__ import annotations

from tests.flatbuffer import tiny
from tests.flatbuffer.tiny import DENSE, Op, T, build, quantized
from tflite_edge.flatbuffer import inspect


def test_an_island_is_named_with_its_bounds():
    tensors = [
        *quantized("INT8"),
        *(T(name, shape=(1, 8)) for name in ("f", "g", "h")),
        T("q", "INT8", (1, 8), 1),
        T("r", "INT8", (1, 8), 1),
    ]
    ops = [
        DENSE,
        Op("DEQUANTIZE", ("y",), ("f",)),
        Op("TANH", ("f",), ("g",)),
        Op("SOFTMAX", ("g",), ("h",)),
        Op("QUANTIZE", ("h",), ("q",)),
        Op("RELU", ("q",), ("r",)),
    ]
    (island,) = inspect(build(tensors, ops, outputs=("r",))).islands
    assert (island.operators, island.names) == ((2, 3), ("TANH", "SOFTMAX"))
    assert (island.entered_from, island.left_to) == (("#0 FULLY_CONNECTED",), ("#5 RELU",))


def test_an_island_at_the_end_leads_to_the_output():
    (island,) = inspect(tiny.int8_with_float_island()).islands
    assert (island.entered_from, island.left_to) == (("#0 FULLY_CONNECTED",), ("the output",))


def test_two_islands_are_two_and_a_branch_is_one():
    def model(second):
        names = ("f", "g", "h", "i")
        tensors = [*quantized("INT8"), *(T(name, shape=(1, 8)) for name in names)]
        ops = [
            DENSE,
            Op("DEQUANTIZE", ("y",), ("f",)),
            Op("TANH", ("f",), ("g",)),
            Op("TANH", ("g" if second == "branch" else "f",), ("h",)),
        ]
        return inspect(build(tensors, ops, outputs=("g", "h"))).islands

    assert [island.operators for island in model("branch")] == [(2, 3)]
    assert [island.operators for island in model("twins")] == [(2,), (3,)]


def test_float_and_quantised_models_have_none():
    for data in (tiny.float_model(), tiny.dynamic_model(), tiny.int8_model(), tiny.float16_model()):
        assert inspect(data).islands == ()
    assert inspect(tiny.edged("FLOAT32", quantized("INT8"), [DENSE])).islands == ()
