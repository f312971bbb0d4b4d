"""Hand-made models of a few hundred bytes, written with the official schema's own object API."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import pytest

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
flatbuffers = pytest.importorskip("flatbuffers")

BITS = {"FLOAT32": 32, "FLOAT16": 16, "INT8": 8, "UINT8": 8, "INT16": 16, "INT32": 32, "INT64": 64}


@dataclass(frozen=True)
class T:
    """A tensor: dtype, shape, number of scales (0: none); `constant` gives it a buffer of ones."""

    name: str
    dtype: str = "FLOAT32"
    shape: tuple[int, ...] = (1, 4)
    scales: int = 0
    constant: bool = False
    scale: float = 0.5
    zero_point: int = 0
    signature: tuple[int, ...] = ()
    variable: bool = False


@dataclass(frozen=True)
class Op:
    """An operator on tensors by name; -1 stands for an optional input that is not given."""

    name: str
    inputs: tuple[str | int, ...]
    outputs: tuple[str, ...]
    version: int = 1
    custom: str = ""


def build(
    tensors: list[T],
    ops: list[Op],
    inputs: tuple[str, ...] = ("x",),
    outputs: tuple[str, ...] = ("y",),
    version_text: str = "1.14.0",
) -> bytes:
    return pack(model(tensors, ops, inputs, outputs, version_text))


def pack(made) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def model(tensors, ops, inputs=("x",), outputs=("y",), version_text="1.14.0"):
    made = schema.ModelT()
    made.version, made.description = 3, "tiny"
    made.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.name = "main"
    graph.tensors = [_tensor(made, tensor) for tensor in tensors]
    place = {tensor.name: index for index, tensor in enumerate(tensors)} | {-1: -1}
    graph.inputs, graph.outputs = [place[n] for n in inputs], [place[n] for n in outputs]
    graph.operators, made.operatorCodes = [], []
    for op in ops:
        operator = schema.OperatorT()
        operator.opcodeIndex = len(made.operatorCodes)
        operator.inputs, operator.outputs = [place[n] for n in op.inputs], [place[n] for n in op.outputs]
        graph.operators.append(operator)
        made.operatorCodes.append(_code(op))
    made.subgraphs = [graph]
    made.signatureDefs = [_signature(inputs, outputs, place)]
    if version_text:
        metadata = schema.MetadataT()
        metadata.name, metadata.buffer = "min_runtime_version", len(made.buffers)
        made.metadata = [metadata]
        made.buffers.append(_buffer(version_text.encode().ljust(16, b"\0")))
    return made


def _buffer(data: bytes):
    buffer = schema.BufferT()
    buffer.data = list(data)
    return buffer


def _tensor(made, tensor: T):
    out = schema.TensorT()
    out.name, out.shape, out.type = tensor.name, list(tensor.shape), getattr(schema.TensorType, tensor.dtype)
    out.buffer, out.isVariable = 0, tensor.variable
    if tensor.signature:
        out.shapeSignature = list(tensor.signature)
    if tensor.scales:
        out.quantization = schema.QuantizationParametersT()
        out.quantization.scale = [tensor.scale] * tensor.scales
        out.quantization.zeroPoint = [tensor.zero_point] * tensor.scales
    if tensor.constant:
        elements = 1
        for size in tensor.shape:
            elements *= size
        out.buffer = len(made.buffers)
        made.buffers.append(_buffer(b"\x01" * (elements * BITS[tensor.dtype] // 8)))
    return out


def _code(op: Op):
    code = schema.OperatorCodeT()
    code.version = op.version
    code.builtinCode = schema.BuiltinOperator.CUSTOM if op.custom else getattr(schema.BuiltinOperator, op.name)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.customCode = op.custom or None
    return code


def _signature(inputs, outputs, place):
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs, signature.outputs = [], []
    for names, side in ((inputs, signature.inputs), (outputs, signature.outputs)):
        for name in names:
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = f"arg_{name}", place[name]
            side.append(entry)
    return signature


# One dense layer, in every scheme. Kernels [8, 4], bias [8].

X, Y = T("x"), T("y", shape=(1, 8))
KERNEL, BIAS = T("w", shape=(8, 4), constant=True), T("b", shape=(8,), constant=True)
DENSE = Op("FULLY_CONNECTED", ("x", "w", "b"), ("y",))


def quantized(dtype: str, weight: str = "INT8", bias: str = "INT32", scales: int = 8) -> list[T]:
    """The tensors of DENSE with `dtype` activations."""
    return [
        T("x", dtype, scales=1),
        T("w", weight, (8, 4), scales, constant=True),
        T("b", bias, (8,), scales, constant=True),
        T("y", dtype, (1, 8), 1),
    ]


def float_model() -> bytes:
    return build([X, KERNEL, BIAS, Y], [DENSE])


def float16_model() -> bytes:
    half = T("h", "FLOAT16", (8, 4), constant=True)
    return build([X, half, T("w", shape=(8, 4)), BIAS, Y], [Op("DEQUANTIZE", ("h",), ("w",)), DENSE])


def dynamic_model() -> bytes:
    return build([X, T("w", "INT8", (8, 4), 8, constant=True), BIAS, Y], [DENSE])


def int8_model() -> bytes:
    return build(quantized("INT8"), [DENSE])


def int16x8_model() -> bytes:
    return build(quantized("INT16", bias="INT64"), [DENSE])


def edged(edge: str, inner: list[T], middle: list[Op], scale: float = 0.5) -> bytes:
    """`middle` works on x and y; QUANTIZE and DEQUANTIZE (or QUANTIZE again) give the model `edge` types."""
    scales = 0 if edge == "FLOAT32" else 1
    back = "DEQUANTIZE" if edge == "FLOAT32" else "QUANTIZE"
    around = [T("in", edge, scales=scales, scale=scale), T("out", edge, (1, 8), scales)]
    ops = [Op("QUANTIZE", ("in",), ("x",)), *middle, Op(back, ("y",), ("out",))]
    return build([*around, *inner], ops, ("in",), ("out",))


def int8_with_float_island() -> bytes:
    tensors = [
        *quantized("INT8"),
        T("f", shape=(1, 8)),
        T("g/softmax", shape=(1, 8)),
        T("q", "INT8", (1, 8), 1),
    ]
    ops = [
        DENSE,
        Op("DEQUANTIZE", ("y",), ("f",)),
        Op("SOFTMAX", ("f",), ("g/softmax",)),
        Op("QUANTIZE", ("g/softmax",), ("q",)),
    ]
    return build(tensors, ops, outputs=("q",))


def index(values, dtype: str = "Uint8"):
    """(type, vector) of a sparse tensor's segments or indices."""
    vector = getattr(schema, f"{dtype}VectorT")()
    vector.values = list(values)
    return getattr(schema.SparseIndexVector, f"{dtype}Vector"), vector


