"""Sparsely stored kernels: what is read from them, and bytes that contradict themselves or mean harm."""

from __future__ import annotations

import struct
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.flatbuffer import tiny
from tests.flatbuffer.harm import SLOW_S, mutations, survives, with_another_byte
from tests.flatbuffer.tiny import dense_level, index, sparse_level, sparsity
from tflite_edge.flatbuffer import facts, reader, sparse
from tflite_edge.flatbuffer.graph import graphs
from tflite_edge.records.errors import ModelError

VALID = tiny.pack(tiny.sparse_model())


@pytest.mark.parametrize("dtype", ["INT8", "FLOAT16", "FLOAT32"])
@pytest.mark.parametrize("width", ["Uint8", "Uint16", "Int32"])
def test_zeros_and_values_of_a_sparse_kernel_are_counted(dtype, width):
    found = facts.inspect(tiny.pack(tiny.sparse_model(dtype, width)))
    (kernel,) = found.kernels
    assert (kernel.shape, kernel.elements, kernel.sparsity, kernel.unique) == ((8, 8), 64, 45 / 64, 10)
    assert kernel.unique_per_channel == (6 if dtype == "INT8" else 10)
    bytes_each = {"INT8": 1, "FLOAT16": 2, "FLOAT32": 4}[dtype]
    indices = {"Uint8": 1, "Uint16": 2, "Int32": 4}[width] * (9 + 19)
    assert (found.sparse.tensors, found.sparse.dense_bytes) == (1, 64 * bytes_each)
    assert found.sparse.size_bytes == 19 * bytes_each + indices
    assert (found.sparse.direct, found.sparse.unfolded) == ((), ("FULLY_CONNECTED",))
    assert found.weights.parameters == 64


def test_a_sparse_kernel_changes_neither_scheme_nor_takers():
    found = facts.inspect(tiny.pack(tiny.sparse_model(direct=True)))
    assert (found.sparse.direct, found.sparse.unfolded) == (("FULLY_CONNECTED",), ())
    schemes = {dtype: facts.inspect(tiny.pack(tiny.sparse_model(dtype))).scheme for dtype in ("INT8", "FLOAT32")}
    assert schemes == {"INT8": "static-wi8ai8", "FLOAT32": "float"}


@given(arrays(np.int8, (8, 12), elements=st.sampled_from([0, 0, 0, -128, -1, 5, 127])))
@settings(max_examples=60, deadline=None)
def test_a_kernel_has_the_same_facts_sparse_and_whole(values):
    def kernel(stored, parameters):
        made = tiny.sparse_model()
        made.subgraphs[0].tensors[1].shape = [8, 12]
        made.subgraphs[0].tensors[1].sparsity = parameters
        made.buffers[1].data = list(np.array(stored, np.int8).tobytes())
        return facts.inspect(tiny.pack(made)).kernels

    if values.any():  # a buffer without bytes is no constant
        assert kernel(*tiny.rows(values.tolist())) == kernel(values.ravel(), None)


def levels_of(shape, parameters, stored):
    """(file, sparsity) of a float tensor of ones."""
    made = tiny.sparse_model("FLOAT32", direct=True)
    tensor = made.subgraphs[0].tensors[1]
    tensor.shape, tensor.sparsity = list(shape), parameters
    made.buffers[1].data = list(struct.pack("<f", 1.0) * stored)
    file = reader.read(tiny.pack(made))
    return file, graphs(file)[0].tensors[1].sparsity


def test_blocks_are_followed():
    """[4, 8] in blocks of 1 x 4, as TF 2.21 stores block-sparse dense layers: three blocks are there."""
    column = sparse_level(index([0, 1, 1, 3, 3]), index([1, 0, 1]))
    file, found = levels_of((4, 8), sparsity((0, 1, 2), [dense_level(4), column, dense_level(4)], [1]), 12)
    assert found.stored == 12
    assert found.along(file, 0).tolist() == [0] * 4 + [2] * 8
    assert found.along(file, 1).tolist() == [4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]


def test_axes_may_be_walked_in_another_order():
    """[2, 3] by columns: (1, 0), then (0, 2)."""
    row = sparse_level(index([0, 1, 1, 2]), index([1, 0]))
    file, found = levels_of((2, 3), sparsity((1, 0), [dense_level(3), row]), 2)
    assert (found.along(file, 0).tolist(), found.along(file, 1).tolist()) == ([1, 0], [0, 2])


def level(made, number):
    return made.subgraphs[0].tensors[1].sparsity.dimMetadata[number]


def values(made, name):
    return getattr(level(made, 1), name).values


