"""Which tensors of two graphs belong together, on graphs of a few operators."""

from __future__ import annotations

from tests.flatbuffer.tiny import Op, T, build
from tflite_edge.flatbuffer.graph import graphs
from tflite_edge.flatbuffer.match import match
from tflite_edge.flatbuffer.reader import read


def graph(tensors, ops, inputs=("x",), outputs=("y",)):
    return graphs(read(build(tensors, ops, inputs, outputs)))[0]


def chain(dtype, names, shapes=None, ops=None):
    """x -> RELU -> ... each result named in turn."""
    scales = 1 if dtype == "INT8" else 0
    shapes = shapes or [(1, 4)] * len(names)
    tensors = [T("x", dtype, scales=scales), *(T(n, dtype, s, scales) for n, s in zip(names, shapes, strict=True))]
    ops = ops or ["RELU"] * len(names)
    sources = ["x", *names[:-1]]
    return graph(
        tensors,
        [Op(op, (a,), (b,)) for op, a, b in zip(ops, sources, names, strict=True)],
        outputs=(names[-1],),
    )


def pairs(found):
    return [(layer.name, layer.quantized_index, layer.how) for layer in found.layers]


def test_the_same_names_are_pairs():
    found = match(chain("FLOAT32", ["a", "b"]), chain("INT8", ["a", "b"]))
    assert pairs(found) == [("x", 0, "position"), ("a", 1, "name"), ("b", 2, "name")]
    assert [layer.sources for layer in found.layers] == [(), (0,), (1,)]
    assert [layer.operator for layer in found.layers] == ["input", "RELU", "RELU"]
    assert (found.unmatched_float, found.unmatched_quantized) == ((), ())


def test_other_names_are_matched_by_operator_shape_and_place():
    found = match(chain("FLOAT32", ["a", "b", "c"]), chain("INT8", ["p", "b", "q"]))
    assert pairs(found)[1:] == [("a", 1, "position"), ("b", 2, "name"), ("c", 3, "position")]


def test_a_name_on_another_shape_or_operator_is_no_pair():
    found = match(chain("FLOAT32", ["a"]), chain("INT8", ["a"], shapes=[(1, 8)]))
    assert (found.unmatched_float, found.unmatched_quantized) == (("a",), ("a",))
    found = match(chain("FLOAT32", ["a"]), chain("INT8", ["a"], ops=["RELU6"]))
    assert found.unmatched_float == ("a",)


def test_what_only_one_side_has_is_named_and_bridged():
    """A result that the twin lacks is left out, and what follows is computed from the last pair before it."""
    ours = chain("FLOAT32", ["a", "extra", "b"], ops=["RELU", "TANH", "RELU6"])
    found = match(ours, chain("INT8", ["a", "b"], ops=["RELU", "RELU6"]))
    assert pairs(found)[1:] == [("a", 1, "name"), ("b", 2, "name")]
    assert found.layers[2].sources == (1,)
    assert found.unmatched_float == ("extra",)


def test_quantize_and_dequantize_are_no_layers():
    tensors = [T("x"), T("q", "INT8", scales=1), T("a", "INT8", scales=1), T("y")]
    ops = [Op("QUANTIZE", ("x",), ("q",)), Op("RELU", ("q",), ("a",)), Op("DEQUANTIZE", ("a",), ("y",))]
    found = match(chain("FLOAT32", ["a"]), graph(tensors, ops))
    assert pairs(found) == [("x", 1, "position"), ("a", 2, "name")]
    assert found.unmatched_quantized == ()


def test_what_is_computed_from_constants_alone_is_no_layer():
    tensors = [T("x"), T("h", "FLOAT16", constant=True), T("w"), T("y")]
    ops = [Op("DEQUANTIZE", ("h",), ("w",)), Op("ADD", ("x", "w"), ("y",))]
    found = match(graph(tensors, ops), chain("INT8", ["y"], ops=["ADD"]))
    assert [layer.name for layer in found.layers] == ["x", "y"]


def test_a_result_of_two_layers_has_both_as_sources():
    def joined(dtype):
        scales = 1 if dtype == "INT8" else 0
        tensors = [T(name, dtype, scales=scales) for name in ("x", "a", "b", "y")]
        return graph(tensors, [Op("RELU", ("x",), ("a",)), Op("TANH", ("x",), ("b",)), Op("ADD", ("a", "b"), ("y",))])

    found = match(joined("FLOAT32"), joined("INT8"))
    assert [layer.sources for layer in found.layers] == [(), (0,), (0,), (1, 2)]
