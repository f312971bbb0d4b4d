"""Reads the tables of a .tflite file from bytes that nobody vouches for.

The runtimes do not check a file: a truncated or bit-flipped one kills the process of tflite-runtime
2.14. Here every position is checked before it is read, so that whatever the bytes are, the
answer is a value or a ModelError.

How a flatbuffer is laid out (flatbuffers.dev, "FlatBuffer Internals"): the file starts with the
position of the root table and four letters of identification. A table starts with the distance back
to its vtable: uint16 size of the vtable, uint16 size of the table, then for each field, by slot
number, its distance from the table's start (0: absent, the default holds). Scalars lie there;
strings, vectors and tables lie elsewhere, at a distance that is stored there.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tflite_edge.records.errors import ModelError

IDENTIFIER = b"TFL3"

# What is needed of schema.fbs: field -> (slot, type[, default]). A type is a scalar, "string", one of
# SPANS, another table, or [a vector] of scalars or tables. No table leads back to itself, so that even
# a file whose offsets run in circles is only six tables deep.
TABLES: dict[str, dict[str, tuple[Any, ...]]] = {
    "Model": {
        "version": (0, "uint32"),
        "operator_codes": (1, "[OperatorCode]"),
        "subgraphs": (2, "[SubGraph]"),
        "description": (3, "string"),
        "buffers": (4, "[Buffer]"),
        "metadata": (6, "[Metadata]"),
        "signature_defs": (7, "[SignatureDef]"),
    },
    "OperatorCode": {
        "deprecated_builtin_code": (0, "int8"),
        "custom_code": (1, "string"),
        "version": (2, "int32", 1),
        "builtin_code": (3, "int32"),
    },
    "SubGraph": {
        "tensors": (0, "[Tensor]"),
        "inputs": (1, "[int32]"),
        "outputs": (2, "[int32]"),
        "operators": (3, "[Operator]"),
        "name": (4, "string"),
    },
    "Tensor": {
        "shape": (0, "[int32]"),
        "type": (1, "int8"),
        "buffer": (2, "uint32"),
        "name": (3, "string"),
        "quantization": (4, "QuantizationParameters"),
        "is_variable": (5, "bool"),
        "sparsity": (6, "SparsityParameters"),
        "shape_signature": (7, "[int32]"),
        "external_buffer": (10, "uint32"),
    },
    "QuantizationParameters": {
        "min": (0, "4 bytes"),
        "max": (1, "4 bytes"),
        "scale": (2, "[float32]"),
        "zero_point": (3, "[int64]"),
        "quantized_dimension": (6, "int32"),
    },
    "SparsityParameters": {
        "traversal_order": (0, "[int32]"),
        "block_map": (1, "[int32]"),
        "dim_metadata": (2, "[DimensionMetadata]"),
    },
    "DimensionMetadata": {
        "format": (0, "int8"),
        "dense_size": (1, "int32"),
        "array_segments_type": (2, "int8"),
        "array_segments": (3, "IndexVector"),
        "array_indices_type": (4, "int8"),
        "array_indices": (5, "IndexVector"),
    },
    # Int32Vector, Uint16Vector or Uint8Vector, each with `values` in slot 0: the field's type says which it is.
    "IndexVector": {
        "int32": (0, "4 bytes"),
        "uint16": (0, "2 bytes"),
        "uint8": (0, "bytes"),
    },
    "Operator": {
        "opcode_index": (0, "uint32"),
        "inputs": (1, "[int32]"),
        "outputs": (2, "[int32]"),
    },
    "Buffer": {
        "data": (0, "bytes"),
        "offset": (1, "uint64"),
        "size": (2, "uint64"),
    },
    "Metadata": {
        "name": (0, "string"),
        "buffer": (1, "uint32"),
    },
    "SignatureDef": {
        "inputs": (0, "[TensorMap]"),
        "outputs": (1, "[TensorMap]"),
        "signature_key": (2, "string"),
        "subgraph_index": (4, "uint32"),
    },
    "TensorMap": {
        "name": (0, "string"),
        "tensor_index": (1, "uint32"),
    },
    # conversion_metadata.fbs: a flatbuffer of its own inside a metadata buffer.
    "ConversionMetadata": {
        "environment": (0, "Environment"),
        "options": (1, "ConversionOptions"),
    },
    "Environment": {
        "tensorflow_version": (0, "string"),
        "model_type": (2, "int32"),
    },
    "ConversionOptions": {
        "model_optimization_modes": (0, "[int32]"),
    },
    # metadata_schema.fbs: likewise. The members of the unions that are looked at have fields of their own here.
    "ModelMetadata": {
        "name": (0, "string"),
        "description": (1, "string"),
        "version": (2, "string"),
        "subgraph_metadata": (3, "[SubGraphMetadata]"),
        "author": (4, "string"),
        "license": (5, "string"),
        "min_parser_version": (7, "string"),
    },
    "SubGraphMetadata": {
        "input_tensor_metadata": (2, "[TensorMetadata]"),
        "output_tensor_metadata": (3, "[TensorMetadata]"),
    },
    "TensorMetadata": {
        "name": (0, "string"),
        "description": (1, "string"),
        "content": (3, "Content"),
        "process_units": (4, "[ProcessUnit]"),
        "stats": (5, "Stats"),
        "associated_files": (6, "[AssociatedFile]"),
    },
    "Content": {
        "content_properties_type": (0, "int8"),
        "image": (1, "ImageProperties"),
    },
    "ImageProperties": {
        "color_space": (0, "int8"),
        "default_size": (1, "ImageSize"),
    },
    "ImageSize": {
        "width": (0, "uint32"),
        "height": (1, "uint32"),
    },
    "ProcessUnit": {
        "options_type": (0, "int8"),
        "normalization": (1, "NormalizationOptions"),
    },
    "NormalizationOptions": {
        "mean": (0, "[float32]"),
        "std": (1, "[float32]"),
    },
    "Stats": {
        "max": (0, "[float32]"),
        "min": (1, "[float32]"),
    },
    "AssociatedFile": {
        "name": (0, "string"),
        "type": (2, "int8"),
    },
}

SCALARS = {
    "bool": struct.Struct("<?"),
    "int8": struct.Struct("<b"),
    "uint16": struct.Struct("<H"),
    "int32": struct.Struct("<i"),
    "uint32": struct.Struct("<I"),
    "int64": struct.Struct("<q"),
    "uint64": struct.Struct("<Q"),
    "float32": struct.Struct("<f"),
}

# Vectors of numbers that are looked at where they lie: the width of an element.
SPANS = {"bytes": 1, "2 bytes": 2, "4 bytes": 4}

# One object is a table, or 64 bytes of a string or vector. The largest language models have about
# a quarter of this; a small file whose vectors all point to one place would have any number.
MAX_OBJECTS = 1_000_000
COPIED_BYTES_PER_OBJECT = 64
# A tensor and an operator cost more than their tables: each is checked, followed, and a row of the answer.
OBJECTS = {"Tensor": 10, "Operator": 10}

DAMAGED = "get or convert the file again: this one is damaged, or was made to do harm"
NOT_TFLITE = "give a .tflite file; a Keras model becomes one with `tflite-edge convert`"


class File:
    """The bytes of one flatbuffer. `name` is used in messages; `model` is its root table, a `kind` of TABLES."""

    def __init__(self, data: memoryview, name: str, kind: str = "Model") -> None:
        self.data, self.name = data, name
        self._objects_left, self.copied = MAX_OBJECTS, 0
        if kind == "Model" and (len(data) < 8 or bytes(data[4:8]) != IDENTIFIER):
            raise ModelError(
                f"{name} is not a TFLite model",
                evidence=f"{len(data)} bytes, starting {bytes(data[:8])!r}; {IDENTIFIER!r} belongs at byte 4",
                do=NOT_TFLITE,
            )
        self.model = Table(self, kind, self.scalar("uint32", 0))

    def damaged(self, evidence: str) -> ModelError:
        # Names in the file may be megabytes long.
        return ModelError(f"{self.name} is not a sound TFLite model", evidence=evidence[:500], do=DAMAGED)

    def need(self, at: int, size: int, what: str) -> None:
        """Refuse a range that is not inside the file."""
        if at < 0 or at + size > len(self.data):
            raise self.damaged(f"{what} lies at bytes {at} to {at + size} of a file of {len(self.data)}")

    def spend(self, copied_bytes: int = 0, objects: int = 1) -> None:
        """Refuse a file that decodes to more objects than any honest model has."""
        self._objects_left -= objects + copied_bytes // COPIED_BYTES_PER_OBJECT
        if self._objects_left < 0:
            raise self.damaged(f"it decodes to more than {MAX_OBJECTS:,} objects")

    def scalar(self, kind: str, at: int) -> Any:
        code = SCALARS[kind]
        self.need(at, code.size, f"a value of type {kind}")
        return code.unpack_from(self.data, at)[0]

    def vector(self, kind: str, at: int, width: int) -> range:
        """The positions of the elements of the vector at `at`; `width` is in bytes per element."""
        count = self.scalar("uint32", at)
        self.need(at + 4, count * width, f"a vector of {count:,} x {kind}")
        return range(at + 4, at + 4 + count * width, width)

    def span(self, buffer: Table) -> range:
        """Where a buffer's bytes lie. In files above 2 GB: behind the flatbuffer, at an offset above 1."""
        if buffer.offset <= 1:
            inside: range = buffer.data
            return inside
        self.need(buffer.offset, buffer.size, "a buffer outside the flatbuffer")
        return range(buffer.offset, buffer.offset + buffer.size)


