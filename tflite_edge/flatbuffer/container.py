"""What of a file is not a constant's value: names, quantisation parameters, metadata, and the tables themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from tflite_edge.flatbuffer.graph import pick
from tflite_edge.flatbuffer.metadata import NAME as DESCRIPTION
from tflite_edge.flatbuffer.metadata import ModelMetadata, decode
from tflite_edge.flatbuffer.reader import File, Table
from tflite_edge.records.errors import ModelError

VERSION = "min_runtime_version"
CONVERSION = "CONVERSION_METADATA"

# conversion_metadata.fbs, ModelType and ModelOptimizationMode
SOURCES = ("", "SavedModel", "Keras", "concrete functions", "GraphDef", "session", "JAX", "PyTorch")
MODES = {
    1001: "float16",
    1002: "dynamic range",
    1003: "full integer",
    1004: "int16 activations",
    2000: "quantisation-aware training",
    3001: "random sparsity",
    3002: "block sparsity",
    3003: "structured sparsity",
}


@dataclass(frozen=True)
class MetadataFact:
    """One entry of the file's metadata."""

    name: str
    size_bytes: int


@dataclass(frozen=True)
class ConversionFact:
    """What the converter wrote about itself. source: what it read, "" where it did not say. modes: how it quantised."""

    converter: str
    source: str
    modes: tuple[str, ...]


@dataclass(frozen=True)
class Container:
    """Bytes that are not values of constants. Vectors that several tensors share count once.

    names_bytes: of tensors and subgraphs. min_max_bytes: ranges that only the converter needed. rest_bytes:
    tables, operators' options, signatures, the gaps of alignment.
    """

    names_bytes: int = 0
    min_max_bytes: int = 0
    scales_bytes: int = 0
    zero_points_bytes: int = 0
    metadata_bytes: int = 0
    rest_bytes: int = 0


def measure(file: File, constant_bytes: int) -> Container:
    """Where the bytes went that are not `constant_bytes` of values."""
    names: set[range] = set()
    ranges: set[range] = set()
    scales: set[range] = set()
    zeros: set[range] = set()
    for graph in file.model.subgraphs:
        names.add(graph.span("name"))
        for tensor in graph.tensors:
            names.add(tensor.span("name"))
            if tensor.quantization is not None:
                ranges |= {tensor.quantization.span("min"), tensor.quantization.span("max")}
                scales.add(tensor.quantization.span("scale"))
                zeros.add(tensor.quantization.span("zero_point"))
    parts = {
        "names_bytes": names,
        "min_max_bytes": ranges,
        "scales_bytes": scales,
        "zero_points_bytes": zeros,
    }
    found = {name: sum(len(span) for span in spans) for name, spans in parts.items()}
    found["metadata_bytes"] = sum(entry.size_bytes for entry in metadata(file))
    rest = len(file.data) - constant_bytes - sum(found.values())
    return Container(**found, rest_bytes=max(0, rest))  # overlapping values are legal


def metadata(file: File) -> tuple[MetadataFact, ...]:
    return tuple(MetadataFact(table.name, len(_value(file, table))) for table in file.model.metadata)


def version(file: File) -> str | None:
    """min_runtime_version, a fixed field of 16 bytes filled up with zeros; None where there is none."""
    return next(
        (
            bytes(_value(file, table)[:16]).rstrip(b"\0").decode("ascii", "replace")
            for table in file.model.metadata
            if table.name == VERSION
        ),
        None,
    )


def conversion(file: File) -> Optional[ConversionFact]:  # noqa: UP045 - as the record's field
    """What CONVERSION_METADATA says; None where there is none or it cannot be read, since no runtime reads it."""
    table = next((table for table in file.model.metadata if table.name == CONVERSION), None)
    if table is None:
        return None
    data = _value(file, table)
    try:
        root = File(data, CONVERSION, "ConversionMetadata").model
        environment, options = root.environment, root.options
        source = environment.model_type if environment else 0
        modes = options.model_optimization_modes if options else ()
        return ConversionFact(
            environment.tensorflow_version if environment else "",
            SOURCES[source] if 0 <= source < len(SOURCES) else "",
            tuple(MODES.get(mode, f"mode {mode}") for mode in modes),
        )
    except ModelError:
        return None


def described(file: File) -> Optional[ModelMetadata]:  # noqa: UP045 - as the record's field
    """TFLite's metadata, decoded; None where there are none and nothing is appended."""
    table = next((table for table in file.model.metadata if table.name == DESCRIPTION), None)
    return decode(None if table is None else _value(file, table), file.data)


def _value(file: File, table: Table) -> memoryview:
    buffer = pick(file, file.model.buffers, table.buffer, f"the buffer of metadata {table.name[:80]!r}")
    span = file.span(buffer)
    return file.data[span.start : span.stop]
