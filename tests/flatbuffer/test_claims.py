"""Every promise broken once, and kept once."""

from __future__ import annotations

import struct
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.flatbuffer import tiny
from tests.flatbuffer.tiny import DENSE, Op, T, X, Y, build, quantized
from tflite_edge.flatbuffer import check, inspect, refuse_sparse
from tflite_edge.flatbuffer.kernels import KernelFact
from tflite_edge.records.conversion import Conversion
from tflite_edge.records.errors import ModelError
from tflite_edge.records.manifest import Effect, LayerEffect, StepRecord
from tflite_edge.records.repair import Repair
from tflite_edge.records.verdict import DEGRADED, FAILED, OK, verdict_of

FLOAT, FLOAT16, DYNAMIC = Conversion("float32"), Conversion("float16"), Conversion("dynamic")
INT8, INT8_FLOAT_EDGE, INT8_UINT8_EDGE = (Conversion("int8", io=io) for io in ("int8", "float32", "uint8"))
INT16X8 = Conversion("int16x8", io="int16")


def findings(data: bytes, conversion: Conversion):
    return check(inspect(data), conversion)


def only(data: bytes, conversion: Conversion):
    (finding,) = findings(data, conversion)
    assert verdict_of([finding]) == DEGRADED
    assert finding.do
    return finding


@pytest.mark.parametrize(
    ("data", "conversion"),
    [
        (tiny.float_model(), FLOAT),
        (tiny.float16_model(), FLOAT16),
        (tiny.dynamic_model(), DYNAMIC),
        (tiny.int8_model(), INT8),
        (tiny.edged("FLOAT32", quantized("INT8"), [DENSE]), INT8_FLOAT_EDGE),
        (tiny.edged("UINT8", quantized("INT8"), [DENSE]), INT8_UINT8_EDGE),
        (tiny.int16x8_model(), INT16X8),
    ],
)
def test_kept_promises(data, conversion):
    assert verdict_of(findings(data, conversion)) == OK


def test_asked_for_int8_and_got_float():
    finding = only(tiny.float_model(), INT8_FLOAT_EDGE)
    assert finding.what == "asked for static-wi8ai8, the file is float"
    assert "0 of 2 weight tensors are int8 (2 float32)" in finding.evidence
    assert "representative" in finding.do


def test_asked_for_float_and_got_something_else():
    assert "weightonly-wf16" in only(tiny.float16_model(), FLOAT).what
    assert "dynamic-wi8af32" in only(tiny.dynamic_model(), FLOAT).what
    assert "file is float" in only(tiny.float_model(), FLOAT16).what


def test_dynamic_below_1024_elements():
    finding = only(tiny.float_model(), DYNAMIC)
    assert "no constant is large enough" in finding.what
    assert "1,024" in finding.evidence
    assert "has 32" in finding.evidence


def test_dynamic_that_had_large_constants():
    tensors = [T("x", shape=(1, 32)), T("w", shape=(32, 32), constant=True), T("y", shape=(1, 32))]
    finding = only(build(tensors, [Op("FULLY_CONNECTED", ("x", "w", -1), ("y",))]), DYNAMIC)
    assert "0 of 1 weight tensors are int8" in finding.evidence


def test_no_weights():
    for conversion in (FLOAT16, DYNAMIC):
        finding = only(build([X, Y], [Op("TANH", ("x",), ("y",))]), conversion)
        assert "no weights" in finding.evidence


def test_float_operators_left_inside():
    finding = only(tiny.int8_with_float_island(), INT8)
    assert finding.what == "1 of 4 operators still compute in float"
    assert finding.evidence == "#2 SOFTMAX -> g/softmax (float32)"


def test_at_most_five_float_operators_are_listed():
    names = [f"t{i}" for i in range(9)]
    tensors = [*quantized("INT8"), T("z", "INT8", (1, 8), 1), *(T(name, shape=(1, 8)) for name in names)]
    ops = [
        DENSE,
        Op("DEQUANTIZE", ("y",), (names[0],)),
        *(Op("TANH", pair[:1], pair[1:]) for pair in pairwise(names)),
        Op("QUANTIZE", (names[-1],), ("z",)),
    ]
    evidence = only(build(tensors, ops, outputs=("z",)), INT8).evidence.splitlines()
    assert len(evidence) == 6
    assert evidence[-1] == "and 3 more"


def test_flex_and_custom_operators():
    ops = [Op("", ("x",), ("m",), custom="FlexErf"), Op("", ("m",), ("y",), custom="MyOperator")]
    data = build([X, T("m"), T("y")], ops)
    flex, custom = findings(data, FLOAT)
    assert flex.evidence == "FlexErf"
    assert custom.evidence == "MyOperator"
    assert not findings(data, Conversion("float32", flex=True))


def test_edge_types():
    finding_in, finding_out = findings(tiny.edged("FLOAT32", quantized("INT8"), [DENSE]), INT8)
    assert finding_in.what == "input in is float32, asked for int8"
    assert finding_out.what == "output out is float32, asked for int8"
    assert "not quantised" in finding_in.evidence
    assert "scale 0.5, zero point 0" in findings(tiny.int8_model(), INT8_FLOAT_EDGE)[0].evidence


