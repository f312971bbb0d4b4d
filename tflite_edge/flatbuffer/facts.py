"""What a .tflite file holds, read back from its bytes: types, operators, weights, sizes.

Nothing here is taken from what the converter was asked for, nor from the file's name.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

from tflite_edge.flatbuffer import arena, container, cost, reader, scheme
from tflite_edge.flatbuffer.arena import Arena
from tflite_edge.flatbuffer.container import Container, ConversionFact, MetadataFact
from tflite_edge.flatbuffer.graph import Graph, Operator, Tensor, graphs, pick
from tflite_edge.flatbuffer.islands import Island, islands
from tflite_edge.flatbuffer.kernels import KernelFact, compression, kernels
from tflite_edge.flatbuffer.metadata import ModelMetadata
from tflite_edge.flatbuffer.schema import TYPE_BITS
from tflite_edge.records.manifest import Compression

# What the gzip program does by default. Level 9 saves at most 4 % more and needs ten times as long for
# pruned or clustered weights (14 MB: 6 s instead of 0.6 s).
GZIP_LEVEL = 6
CHUNK_BYTES = 1 << 20
MOST_LETTERS = 300  # of a tensor's name beside each of many operators

# Optional instead of `| None` below: records.plain.from_plain reads these back and knows only that.


@dataclass(frozen=True)
class FileFact:
    """The file as a whole.

    gzip_bytes: compressed at GZIP_LEVEL. container_bytes: everything that is not a constant's value:
    structure, names, quantisation parameters, metadata. min_runtime_version: as the converter wrote it,
    None if it did not. entries: the metadata with their sizes. conversion: what the converter says of itself.
    described: TFLite's own metadata and the files appended to it.
    """

    name: str
    sha256: str
    size_bytes: int
    gzip_bytes: int
    container_bytes: int
    schema_version: int
    description: str
    min_runtime_version: Optional[str]  # noqa: UP045 - read back by from_plain
    metadata: tuple[str, ...]
    subgraphs: int
    entries: tuple[MetadataFact, ...] = ()
    container: Optional[Container] = None  # noqa: UP045 - read back by from_plain
    conversion: Optional[ConversionFact] = None  # noqa: UP045 - read back by from_plain
    described: Optional[ModelMetadata] = None  # noqa: UP045 - read back by from_plain


@dataclass(frozen=True)
class TensorFact:
    """A tensor: real value = scale * (stored value - zero_point).

    dynamic_axes: axes of any size, which `shape` shows as stored (1, usually). scales: number of scales,
    0 when not quantised, else `scale` and `zero_point` are those of the first channel, and the channels are
    those of `axis`. constant: its values are in the file and take `size_bytes` there; role: what for
    (scheme.role), "" for others. subgraph, index: its place.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    dynamic_axes: tuple[int, ...]
    scales: int
    scale: Optional[float]  # noqa: UP045 - read back by from_plain
    zero_point: Optional[int]  # noqa: UP045 - read back by from_plain
    subgraph: int = 0
    index: int = 0
    axis: int = 0
    constant: bool = False
    variable: bool = False
    size_bytes: int = 0
    role: str = ""


@dataclass(frozen=True)
class OperatorFact:
    """One operator. inputs, outputs: indices of its tensors in the subgraph, inputs that are not given left out.

    macs: multiply-accumulates of one run; None for operators that nobody can count from the file.
    """

    subgraph: int
    index: int
    name: str
    version: int
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    macs: Optional[int]  # noqa: UP045 - read back by from_plain


@dataclass(frozen=True)
class Signature:
    key: str
    subgraph: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class OperatorCount:
    """How often an operator occurs in all subgraphs. `custom`: `name` is a custom code, not a builtin."""

    name: str
    version: int
    count: int
    custom: bool


@dataclass(frozen=True)
class FloatOperator:
    """An operator with a float input or output that is not a constant; QUANTIZE and DEQUANTIZE only convert.

    index: place in the subgraph. tensor: name of its first output. dtype: the float type.
    """

    subgraph: int
    index: int
    name: str
    tensor: str
    dtype: str


@dataclass(frozen=True)
class Constants:
    """Constants of one role (scheme.role: weight, bias, other) and one type. Shared values count once."""

    role: str
    dtype: str
    tensors: int
    elements: int
    size_bytes: int


@dataclass(frozen=True)
class Weights:
    """The learnt numbers: constants of role weight and bias.

    parameters: elements. largest_elements: of the largest weight. per_channel, per_tensor: quantised
    weights (biases not counted) with several scales, with one.
    """

    parameters: int
    tensors: int
    size_bytes: int
    largest_elements: int
    per_channel: int
    per_tensor: int
    constants: tuple[Constants, ...]