def dense_level(size: int):
    level = schema.DimensionMetadataT()
    level.format, level.denseSize = schema.DimensionType.DENSE, size
    return level


def sparse_level(segments, indices):
    """A level in compressed sparse rows; segments and indices as `index` gives them."""
    level = schema.DimensionMetadataT()
    level.format = schema.DimensionType.SPARSE_CSR
    level.arraySegmentsType, level.arraySegments = segments
    level.arrayIndicesType, level.arrayIndices = indices
    return level


def sparsity(order, levels, blocks=()):
    made = schema.SparsityParametersT()
    made.traversalOrder, made.dimMetadata, made.blockMap = list(order), list(levels), list(blocks)
    return made


def rows(values, dtype: str = "Uint8"):
    """(stored values, sparsity) of a matrix as TF 2.21 stores it: rows dense, columns compressed."""
    columns = [j for row in values for j, value in enumerate(row) if value]
    segments = [sum(map(bool, sum(values[:i], []))) for i in range(len(values) + 1)]  # noqa: RUF017 - a few rows
    levels = [dense_level(len(values)), sparse_level(index(segments, dtype), index(columns, dtype))]
    return [value for row in values for value in row if value], sparsity((0, 1), levels)


# 19 of 64 values are stored; row 2 is empty.
SPARSE_KERNEL = [
    [0, 3, 0, 0, 0, 0, 0, 7],
    [1, 0, 0, 0, 5, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0],
    [2, 2, 2, 0, 0, 0, 0, 0],
    [0, 0, 9, 0, 0, 0, 4, 0],
    [6, 0, 0, 0, 0, 0, 0, 6],
    [0, 0, 0, 8, 8, 0, 8, 0],
    [1, 2, 3, 4, 5, 0, 0, 0],
]  # fmt: skip


def sparse_model(dtype: str = "INT8", width: str = "Uint8", direct: bool = False):
    """One dense layer whose kernel is SPARSE_KERNEL, unfolded by DENSIFY, or taken as it is."""
    scales = 8 if dtype == "INT8" else 0
    edge = "INT8" if scales else "FLOAT32"
    tensors = [
        T("x", edge, (1, 8), min(1, scales)),
        T("s", dtype, (8, 8), scales, constant=True),
        T("w", dtype, (8, 8), scales),
        T("y", edge, (1, 8), min(1, scales)),
    ]
    dense = Op("FULLY_CONNECTED", ("x", "s" if direct else "w", -1), ("y",))
    made = model(tensors, [dense] if direct else [Op("DENSIFY", ("s",), ("w",)), dense])
    values, made.subgraphs[0].tensors[1].sparsity = rows(SPARSE_KERNEL, width)
    pattern = {"INT8": "b", "FLOAT16": "e", "FLOAT32": "f"}[dtype]
    made.buffers[1].data = list(struct.pack(f"<{len(values)}{pattern}", *values))
    return made


def outside_buffer() -> bytes:
    """A float model whose kernel follows the flatbuffer, as in files above 2 GB."""
    made = model([X, KERNEL, BIAS, Y], [DENSE])
    kernel = made.buffers[1]
    size, kernel.data = len(kernel.data), None
    kernel.offset, kernel.size = 2**40, size  # written once to learn how long the flatbuffer is
    kernel.offset = len(pack(made))
    return pack(made) + struct.pack("<f", 1.0) * (size // 4)
