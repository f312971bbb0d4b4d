"""TFLite's metadata, read: what goes in, what comes out, and the names of the classes, inside the model itself.

A flatbuffer of its own (metadata_schema.fbs, identifier M001) in the buffer that the model calls TFLITE_METADATA, and
the files that it names appended to the model (`appended`). The Task Library, Android Studio and MediaPipe read it;
`embed` writes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Optional

from tflite_edge.flatbuffer import appended
from tflite_edge.flatbuffer.reader import File, Table
from tflite_edge.records.errors import ModelError

NAME, IDENTIFIER = "TFLITE_METADATA", b"M001"
FEATURE, IMAGE, NORMALIZATION, AXIS_LABELS = 1, 2, 1, 2  # numbers in metadata_schema.fbs
COLOURS = {3: 1, 1: 2}  # channels -> ColorSpaceType: RGB, GRAYSCALE
COLOUR_NAMES = ("", "RGB", "grayscale")
# What is shown of a stranger's text, tensors and numbers.
MOST_LETTERS, MOST_TENSORS, MOST_NUMBERS = 300, 16, 64


@dataclass(frozen=True)
class AppendedFile:
    """A file behind the flatbuffer."""

    name: str
    size_bytes: int


@dataclass(frozen=True)
class TensorMetadata:
    """An input or output. colour, size (height, width): of an image, "" and () where nothing is said.

    mean, std: value = (raw - mean) / std. low, high: the range of the values. files: with the labels of its axis.
    """

    name: str
    description: str
    colour: str
    size: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    files: tuple[str, ...]


@dataclass(frozen=True)
class ModelMetadata:
    """What the model says of itself, and what is appended. why: what of it cannot be read."""

    name: str
    description: str
    version: str
    author: str
    license: str
    inputs: tuple[TensorMetadata, ...] = ()
    outputs: tuple[TensorMetadata, ...] = ()
    files: tuple[AppendedFile, ...] = ()
    why: str = ""


def decode(data: memoryview | None, file: memoryview) -> Optional[ModelMetadata]:  # noqa: UP045 - the record's field
    """`data`: the buffer TFLITE_METADATA, None where the model has none; `file`: the whole model. None where neither
    says anything; what cannot be read is said and never raised, since no runtime reads it."""
    faults: list[str] = []
    found, files = ModelMetadata("", "", "", "", ""), {}
    if data is not None:
        try:
            found = _model(data)
        except ModelError as error:
            faults.append(f"{NAME}: {error.evidence}")
    try:
        files = appended.split(file)[1]
    except ModelError as error:
        faults.append(f"{error.what}: {error.evidence}")
    if data is None and not files and not faults:
        return None
    listed = tuple(AppendedFile(name, len(content)) for name, content in sorted(files.items()))
    return replace(found, files=listed, why="; ".join(faults)[:MOST_LETTERS])


def _model(data: memoryview) -> ModelMetadata:
    root = File(data, NAME, "ModelMetadata").model
    graphs = root.subgraph_metadata
    inputs, outputs = (graphs[0].input_tensor_metadata, graphs[0].output_tensor_metadata) if graphs else ((), ())
    return ModelMetadata(
        root.name[:MOST_LETTERS],
        root.description[:MOST_LETTERS],
        root.version[:MOST_LETTERS],
        root.author[:MOST_LETTERS],
        root.license[:MOST_LETTERS],
        tuple(_tensor(table) for table in inputs[:MOST_TENSORS]),
        tuple(_tensor(table) for table in outputs[:MOST_TENSORS]),
    )


def _tensor(table: Table) -> TensorMetadata:
    content, stats = table.content, table.stats
    image = content.image if content and content.content_properties_type == IMAGE else None
    size = image.default_size if image else None
    units = [unit.normalization for unit in table.process_units if unit.options_type == NORMALIZATION]
    normalized = units[0] if units else None
    colour = image.color_space if image else 0
    return TensorMetadata(
        table.name[:MOST_LETTERS],
        table.description[:MOST_LETTERS],
        COLOUR_NAMES[colour] if 0 <= colour < len(COLOUR_NAMES) else f"colour space {colour}",
        (size.height, size.width) if size else (),
        _numbers(normalized, "mean"),
        _numbers(normalized, "std"),
        _numbers(stats, "min"),
        _numbers(stats, "max"),
        tuple(one.name[:MOST_LETTERS] for one in table.associated_files[:MOST_TENSORS] if one.type == AXIS_LABELS),
    )


def _numbers(table: Any, name: str) -> tuple[float, ...]:
    """Finite ones, as JSON wants them; else none."""
    values = getattr(table, name)[:MOST_NUMBERS] if table else ()
    return tuple(values) if all(math.isfinite(value) for value in values) else ()