class Table:
    """One table of TABLES: its fields are attributes, decoded and checked when first asked for.

    An absent string is "", an absent vector is empty, an absent table is None. SPANS decode to the
    range of file positions where they lie, because weights are counted more often than read.
    """

    def __init__(self, file: File, kind: str, at: int) -> None:
        file.spend(objects=OBJECTS.get(kind, 1))
        vtable = at - file.scalar("int32", at)
        size = file.scalar("uint16", vtable)
        file.need(vtable, size, f"the vtable of a {kind}")
        self._file, self._kind, self._at, self._vtable, self._vtable_size = file, kind, at, vtable, size

    def __getattr__(self, name: str) -> Any:
        field = TABLES[self._kind].get(name)
        if field is None:
            raise AttributeError(f"{self._kind} has no field {name!r} in TABLES")
        at = self.position_of(name)
        _, kind, *default = field
        value = _absent(kind, default) if at is None else _decode(self._file, kind, at)
        self.__dict__[name] = value  # found before __getattr__ from now on
        return value

    def position_of(self, name: str) -> int | None:
        """Where in the file the field's value lies, or the pointer to it; None where it is absent."""
        entry = 4 + 2 * TABLES[self._kind][name][0]
        distance = self._file.scalar("uint16", self._vtable + entry) if entry + 2 <= self._vtable_size else 0
        return self._at + distance if distance else None

    def span(self, name: str) -> range:
        """Where the string or vector of numbers `name` lies, its length in front; empty where it is absent."""
        kind = TABLES[self._kind][name][1]
        at = self.position_of(name)
        if at is None:
            return range(0)
        at += self._file.scalar("uint32", at)
        width = SPANS.get(kind) or (1 if kind == "string" else SCALARS[kind[1:-1]].size)
        values = self._file.vector(kind, at, width)
        return range(at, values.stop)


