"""The reader against the official parser, and against bytes that mean harm."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.flatbuffer import tiny
from tests.flatbuffer.harm import mutations, survives, with_another_byte
from tflite_edge.flatbuffer import facts, reader, schema
from tflite_edge.flatbuffer.graph import graphs
from tflite_edge.records.errors import ModelError

VALID = tiny.int8_with_float_island()


def test_tables_of_names_are_the_official_ones():
    official = tiny.schema
    operators = {n: v for n, v in vars(official.BuiltinOperator).items() if isinstance(v, int)}
    types = {n: v for n, v in vars(official.TensorType).items() if isinstance(v, int)}
    # Newer packages may know more.
    assert [operators[name] for name in schema.BUILTIN_OPERATORS] == list(range(len(schema.BUILTIN_OPERATORS)))
    assert [types[name.upper()] for name in schema.TENSOR_TYPES] == list(range(len(schema.TENSOR_TYPES)))
    assert schema.operator_name(4000) == "BUILTIN_4000"
    assert schema.type_name(-1) == "type_-1"


@pytest.mark.parametrize("data", [VALID, tiny.float16_model(), tiny.int16x8_model()])
def test_agrees_with_the_official_parser(data):
    file, official = reader.read(data), tiny.schema.ModelT.InitFromPackedBuf(data, 0)
    assert file.model.description == official.description.decode()
    for graph, expected in zip(file.model.subgraphs, official.subgraphs, strict=True):
        assert graph.inputs == tuple(expected.inputs)
        for operator, other in zip(graph.operators, expected.operators, strict=True):
            assert (operator.opcode_index, operator.inputs, operator.outputs) == (
                other.opcodeIndex,
                tuple(other.inputs),
                tuple(other.outputs),
            )
        for tensor, other in zip(graph.tensors, expected.tensors, strict=True):
            assert (tensor.name, tensor.type, tensor.shape) == (
                other.name.decode(),
                other.type,
                tuple(other.shape),
            )
            if other.quantization is not None and other.quantization.scale is not None:
                assert tensor.quantization.scale == tuple(other.quantization.scale)
                assert tensor.quantization.zero_point == tuple(other.quantization.zeroPoint)
    for buffer, other in zip(file.model.buffers, official.buffers, strict=True):
        span = file.span(buffer)
        assert bytes(file.data[span.start : span.stop]) == bytes([] if other.data is None else other.data)


def test_operator_code_is_the_larger_field_and_version_defaults_to_1():
    made = tiny.model([tiny.X, tiny.Y], [tiny.Op("GELU", ("x",), ("y",))])
    assert made.operatorCodes[0].deprecatedBuiltinCode == 127
    old = tiny.model([tiny.X, tiny.Y], [tiny.Op("SOFTMAX", ("x",), ("y",))])
    old.operatorCodes[0].builtinCode = 0  # as files from before 2020 have it
    for source, name in ((made, "GELU"), (old, "SOFTMAX")):
        (graph,) = graphs(reader.read(tiny.pack(source)))
        assert (graph.operators[0].name, graph.operators[0].version) == (name, 1)


def test_optional_inputs_are_left_out():
    data = tiny.build([tiny.X, tiny.KERNEL, tiny.Y], [tiny.Op("FULLY_CONNECTED", ("x", "w", -1), ("y",))])
    (graph,) = graphs(reader.read(data))
    assert [tensor.name for tensor in graph.operators[0].inputs] == ["x", "w"]


def test_buffer_outside_the_flatbuffer():
    data = tiny.outside_buffer()
    found = facts.inspect(data)
    assert found.weights.parameters == 8 * 4 + 8
    with pytest.raises(ModelError, match="not a sound"):
        facts.inspect(data[:-1])


@pytest.mark.parametrize("content", [b"", b"TFL3", b"PK\x03\x04 a Keras file", b"\x89HDF\r\n\x1a\n" * 9])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not a TFLite model"):
        reader.read(path)


def test_what_is_not_a_readable_file_is_refused(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path, pipe, tmp_path / "missing", "/dev/zero", "nul\0byte"):
        with pytest.raises(ModelError):
            reader.read(path)


def test_a_field_that_is_not_in_the_table_is_our_mistake():
    with pytest.raises(AttributeError, match="no field"):
        _ = reader.read(VALID).model.subgraf


def broken(change) -> bytes:
    made = tiny.model(tiny.quantized("INT8"), [tiny.DENSE])
    change(made, made.subgraphs[0])
    return tiny.pack(made)


BREAKAGES = {
    "no subgraph": lambda made, graph: setattr(made, "subgraphs", []),
    "operator code": lambda made, graph: setattr(graph.operators[0], "opcodeIndex", 9),
    "operator input": lambda made, graph: setattr(graph.operators[0], "inputs", [0, 99]),
    "negative input": lambda made, graph: setattr(graph.operators[0], "inputs", [0, -2]),
    "graph output": lambda made, graph: setattr(graph, "outputs", [-1]),
    "buffer": lambda made, graph: setattr(graph.tensors[1], "buffer", 1000),
    "too few bytes": lambda made, graph: setattr(graph.tensors[1], "shape", [8, 5]),
    "huge shape": lambda made, graph: setattr(graph.tensors[1], "shape", [2**31 - 1] * 60),
    "many dimensions": lambda made, graph: setattr(graph.tensors[1], "shape", [2] * 65),
    "negative dimension": lambda made, graph: setattr(graph.tensors[0], "shape", [-7]),
    "scale": lambda made, graph: setattr(graph.tensors[0].quantization, "scale", [float("nan")]),
    "another file": lambda made, graph: setattr(graph.tensors[1], "externalBuffer", 1),
    "signature": lambda made, graph: setattr(made.signatureDefs[0].inputs[0], "tensorIndex", 77),
    "signature graph": lambda made, graph: setattr(made.signatureDefs[0], "subgraphIndex", 5),
    "metadata": lambda made, graph: setattr(made.metadata[0], "buffer", 55),
    "text": lambda made, graph: setattr(graph.tensors[0], "name", b"\xff\xfe"),
}


@pytest.mark.parametrize("change", BREAKAGES.values(), ids=BREAKAGES.keys())
def test_contradictions_are_named(change):
    with pytest.raises(ModelError, match="not a sound TFLite model") as caught:
        facts.inspect(broken(change))
    assert caught.value.evidence


def vector_of_one_table(count: int) -> bytes:
    """A model whose `subgraphs` are `count` offsets to one and the same table."""
    head = struct.pack("<I4s", 28, b"TFL3")
    vtable = struct.pack("<HHHHH", 10, 8, 0, 0, 4).ljust(20, b"\0")  # at 8: slot 2 lies 4 bytes into the table
    root = struct.pack("<iI", 28 - 8, 4)  # at 28; the vector follows at 36
    offsets = b"".join(struct.pack("<I", 4 * (count - i)) for i in range(count))
    empty_table = struct.pack("<iHH", -4, 4, 4)
    return head + vtable + root + struct.pack("<I", count) + offsets + empty_table


def test_a_vector_that_repeats_one_table_is_bounded():
    assert len(graphs(reader.read(vector_of_one_table(3)))) == 3
    with pytest.raises(ModelError, match="objects"):  # after about 2 s; all of them would take for ever
        facts.inspect(vector_of_one_table(reader.MAX_OBJECTS + 1))


def test_tensors_and_operators_count_for_more(monkeypatch):
    monkeypatch.setattr(reader, "MAX_OBJECTS", 1000)
    (graph,) = graphs(reader.read(tiny.build([tiny.T(f"t{i}") for i in range(40)], [], ("t0",), ("t0",))))
    assert len(graph.tensors) == 40
    with pytest.raises(ModelError, match="objects"):
        graphs(reader.read(tiny.build([tiny.T(f"t{i}") for i in range(100)], [], ("t0",), ("t0",))))
    repeated = tiny.model([tiny.X, tiny.Y], [tiny.Op("TANH", ("x",), ("y",))])
    repeated.subgraphs[0].operators *= 100
    with pytest.raises(ModelError, match="objects"):
        graphs(reader.read(tiny.pack(repeated)))


def test_a_table_that_is_its_own_vtable_ends():
    data = bytearray(vector_of_one_table(1))
    struct.pack_into("<I", data, 40, 0)  # the one entry of the vector points to itself
    survives(bytes(data))


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_bytes(noise):
    survives(noise)
    survives(struct.pack("<I", 8) + b"TFL3" + noise)


@given(st.integers(0, len(VALID)))
@settings(max_examples=200, deadline=None)
def test_any_truncation(size):
    survives(VALID[:size])


@given(mutations(VALID))
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_mutation(data):
    survives(data)


def test_every_single_byte_matters_or_not_but_never_crashes():
    for data in with_another_byte(VALID):
        survives(data)
