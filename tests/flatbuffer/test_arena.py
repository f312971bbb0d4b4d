"""The planned arena against the addresses that real interpreters give their tensors."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flatbuffer import real, tiny
from tests.flatbuffer.tiny import Op, T, build
from tflite_edge.flatbuffer import arena, inspect, reader
from tflite_edge.flatbuffer.arena import Life
from tflite_edge.flatbuffer.graph import Graph, graphs


def plan(data):
    return arena.plan(graphs(reader.read(data))[0])


def spanned(runtime, path):
    """Bytes from the first to behind the last computed tensor of the first subgraph."""
    places = real.addresses(runtime, path)
    (graph,) = graphs(reader.read(path))
    mine = [places[life.tensor] for life in arena.lives(graph)]
    return max(begin + size for begin, size in mine) - min(begin for begin, _ in mine)


def chain(operators):
    """TANH after TANH on 16 floats."""
    names = ["x", *(f"t{number}" for number in range(1, operators)), "y"]
    ops = [Op("TANH", (one,), (other,)) for one, other in itertools.pairwise(names)]
    return build([T(name, shape=(1, 16)) for name in names], ops)


@pytest.mark.parametrize("runtime", real.RUNTIMES)
def test_the_plan_of_a_converted_file_is_the_interpreter_s_to_the_byte(runtime):
    assert spanned(runtime, real.PATH) == plan(real.PATH).planned_bytes == 776


@pytest.mark.parametrize("runtime", real.RUNTIMES)
@pytest.mark.parametrize("width", [100, 5])
def test_the_plan_of_a_net_with_branches_is_the_interpreter_s(runtime, width, tmp_path):
    """A tensor that is read again late, and one that nobody reads."""
    tensors = [T(name, shape=(1, width)) for name in ("x", "late", "a", "unread", "b", "y")]
    ops = [
        Op("TANH", ("x",), ("late",)),
        Op("LOGISTIC", ("late",), ("a",)),
        Op("NEG", ("a",), ("unread",)),
        Op("TANH", ("a",), ("b",)),
        Op("MAXIMUM", ("b", "late"), ("y",)),
    ]
    path = tmp_path / "m.tflite"
    path.write_bytes(build(tensors, ops))
    assert spanned(runtime, path) == plan(path).planned_bytes


def test_a_chain_needs_its_input_and_the_two_in_hand():
    found = plan(chain(6))
    assert (found.planned_bytes, found.live_bytes) == (3 * 64, 3 * 64)
    assert (found.operator, found.at) == (1, "TANH")


def test_unfolded_weights_and_variables_are_kept_outside():
    found = plan(tiny.float16_model())
    assert found.persistent_bytes == 8 * 4 * 4
    assert found.planned_bytes == 64 + 8 * 4  # x takes 16 bytes, y begins at the next 64
    variable = build([T("x"), T("v", variable=True), T("y")], [Op("MAXIMUM", ("x", "v"), ("y",))])
    assert plan(variable).persistent_bytes == 16


def test_many_tensors_take_time_with_their_number_not_with_its_square():
    (graph,) = graphs(reader.read(tiny.float_model()))
    began = time.process_time()
    arena.plan(Graph(0, graph.tensors * 5_000, (), graph.inputs, graph.inputs))
    assert time.process_time() - began < 2  # 20 s with the square


def test_a_view_shares_the_place_of_what_it_shows():
    tensors = [T(name, shape=(1, 64)) for name in ("x", "a", "b", "y")]
    ops = [Op("TANH", ("x",), ("a",)), Op("RESHAPE", ("a",), ("b",)), Op("TANH", ("b",), ("y",))]
    assert plan(build(tensors, ops)).planned_bytes == 3 * 256


def test_open_shapes_and_texts_have_no_estimate_but_a_why():
    for odd, word in ((T("x", signature=(-1, 4)), "open shape"), (T("x", "STRING"), "string")):
        found = plan(build([odd, T("y")], [Op("TANH", ("x",), ("y",))]))
        assert found.planned_bytes is None
        assert word in found.why
    assert inspect(tiny.float_model()).arena.planned_bytes == 96


lives = st.builds(lambda n, size, a, b: Life(n, size, min(a, b), max(a, b)),
                  st.integers(0, 9), st.integers(0, 300), st.integers(0, 6), st.integers(0, 6))  # fmt: skip


@given(st.lists(lives, max_size=12))
@settings(max_examples=200, deadline=None)
def test_no_two_that_live_at_once_overlap(alive):
    places = arena.offsets(alive)
    for i, (one, at) in enumerate(zip(alive, places, strict=True)):
        assert at % arena.ALIGNMENT == 0
        for other, there in list(zip(alive, places, strict=True))[:i]:
            if one.first <= other.last and other.first <= one.last:
                assert (
                    at + one.size_bytes <= there
                    or there + other.size_bytes <= at
                    or not one.size_bytes * other.size_bytes
                )