def _absent(kind: str, default: Sequence[Any]) -> Any:
    if kind in SCALARS:
        return default[0] if default else SCALARS[kind].unpack(bytes(SCALARS[kind].size))[0]
    if kind in SPANS:
        return range(0)
    return "" if kind == "string" else () if kind.startswith("[") else None


def _decode(file: File, kind: str, at: int) -> Any:
    if kind in SCALARS:
        return file.scalar(kind, at)
    at += file.scalar("uint32", at)
    if kind == "string":
        return _text(file, file.vector("char", at, 1))
    if kind in SPANS:
        return file.vector(kind, at, SPANS[kind])
    if not kind.startswith("["):
        return Table(file, kind, at)
    element = kind[1:-1]
    if element in SCALARS:
        return _numbers(file, element, file.vector(element, at, SCALARS[element].size))
    return tuple(Table(file, element, i + file.scalar("uint32", i)) for i in file.vector(element, at, 4))


def _text(file: File, span: range) -> str:
    file.spend(len(span))
    raw = bytes(file.data[span.start : span.stop])
    try:
        text = raw.decode()
        # What would move the cursor of a terminal is shown as an escape sequence is written.
        return text if text.isprintable() else text.encode("unicode_escape").decode()
    except UnicodeDecodeError as error:
        raise file.damaged(f"a text is not UTF-8: {raw[:40]!r}") from error


def _numbers(file: File, kind: str, span: range) -> tuple[Any, ...]:
    file.spend(span.stop - span.start)
    return struct.unpack_from(f"<{len(span)}{SCALARS[kind].format[-1]}", file.data, span.start)


def read(source: str | os.PathLike[str] | bytes) -> File:
    """Open a model: a path, or the bytes themselves. Raises ModelError when it is not one."""
    if isinstance(source, bytes):
        return File(memoryview(source), "the model")
    path = Path(source)
    try:
        # Asked before opening: opening a pipe waits for a writer.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ModelError(f"{path} is not a file", do=NOT_TFLITE)
        with path.open("rb") as stream:
            empty = os.fstat(stream.fileno()).st_size == 0  # and cannot be mapped
            content = b"" if empty else mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        raise ModelError(f"cannot read the model {path}", evidence=str(error), do="check the path") from error
    return File(memoryview(content), str(path))