BREAKAGES = {
    "nothing in it": lambda m: setattr(m.subgraphs[0].tensors[1], "sparsity", tiny.schema.SparsityParametersT()),
    "an axis twice": lambda m: setattr(m.subgraphs[0].tensors[1].sparsity, "traversalOrder", [0, 0]),
    "an axis too many": lambda m: setattr(m.subgraphs[0].tensors[1].sparsity, "traversalOrder", [0, 1, 2]),
    "a block of no axis": lambda m: setattr(m.subgraphs[0].tensors[1].sparsity, "blockMap", [7]),
    "another dense size": lambda m: setattr(level(m, 0), "denseSize", 9),
    "a dense size that bursts": lambda m: setattr(level(m, 0), "denseSize", 2**31 - 1),
    "another shape": lambda m: setattr(m.subgraphs[0].tensors[1], "shape", [2**31 - 1, 2**31 - 1]),
    "a shape of nothing": lambda m: setattr(m.subgraphs[0].tensors[1], "shape", [0, 8]),
    "an unknown format": lambda m: setattr(level(m, 1), "format", 5),
    "no indices": lambda m: (setattr(level(m, 1), "arrayIndices", None), setattr(level(m, 1), "arrayIndicesType", 0)),
    "an unknown index type": lambda m: setattr(level(m, 1), "arraySegmentsType", 9),
    "an index outside": lambda m: values(m, "arrayIndices").__setitem__(3, 8),
    "one element twice": lambda m: values(m, "arrayIndices").__setitem__(1, 1),
    "indices that fall": lambda m: values(m, "arrayIndices").__setitem__(0, 7),
    "segments that fall": lambda m: values(m, "arraySegments").__setitem__(3, 0),
    "segments that start late": lambda m: values(m, "arraySegments").__setitem__(0, 1),
    "segments beyond the indices": lambda m: values(m, "arraySegments").__setitem__(8, 20),
    "a segment too few": lambda m: values(m, "arraySegments").pop(1),
    "too few values": lambda m: m.buffers[1].data.pop(),
    "too many values": lambda m: m.buffers[1].data.append(1),
}


@pytest.mark.parametrize("change", BREAKAGES.values(), ids=BREAKAGES.keys())
def test_contradictions_are_named(change):
    made = tiny.sparse_model()
    change(made)
    with pytest.raises(ModelError, match="not a sound TFLite model") as caught:
        facts.inspect(tiny.pack(made))
    assert "tensor 1" in caught.value.evidence


def test_negative_indices_and_blocks_that_do_not_fit_are_refused():
    made = tiny.sparse_model(width="Int32")
    values(made, "arrayIndices")[0] = -1
    with pytest.raises(ModelError, match="contradict"):
        facts.inspect(tiny.pack(made))
    column = sparse_level(index([0, 1, 1, 3, 3]), index([1, 0, 1]))
    with pytest.raises(ModelError, match="blocks"):
        levels_of((4, 8), sparsity((0, 1, 2), [dense_level(4), column, dense_level(3)], [1]), 9)


def test_a_small_file_that_claims_a_huge_tensor_costs_no_memory():
    """[2^28 - 1, 2^28 - 1] with one value would be 72 petabytes whole; 60 dense levels would be more."""
    size = 2**28 - 1
    one = [sparse_level(index([0, 1]), index([size - 1], "Int32")) for _ in range(2)]
    file, found = levels_of((size, size), sparsity((0, 1), one), 1)
    assert found.along(file, 1).tolist() == [size - 1]
    start = time.monotonic()
    assert facts.inspect(bytes(file.data)).kernels[0].unique == 2
    with pytest.raises(ModelError, match="tensor 1"):
        levels_of((size,) * 60, sparsity(range(60), [dense_level(size)] * 60), 1)
    assert time.monotonic() - start < SLOW_S


def test_many_tensors_that_share_one_long_index_are_bounded():
    long = 200_000
    row = sparse_level(index([0, long], "Int32"), index(range(long), "Int32"))
    file, _ = levels_of((1, long), sparsity((0, 1), [dense_level(1), row]), long)
    table = file.model.subgraphs[0].tensors[1].sparsity
    budget = reader.MAX_OBJECTS * reader.COPIED_BYTES_PER_OBJECT // (4 * long) + 1
    with pytest.raises(ModelError, match="objects"):
        _ = [sparse.read(file, table, (1, long), "tensor 1") for _ in range(budget)]


@given(mutations(VALID))
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_mutation(data):
    survives(data)


def test_every_single_byte_matters_or_not_but_never_crashes():
    for data in with_another_byte(VALID):
        survives(data)


def test_the_numbers_of_the_format_are_the_official_ones():
    official = tiny.schema
    assert (sparse.DENSE, sparse.CSR) == (official.DimensionType.DENSE, official.DimensionType.SPARSE_CSR)
    assert [name.capitalize() for name in sparse.INDEX_TYPES[1:]] == [
        name.removesuffix("Vector")
        for number in (1, 2, 3)
        for name, value in vars(official.SparseIndexVector).items()
        if value == number
    ]
