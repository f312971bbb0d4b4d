"""What inspect says about one dense layer in every scheme."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys

import pytest

from tests.flatbuffer import tiny
from tests.flatbuffer.tiny import BIAS, DENSE, KERNEL, Op, T, X, Y, build, quantized
from tflite_edge.flatbuffer import Facts, inspect
from tflite_edge.records.plain import from_plain, to_plain

SMALL_FLOAT = T("small", shape=(4,), constant=True)

SCHEMES = {
    "float": tiny.float_model(),
    "weightonly-wf16": tiny.float16_model(),
    "dynamic-wi8af32": tiny.dynamic_model(),
    "static-wi8ai8": tiny.int8_model(),
    "static-wi8ai16": tiny.int16x8_model(),
    "static-wu8au8": build(quantized("UINT8", "UINT8"), [DENSE]),
    "mixed-wi8ai8": tiny.int8_with_float_island(),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_scheme(scheme):
    found = inspect(SCHEMES[scheme])
    assert found.scheme == scheme
    assert found.scheme_why
    assert found.weights.parameters == 8 * 4 + 8


def test_float_edges_do_not_change_the_scheme():
    for edge in ("FLOAT32", "UINT8"):
        assert inspect(tiny.edged(edge, quantized("INT8"), [DENSE])).scheme == "static-wi8ai8"
    assert inspect(tiny.edged("FLOAT32", quantized("INT16", bias="INT64"), [DENSE])).scheme == "static-wi8ai16"


def test_float16_with_a_small_float_constant_is_float16():
    found = inspect(tiny.float16_model())
    assert {group.dtype for group in found.weights.constants} == {"float16", "float32"}
    assert found.scheme == "weightonly-wf16"


def test_dynamic_with_a_float_layer_is_dynamic():
    tensors = [
        X,
        T("w", "INT8", (8, 4), 8, constant=True),
        BIAS,
        T("m", shape=(1, 8)),
        T("v", shape=(8, 8), constant=True),
        Y,
    ]
    ops = [Op("FULLY_CONNECTED", ("x", "w", "b"), ("m",)), Op("FULLY_CONNECTED", ("m", "v", -1), ("y",))]
    assert inspect(build(tensors, ops)).scheme == "dynamic-wi8af32"


def test_int8_embedding_rows_that_are_dequantised_are_dynamic():
    # What TF 2.21 makes of tf.gather in dynamic-range mode.
    tensors = [
        T("ids", "INT32", (1, 8)),
        T("table", "INT8", (100, 4), 1, constant=True),
        T("rows", "INT8", (1, 8, 4), 1),
        T("f", shape=(1, 8, 4)),
        T("y", shape=(1, 8, 4)),
    ]
    gather, back = Op("GATHER", ("table", "ids"), ("rows",)), Op("DEQUANTIZE", ("rows",), ("f",))
    float_tail = build(tensors, [gather, back, Op("TANH", ("f",), ("y",))], ("ids",))
    assert inspect(float_tail).scheme == "dynamic-wi8af32"
    assert inspect(build(tensors, [gather], ("ids",), ("rows",))).scheme == "static-wi8ai8"


def test_int8_weights_that_are_dequantised_are_weight_only():
    weight = T("q", "INT8", (8, 4), 8, constant=True)
    ops = [Op("DEQUANTIZE", ("q",), ("w",)), DENSE]
    assert inspect(build([X, weight, T("w", shape=(8, 4)), BIAS, Y], ops)).scheme == "weightonly-wi8"


def test_models_without_weights():
    pool = Op("SOFTMAX", ("x",), ("y",))
    assert inspect(build([X, Y], [pool])).scheme == "float"
    assert inspect(build([X, Y], [Op("FAKE_QUANT", ("x",), ("y",))])).scheme == "float"
    for dtype, scheme in (("INT8", "static-wi8ai8"), ("INT16", "static-wi8ai16"), ("UINT8", "static-wu8au8")):
        assert inspect(build([T("x", dtype, scales=1), T("y", dtype, scales=1)], [pool])).scheme == scheme
    integers = [T("x", "INT32"), T("y", "INT32")]
    assert inspect(build(integers, [Op("ADD", ("x", "x"), ("y",))])).scheme == "integer"
    assert inspect(build([X, T("y", "INT8", scales=1)], [Op("QUANTIZE", ("x",), ("y",))])).scheme == "static-wi8ai8"


def test_raw_uint8_pixels_are_not_quantised():
    tensors = [T("pixels", "UINT8", (1, 4)), T("x", shape=(1, 4)), KERNEL, BIAS, Y]
    cast = Op("CAST", ("cropped",), ("x",))
    ops = [Op("SLICE", ("pixels",), ("cropped",)), cast, DENSE]
    assert inspect(build([T("cropped", "UINT8"), *tensors], ops, ("pixels",))).scheme == "float"


def test_two_integer_activation_types_are_mixed():
    tensors = [*quantized("INT8"), T("z", "INT16", (1, 8), 1), T("o", "INT16", (1, 8), 1)]
    ops = [DENSE, Op("QUANTIZE", ("y",), ("z",)), Op("TANH", ("z",), ("o",))]
    assert inspect(build(tensors, ops, outputs=("o",))).scheme == "mixed"


def test_the_int16_state_of_an_int8_lstm_does_not_count():
    tensors = [*quantized("INT8"), T("cell", "INT16", (1, 8), 1, variable=True)]
    lstm = Op("UNIDIRECTIONAL_SEQUENCE_LSTM", ("x", "w", "b", "cell"), ("y",))
    assert inspect(build(tensors, [lstm])).scheme == "static-wi8ai8"


def test_float_operators_are_named():
    (left,) = inspect(tiny.int8_with_float_island()).float_operators
    assert (left.index, left.name, left.tensor, left.dtype) == (2, "SOFTMAX", "g/softmax", "float32")
    assert not inspect(tiny.edged("FLOAT32", quantized("INT8"), [DENSE])).float_operators


def test_weights_biases_and_shapes_are_told_apart():
    shape = T("shape", "INT32", (2,), constant=True)
    tensors = [*quantized("INT8"), shape, T("unused", shape=(3,), constant=True), T("r", "INT8", (2, 4), 1)]
    found = inspect(build(tensors, [DENSE, Op("RESHAPE", ("y", "shape"), ("r",))], outputs=("r",)))
    groups = {(g.role, g.dtype): (g.tensors, g.elements, g.size_bytes) for g in found.weights.constants}
    assert groups == {
        ("weight", "int8"): (1, 32, 32),
        ("bias", "int32"): (1, 8, 32),
        ("other", "int32"): (1, 2, 8),
        ("other", "float32"): (1, 3, 12),
    }
    assert (found.weights.parameters, found.weights.size_bytes, found.weights.largest_elements) == (
        40,
        64,
        32,
    )
    assert found.file.container_bytes == found.file.size_bytes - 32 - 32 - 8 - 12


def test_per_channel_and_per_tensor_are_counted():
    for scales, expected in ((8, (1, 0)), (1, (0, 1))):
        found = inspect(build(quantized("INT8", scales=scales), [DENSE])).weights
        assert (found.per_channel, found.per_tensor) == expected


def test_shared_values_count_once():
    made = tiny.model([X, KERNEL, BIAS, T("w2", shape=(8, 4), constant=True), Y], [DENSE])
    made.subgraphs[0].operators[0].inputs = [0, 1, 2, 3]
    assert inspect(tiny.pack(made)).weights.parameters == 32 + 8 + 32
    made.subgraphs[0].tensors[3].buffer = made.subgraphs[0].tensors[1].buffer
    assert inspect(tiny.pack(made)).weights.parameters == 32 + 8


def test_values_shared_with_an_unused_tensor_are_weights():
    made = tiny.model([T("unused", shape=(8, 4), constant=True), X, KERNEL, BIAS, Y], [DENSE])
    made.subgraphs[0].tensors[0].buffer = made.subgraphs[0].tensors[2].buffer
    assert inspect(tiny.pack(made)).weights.parameters == 32 + 8


def test_the_file_as_a_whole(tmp_path):
    path = tmp_path / "name.tflite"
    path.write_bytes(tiny.int8_model())
    found, data = inspect(path).file, path.read_bytes()
    assert found.name == "name.tflite"
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.size_bytes == len(data)
    assert found.gzip_bytes == len(gzip.compress(data, 6))
    assert (found.schema_version, found.description, found.subgraphs) == (3, "tiny", 1)
    assert (found.min_runtime_version, found.metadata) == ("1.14.0", ("min_runtime_version",))
    assert inspect(build([X, Y], [Op("TANH", ("x",), ("y",))], version_text="")).file.min_runtime_version is None


def test_edges_signatures_and_operators():
    tensors = [
        T("x", "INT8", (1, 4), 1, scale=0.25, zero_point=-3, signature=(-1, 4)),
        *quantized("INT8")[1:],
    ]
    found = inspect(build(tensors, [DENSE]))
    (x,), (y,), (signature,) = found.inputs, found.outputs, found.signatures
    assert (x.name, x.dtype, x.shape, x.dynamic_axes) == ("x", "int8", (1, 4), (0,))
    assert (x.scales, x.scale, x.zero_point) == (1, 0.25, -3)
    assert (y.name, y.dynamic_axes) == ("y", ())
    assert (signature.key, signature.inputs, signature.outputs) == ("serving_default", ("arg_x",), ("arg_y",))
    assert [(o.name, o.version, o.count, o.custom) for o in found.operators] == [("FULLY_CONNECTED", 1, 1, False)]
    assert found.dynamic_shapes
    assert not inspect(tiny.int8_model()).dynamic_shapes


def test_custom_and_flex_operators_are_named():
    ops = [Op("", ("x",), ("m",), custom="FlexErf"), Op("", ("m",), ("y",), custom="MyOperator")]
    found = inspect(build([X, T("m"), T("y")], ops))
    assert found.custom == ("FlexErf", "MyOperator")
    assert found.flex == ("FlexErf",)
    assert all(operator.custom for operator in found.operators)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_facts_survive_json(scheme):
    found = inspect(SCHEMES[scheme])
    assert from_plain(Facts, json.loads(json.dumps(to_plain(found), allow_nan=False))) == found


def test_neither_tensorflow_nor_a_runtime_is_imported():
    code = "import sys, tflite_edge.flatbuffer; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"tensorflow", "ai_edge_litert", "tflite_runtime", "flatbuffers", "numpy"} & set(loaded)