def test_indices_at_the_edge_have_no_choice_of_type():
    tensors = [T("x"), T("y", "INT64", (1,))]
    assert not findings(build(tensors, [Op("ARG_MAX", ("x",), ("y",))]), FLOAT)


def test_baked_float_takes_uint8():
    baked = Conversion("float32", bake=True)
    assert "input x is float32, asked for uint8" in only(tiny.float_model(), baked).what
    tensors = [T("pixels", "UINT8"), X, tiny.KERNEL, tiny.BIAS, Y]
    ops = [Op("CAST", ("pixels",), ("x",)), DENSE]
    assert not findings(build(tensors, ops, ("pixels",)), baked)


def test_baked_int8_with_uint8_edge_takes_raw_values():
    baked = Conversion("int8", io="uint8", bake=True)
    assert not findings(tiny.edged("UINT8", quantized("INT8"), [DENSE], scale=1.0), baked)
    finding = only(tiny.edged("UINT8", quantized("INT8"), [DENSE], scale=0.996), baked)
    assert "raw values" in finding.what
    assert "scale 0.996, zero point 0" in finding.evidence


def test_a_file_without_operators_is_useless():
    assert verdict_of(findings(build([X], [], ("x",), ("x",)), FLOAT)) == FAILED


SPARSE = Conversion("float32", sparse=True)


def test_sparse_storage_that_was_asked_for_and_is_there():
    assert not findings(tiny.pack(tiny.sparse_model("FLOAT32")), SPARSE)


def test_sparse_storage_without_a_sparse_kernel():
    finding = only(tiny.float_model(), SPARSE)
    assert finding.what == "asked for sparse storage, and no kernel is stored so"
    assert "0.0% zeros" in finding.evidence
    whole = tiny.sparse_model("FLOAT32")
    kernel, values = whole.subgraphs[0].tensors[1], [v for row in tiny.SPARSE_KERNEL for v in row]
    kernel.sparsity, whole.buffers[1].data = None, list(struct.pack("<64f", *values))
    assert "70.3% zeros" in only(tiny.pack(whole), SPARSE).evidence


def test_sparse_storage_that_costs_more_than_it_saves():
    finding = only(tiny.pack(tiny.sparse_model("INT8", "Int32")), Conversion("int8", "int8", sparse=True))
    assert finding.what == "sparse storage makes this file larger, not smaller"
    assert "131 bytes" in finding.evidence
    assert "64 if" in finding.evidence


@pytest.mark.parametrize(
    ("runtime", "direct", "evidence"),
    [
        ("ai-edge-litert", False, "failed to delegate"),
        ("tflite-runtime", True, "answers 0"),
        ("ai-edge-litert", True, None),
        ("tflite-runtime", False, None),
    ],
)
def test_int8_dense_layers_with_sparse_kernels_are_refused_where_they_do_not_run(runtime, direct, evidence):
    facts = inspect(tiny.pack(tiny.sparse_model("INT8", direct=direct)))
    if evidence is None:
        refuse_sparse(facts, runtime)
    else:
        with pytest.raises(ModelError, match=evidence) as caught:
            refuse_sparse(facts, runtime)
        assert runtime in caught.value.what
        assert "Conv2D" in caught.value.do
    refuse_sparse(inspect(tiny.pack(tiny.sparse_model("FLOAT32", direct=direct))), runtime)


BEFORE = Effect(2000, 0.0, ())
PRUNED = StepRecord(
    "prune", {"sparsity": 0.5}, BEFORE,
    Effect(2000, 0.5, (LayerEffect("a", "Conv2D", 1000, 0.5, 400, 90), LayerEffect("b", "Dense", 900, 0.0, 900, 90))),
)  # fmt: skip
CLUSTERED = StepRecord(
    "cluster", {"clusters": 16}, BEFORE,
    Effect(2000, 0.5, (LayerEffect("a", "Conv2D", 1000, 0.5, 16, 16), LayerEffect("b", "Dense", 900, 0.0, 900, 90))),
)  # fmt: skip


def left(sparsity, unique, conversion=INT8, after=()):
    kernels = (KernelFact("a", "int8", (10, 100), 1000, sparsity, 200, unique), KernelFact("b", "int8", (9, 100), 900,
               0.01, 200, 90))  # fmt: skip
    facts = replace(inspect(tiny.int8_model()), kernels=kernels)
    return check(facts, conversion, [PRUNED, CLUSTERED, *after])


def test_zeros_and_shared_values_of_the_steps_are_looked_for_in_the_file():
    assert left(0.5, 17) == []
    (zeros,) = left(0.01, 16)
    assert zeros.what == "of the zeros that prune made 4% are in the file"
    assert zeros.evidence == "500 in 1 layers of Keras after prune, 19 in the file"
    (values,) = left(0.5, 100)
    assert values.what == "of the weights that cluster made share 16 values 0% do so in the file"
    assert [finding.do for finding in left(0.5, 100, replace(INT8, per_tensor=True))] == [
        "per_tensor = false, or leave out what trains such scales"
    ]
    assert left(0.5, 100, replace(INT8, repair=Repair(equalize="weights"))) == []
    cut = replace(PRUNED, name="channels", settings={"fraction": 0.5})
    assert left(0.01, 100, after=[cut]) == []  # what was pruned may have been cut away
    assert len(left(0.01, 100, after=[cut, PRUNED])) == 1