@dataclass(frozen=True)
class SparseStorage:
    """Weights of which only the values that are not zero are stored, and where each of them belongs.

    size_bytes: values and indices; dense_bytes: of the same tensors stored whole. direct: names of the
    operators that take them as they are; unfolded: of those that get them whole again, from DENSIFY.
    """

    tensors: int
    size_bytes: int
    dense_bytes: int
    direct: tuple[str, ...]
    unfolded: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Everything `inspect` finds. inputs and outputs are those of the first subgraph, which a runtime runs.

    flex: those of the custom operators that are TensorFlow's own and need its Flex delegate.
    dynamic_shapes: some tensor that is not a constant has an axis of any size.
    nodes, tensors: all of all subgraphs. macs: multiply-accumulates of one run of the first subgraph,
    macs_why: what is not in them. arena: the estimated memory of its activations. islands: where a
    quantised model computes in float.
    """

    file: FileFact
    scheme: str
    scheme_why: str
    inputs: tuple[TensorFact, ...]
    outputs: tuple[TensorFact, ...]
    signatures: tuple[Signature, ...]
    operators: tuple[OperatorCount, ...]
    custom: tuple[str, ...]
    flex: tuple[str, ...]
    weights: Weights
    sparse: SparseStorage
    kernels: tuple[KernelFact, ...]
    compression: Optional[Compression]  # noqa: UP045 - read back by from_plain
    float_operators: tuple[FloatOperator, ...]
    dynamic_shapes: bool
    nodes: tuple[OperatorFact, ...] = ()
    tensors: tuple[TensorFact, ...] = ()
    macs: int = 0
    macs_why: str = ""
    arena: Optional[Arena] = None  # noqa: UP045 - read back by from_plain
    islands: tuple[Island, ...] = ()


def inspect(source: str | os.PathLike[str] | bytes) -> Facts:
    """Read a model, given by path or as bytes. Raises ModelError when it is not a sound one."""
    file = reader.read(source)
    subgraphs = graphs(file)
    census = scheme.census(subgraphs)
    name, why = scheme.decide(census)
    operators = Counter((o.name, o.version, o.custom) for graph in subgraphs for o in graph.operators)
    custom = sorted({name for name, _, is_custom in operators if is_custom})
    constants = _unique_constants(subgraphs)
    found = kernels(file, [tensor for tensor, role in constants if role == "weight"])
    macs, macs_why = cost.total(subgraphs[0])
    return Facts(
        file=_file(file, sum(len(tensor.data) for tensor, _ in constants)),
        scheme=name,
        scheme_why=why,
        inputs=tuple(_tensor(tensor) for tensor in subgraphs[0].inputs),
        outputs=tuple(_tensor(tensor) for tensor in subgraphs[0].outputs),
        signatures=tuple(_signature(file, table, subgraphs) for table in file.model.signature_defs),
        operators=tuple(
            OperatorCount(name, version, count, custom)
            for (name, version, custom), count in sorted(operators.items(), key=_most_frequent_first)
        ),
        custom=tuple(custom),
        flex=tuple(name for name in custom if name.startswith("Flex")),
        weights=_weights(constants),
        sparse=_sparse(subgraphs, [tensor for tensor, _ in constants if tensor.sparsity]),
        kernels=found,
        compression=compression(found),
        float_operators=tuple(
            FloatOperator(graph, o.index, o.name, o.outputs[0].name[:MOST_LETTERS] if o.outputs else "", tensor.dtype)
            for graph, o, tensor in census.floats
        ),
        dynamic_shapes=any(t.dynamic_axes and not t.constant for graph in subgraphs for t in graph.tensors),
        nodes=tuple(_operator(graph, operator) for graph in subgraphs for operator in graph.operators),
        tensors=tuple(fact for graph in subgraphs for fact in _tensors(graph)),
        macs=macs,
        macs_why=macs_why,
        arena=arena.plan(subgraphs[0]),
        islands=islands(subgraphs, census),
    )


def _most_frequent_first(item: tuple[tuple[str, int, bool], int]) -> tuple[int, tuple[str, int, bool]]:
    return -item[1], item[0]


def _file(file: reader.File, constant_bytes: int) -> FileFact:
    compressor, gzip_bytes = zlib.compressobj(GZIP_LEVEL, wbits=31), 0  # 31: with gzip's header and check sum
    for start in range(0, len(file.data), CHUNK_BYTES):
        gzip_bytes += len(compressor.compress(file.data[start : start + CHUNK_BYTES]))
    return FileFact(
        name=Path(file.name).name,
        sha256=hashlib.sha256(file.data).hexdigest(),
        size_bytes=len(file.data),
        gzip_bytes=gzip_bytes + len(compressor.flush()),
        container_bytes=max(0, len(file.data) - constant_bytes),  # overlapping values are legal
        schema_version=file.model.version,
        description=file.model.description,
        min_runtime_version=container.version(file),
        metadata=tuple(table.name for table in file.model.metadata),
        subgraphs=len(file.model.subgraphs),
        entries=container.metadata(file),
        container=container.measure(file, constant_bytes),
        conversion=container.conversion(file),
        described=container.described(file),
    )


def _operator(graph: Graph, operator: Operator) -> OperatorFact:
    return OperatorFact(
        subgraph=graph.index,
        index=operator.index,
        name=operator.name,
        version=operator.version,
        custom=operator.custom,
        inputs=tuple(tensor.index for tensor in operator.inputs),
        outputs=tuple(tensor.index for tensor in operator.outputs),
        macs=cost.macs(operator),
    )


def _tensors(graph: Graph) -> list[TensorFact]:
    used = {tensor.index for operator in graph.operators for tensor in operator.inputs}
    return [
        replace(
            _tensor(tensor),
            subgraph=graph.index,
            role=scheme.role(tensor, tensor.index in used) if tensor.constant else "",
        )
        for tensor in graph.tensors
    ]


def _tensor(tensor: Tensor) -> TensorFact:
    return TensorFact(
        name=tensor.name,
        dtype=tensor.dtype,
        shape=tensor.shape,
        dynamic_axes=tensor.dynamic_axes,
        scales=tensor.scales,
        scale=tensor.scale,
        zero_point=tensor.zero_point,
        index=tensor.index,
        axis=tensor.axis,
        constant=tensor.constant,
        variable=tensor.variable,
        size_bytes=len(tensor.data),
    )


def _signature(file: reader.File, table: Any, subgraphs: tuple[Graph, ...]) -> Signature:
    what = f"signature {table.signature_key!r}"
    graph = pick(file, subgraphs, table.subgraph_index, f"the subgraph of {what}")
    for entry in (*table.inputs, *table.outputs):
        pick(file, graph.tensors, entry.tensor_index, f"tensor {entry.name!r} of {what}")
    return Signature(
        table.signature_key,
        graph.index,
        tuple(entry.name for entry in table.inputs),
        tuple(entry.name for entry in table.outputs),
    )


def _unique_constants(subgraphs: tuple[Graph, ...]) -> list[tuple[Tensor, str]]:
    """(constant, role), each place in the file once: subgraphs and tensors may share values."""
    unique: dict[range, tuple[Tensor, str]] = {}
    for graph in subgraphs:
        used = {tensor.index for operator in graph.operators for tensor in operator.inputs}
        for tensor in graph.tensors:
            if tensor.constant:
                found = tensor, scheme.role(tensor, tensor.index in used)
                # The use as a weight tells more than any other use of the same bytes.
                if tensor.data not in unique or unique[tensor.data][1] == "other":
                    unique[tensor.data] = found
    return list(unique.values())


def _weights(constants: list[tuple[Tensor, str]]) -> Weights:
    learnt = [tensor for tensor, role in constants if role != "other"]
    weights = [tensor for tensor, role in constants if role == "weight"]
    quantized = [tensor for tensor in weights if scheme.is_quantized(tensor)]
    groups: dict[tuple[str, str], list[Tensor]] = {}
    for tensor, role in constants:
        groups.setdefault((role, tensor.dtype), []).append(tensor)
    return Weights(
        parameters=sum(tensor.elements for tensor in learnt),
        tensors=len(weights),
        size_bytes=sum(len(tensor.data) for tensor in learnt),
        largest_elements=max((tensor.elements for tensor in weights), default=0),
        per_channel=sum(tensor.scales > 1 for tensor in quantized),
        per_tensor=sum(tensor.scales == 1 for tensor in quantized),
        constants=tuple(_group(role, dtype, group) for (role, dtype), group in sorted(groups.items())),
    )


def _sparse(subgraphs: tuple[Graph, ...], tensors: list[Tensor]) -> SparseStorage:
    direct: set[str] = set()
    unfolded: set[str] = set()
    for graph in subgraphs:
        whole: set[int] = set()
        for operator in graph.operators:  # in the order in which they run
            inputs = {tensor.index for tensor in operator.inputs}
            if operator.name == "DENSIFY" or (operator.name in scheme.UNFOLDING and whole & inputs):
                whole |= {tensor.index for tensor in operator.outputs}
            elif whole & inputs:
                unfolded.add(operator.name)
            elif any(tensor.sparsity for tensor in operator.inputs):
                direct.add(operator.name)
    bits = [TYPE_BITS.get(tensor.dtype, 0) for tensor in tensors]
    return SparseStorage(
        tensors=len(tensors),
        size_bytes=sum(len(t.data) + t.sparsity.index_bytes for t in tensors if t.sparsity),
        dense_bytes=sum((tensor.elements * wide + 7) // 8 for tensor, wide in zip(tensors, bits, strict=True)),
        direct=tuple(sorted(direct)),
        unfolded=tuple(sorted(unfolded)),
    )


def _group(role: str, dtype: str, tensors: list[Tensor]) -> Constants:
    elements, size_bytes = sum(t.elements for t in tensors), sum(len(t.data) for t in tensors)
    return Constants(role, dtype, len(tensors), elements, size_bytes)
