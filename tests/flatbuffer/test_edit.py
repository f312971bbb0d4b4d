"""Models as trees: nothing is lost on the way through, whatever the bytes are."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from tests.flatbuffer import real, tiny
from tests.flatbuffer.harm import mutations
from tflite_edge.flatbuffer import edit, fields, inspect
from tflite_edge.flatbuffer.edit import Node, dump, load
from tflite_edge.records.errors import ModelError

MODELS = {
    "converted": real.PATH.read_bytes(),
    "island": tiny.int8_with_float_island(),
    "float16": tiny.float16_model(),
    "sparse": tiny.pack(tiny.sparse_model()),
}


def plain(record):
    """An object of the official API as values that can be compared."""
    if isinstance(record, np.ndarray):
        return record.tobytes()
    if isinstance(record, list):
        return [plain(item) for item in record]
    return {key: plain(value) for key, value in vars(record).items()} if hasattr(record, "__dict__") else record


def official(data):
    return plain(tiny.schema.ModelT.InitFromPackedBuf(data, 0))


@pytest.mark.parametrize("name", MODELS)
def test_the_official_parser_sees_the_same_model(name):
    data = dump(load(MODELS[name]))
    assert official(data) == official(MODELS[name])
    assert dump(load(data)) == data


def test_the_table_of_fields_is_the_official_one():
    path = Path(__file__).parents[2] / "scripts" / "write_fields.py"
    spec = importlib.util.spec_from_file_location("write_fields", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    tables, unions = script.tables()
    for name, slots in edit._lines(fields.TABLES).items():  # newer packages may know more
        assert tables[name][: len(slots)] == slots
    for name, members in edit._lines(fields.UNIONS).items():
        assert unions[name][: len(members)] == members


def test_options_of_operators_go_through():
    made = tiny.model([tiny.X, tiny.KERNEL, tiny.BIAS, tiny.Y], [tiny.DENSE])
    operator = made.subgraphs[0].operators[0]
    operator.builtinOptionsType = tiny.schema.BuiltinOptions.StridedSliceOptions
    operator.builtinOptions = tiny.schema.StridedSliceOptionsT()
    operator.builtinOptions.beginMask, operator.builtinOptions.offset = 77, True
    operator.customOptions = list(b"\x01\x02\x03")
    data = dump(load(tiny.pack(made)))
    found = load(data)["subgraphs"][0]["operators"][0]
    assert (found["builtin_options"]["begin_mask"], found["custom_options"]) == (77, b"\x01\x02\x03")
    assert official(data) == official(tiny.pack(made))


def test_weights_stay_aligned_and_equal_ones_are_written_once():
    made = tiny.model([tiny.X, tiny.KERNEL, tiny.T("v", shape=(8, 4), constant=True), tiny.Y], [
        tiny.Op("FULLY_CONNECTED", ("x", "w", "v"), ("y",))
    ])  # fmt: skip
    for index in (1, 2):
        made.buffers[index].data = list(range(128))
    data = dump(load(tiny.pack(made)))
    assert data.count(bytes(range(128))) == 1
    assert data.index(bytes(range(128))) % 16 == 0
    assert inspect(data).weights.constants[0].elements == 32


def test_metadata_can_be_added():
    tree = load(real.PATH)
    tree["metadata"].append(Node("Metadata", {"name": b"made_by", "buffer": edit.add_buffer(tree, b"me")}))
    found = inspect(dump(tree)).file
    assert found.metadata[-1] == "made_by"
    assert found.entries[-1].size_bytes == 2


def test_a_newer_field_is_refused_not_lost():
    data = bytearray(tiny.float_model())
    root = struct.unpack_from("<I", data)[0]
    # A vtable of its own for the root, behind the file, with one more slot than the format has.
    old = root - struct.unpack_from("<i", data, root)[0]
    size = struct.unpack_from("<H", data, old)[0]
    slots = list(struct.unpack_from(f"<{size // 2 - 2}H", data, old + 4))
    slots += [0] * (len(edit.layout("Model")) - len(slots)) + [4]
    vtable = struct.pack(f"<HH{len(slots)}H", 4 + 2 * len(slots), 64, *slots)
    struct.pack_into("<i", data, root, root - len(data))
    with pytest.raises(ModelError, match="newer"):
        load(bytes(data) + vtable)


def test_weights_behind_the_flatbuffer_are_taken_inside():
    """LiteRT Quantizer writes such files, which older runtimes do not read; the model stays the same."""
    data = tiny.outside_buffer()
    before, made = inspect(data), dump(load(data))
    assert not [buffer for buffer in load(made)["buffers"] if buffer.get("offset", 0) > 1]
    after = inspect(made)
    assert (after.operators, after.inputs, after.outputs) == (before.operators, before.inputs, before.outputs)
    kernel = load(made)["buffers"][1]["data"]
    assert kernel == data[-len(kernel) :] != b""


def test_many_buffers_of_the_same_bytes_behind_the_flatbuffer_are_refused():
    """Each would be copied: a small file could ask for any memory."""
    made = tiny.model([tiny.X, tiny.KERNEL, tiny.BIAS, tiny.Y], [tiny.DENSE])
    size = 2 << 20
    others = [tiny.schema.BufferT() for _ in range(8)]
    made.buffers += others
    for offset in (2**40, None):  # once to learn how long the flatbuffer is
        for buffer in others:
            buffer.offset, buffer.size = offset or len(tiny.pack(made)), size
    with pytest.raises(ModelError) as caught:
        load(tiny.pack(made) + bytes(size))
    assert "more than twice its size" in caught.value.evidence


@pytest.mark.parametrize("name", ["converted", "sparse"])
def test_any_mutation_is_a_model_that_reads_the_same_or_an_error(name):
    @given(mutations(MODELS[name]))
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def run(data):
        try:
            again = dump(load(data))
        except ModelError as error:
            assert all((error.what, error.evidence, error.do))  # noqa: PT017 - either will do
        else:
            one, other = inspect(data), inspect(again)
            assert (one.operators, one.tensors, one.signatures) == (other.operators, other.tensors, other.signatures)

    run()
