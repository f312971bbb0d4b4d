"""The operators and tensors of a model, with every index already checked and followed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tflite_edge.flatbuffer import schema, sparse
from tflite_edge.flatbuffer.reader import File, Table
from tflite_edge.flatbuffer.sparse import Sparsity

# No kernel takes more than 8 dimensions; the product of very many would take minutes to compute.
MAX_RANK = 64
MAX_ELEMENTS = 2**56  # the runtimes count bytes in 64 bits

_Code = tuple[str, int, bool]  # name, version, custom


@dataclass(frozen=True)
class Tensor:
    """One tensor. `index` counts within its subgraph.

    shape: sizes as stored; dynamic_axes: the axes that stay open (-1) until run time.
    scales: how many there are: 0 not quantised, 1 per tensor, more per channel. scale, zero_point: the first.
    axis: that of the channels.
    data: file positions of a constant's bytes; empty for everything that is computed or fed.
    sparsity: where these bytes belong when not all elements are stored, else None.
    """

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    dynamic_axes: tuple[int, ...]
    scales: int
    scale: float | None
    zero_point: int | None
    axis: int
    data: range
    variable: bool
    sparsity: Sparsity | None

    @property
    def constant(self) -> bool:
        return bool(self.data)

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Operator:
    """One operator. `name`: builtin name or custom code. Optional inputs that are not given are left out."""

    index: int
    name: str
    version: int
    custom: bool
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Graph:
    """One subgraph; the first of a model is the one that an interpreter runs."""

    index: int
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def graphs(file: File) -> tuple[Graph, ...]:
    """All subgraphs of a model.

    Raises ModelError where an index leads nowhere, or a constant has not the bytes of its shape.
    """
    if not file.model.subgraphs:
        raise file.damaged("it has no subgraph")
    spans = [file.span(buffer) for buffer in file.model.buffers]
    codes = [_code(code) for code in file.model.operator_codes]
    return tuple(_graph(file, index, table, spans, codes) for index, table in enumerate(file.model.subgraphs))


def pick(file: File, items: Any, index: int, what: str) -> Any:
    """`items[index]`, or a ModelError that says which index leads nowhere."""
    if not 0 <= index < len(items):
        raise file.damaged(f"{what} has number {index}, and there are {len(items)}")
    return items[index]


def _code(table: Table) -> _Code:
    # Numbers above 126 do not fit the old int8 field, which then holds 127 (schema.fbs, OperatorCode).
    number = max(table.deprecated_builtin_code, table.builtin_code)
    custom = number == schema.CUSTOM
    return (table.custom_code if custom else schema.operator_name(number)), table.version, custom


def _graph(file: File, index: int, table: Table, spans: list[range], codes: list[_Code]) -> Graph:
    tensors = tuple(_tensor(file, i, tensor, spans) for i, tensor in enumerate(table.tensors))

    def pick_all(indices: tuple[int, ...], what: str) -> tuple[Tensor, ...]:
        return tuple(pick(file, tensors, i, f"{what} of subgraph {index}") for i in indices)

    operators = []
    for i, operator in enumerate(table.operators):
        name, version, custom = pick(file, codes, operator.opcode_index, f"the code of operator {i}")
        given = tuple(tensor for tensor in operator.inputs if tensor != -1)  # -1: optional input not given
        inputs = pick_all(given, f"an input of operator {i}")
        outputs = pick_all(operator.outputs, f"an output of operator {i}")
        operators.append(Operator(i, name, version, custom, inputs, outputs))
    edges = pick_all(table.inputs, "an input"), pick_all(table.outputs, "an output")
    return Graph(index, tensors, tuple(operators), *edges)


def _tensor(file: File, index: int, table: Table, spans: list[range]) -> Tensor:
    shape, signature = table.shape, table.shape_signature
    if len(shape) > MAX_RANK or len(signature) > MAX_RANK or min(shape, default=0) < -1:
        raise file.damaged(f"tensor {index} has {len(shape)} dimensions: {str(shape[:8])[:100]}")
    if abs(math.prod(shape)) > MAX_ELEMENTS:
        raise file.damaged(f"tensor {index} has more than 2^56 elements: {str(shape[:8])[:100]}")
    if table.external_buffer:
        raise file.damaged(f"tensor {index} keeps its values in another file")
    quantization = table.quantization
    scale = quantization.scale if quantization else ()
    zero_point = quantization.zero_point if quantization else ()
    if scale and not math.isfinite(scale[0]):
        raise file.damaged(f"tensor {index} has the scale {scale[0]}")
    data = pick(file, spans, table.buffer, f"the buffer of tensor {index}")
    tensor = Tensor(
        index=index,
        name=table.name,
        dtype=schema.type_name(table.type),
        shape=shape,
        dynamic_axes=tuple(axis for axis, size in enumerate(signature or shape) if size == -1),
        scales=len(scale),
        scale=scale[0] if scale else None,
        zero_point=(zero_point[0] if zero_point else 0) if scale else None,
        axis=quantization.quantized_dimension if quantization else 0,
        data=range(0) if table.is_variable else data,
        variable=table.is_variable,
        sparsity=sparse.read(file, table.sparsity, shape, f"tensor {index}") if table.sparsity else None,
    )
    _check_size(file, tensor)
    return tensor


def _check_size(file: File, tensor: Tensor) -> None:
    """A constant must have the bytes of its shape, or of its indices: kernels read them without looking."""
    bits = schema.TYPE_BITS.get(tensor.dtype)
    if bits is None or not tensor.constant:
        return
    wanted = ((tensor.sparsity.stored if tensor.sparsity else tensor.elements) * bits + 7) // 8
    if wanted != len(tensor.data):
        how = ", sparsely stored" if tensor.sparsity else ""
        raise file.damaged(
            f"tensor {tensor.index} ({tensor.name[:80]}) is {tensor.dtype} {list(tensor.shape)}{how}, which takes "
            f"{wanted:,} bytes, and has {len(tensor.data):,}"
        )
