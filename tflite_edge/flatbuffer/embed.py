"""Writes TFLite's metadata into a model: what goes in, what comes out, and the names of the classes (`metadata`)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tflite_edge.flatbuffer import appended
from tflite_edge.flatbuffer.edit import Node, add_buffer, dump, load
from tflite_edge.flatbuffer.metadata import AXIS_LABELS, COLOURS, FEATURE, IDENTIFIER, IMAGE, NAME, NORMALIZATION
from tflite_edge.flatbuffer.strip import buffers
from tflite_edge.records.labels import refuse_broken_lines
from tflite_edge.records.preprocess import Preprocess

PARSER_VERSION = b"1.0.0"  # the first: what is written here has been in the format from the start
LABELS = "labels.txt"
RAW_MOST = 255.0  # of a pixel


@dataclass(frozen=True)
class About:
    """What is written into a model. version: of the model; labels: in the order of its output, () without classes.

    Raises DataError for a label that a line cannot hold.
    """

    name: str
    description: str
    version: str
    labels: tuple[str, ...]
    preprocess: Preprocess

    def __post_init__(self) -> None:
        refuse_broken_lines(self.labels, self.name)


def embed(model: bytes, about: About) -> bytes:
    """`model` with its metadata, and its labels appended. Metadata that it had are replaced.

    Tensors go by the names of the signature, in the order of the subgraph, which is the order that runtimes give them
    in. Raises ModelError as `edit.load` and `appended.split` do.
    """
    flatbuffer, files = appended.split(model)
    tree = load(bytes(flatbuffer))
    had = tree.get("metadata", [])
    kept = [entry for entry in had if entry.get("name") != NAME.encode()]
    if len(kept) < len(had):
        tree["metadata"] = kept
        buffers(tree)
    number = add_buffer(tree, dump(_metadata(tree, about), IDENTIFIER))
    tree["metadata"] = [*kept, Node("Metadata", {"name": NAME.encode(), "buffer": number})]
    labels = {LABELS: "".join(f"{label}\n" for label in about.labels).encode()} if about.labels else {}
    return appended.append(dump(tree), {**files, **labels})


def _metadata(tree: Node, about: About) -> Node:
    takes, gives = names(tree)
    classes = len(gives) == 1 and bool(about.labels)
    inputs = [_input(name, about.preprocess) for name in takes]
    outputs = [_output(name, classes) for name in gives]
    graph = Node("SubGraphMetadata", {"input_tensor_metadata": inputs, "output_tensor_metadata": outputs})
    return Node(
        "ModelMetadata",
        {
            "name": about.name.encode(),
            "description": about.description.encode(),
            "version": about.version.encode(),
            "subgraph_metadata": [graph],
            "min_parser_version": PARSER_VERSION,
        },
    )


def names(tree: Node) -> tuple[list[str], list[str]]:
    """(of the inputs, of the outputs) of the first subgraph in its order, as its signature calls them if it has one."""
    graph = tree["subgraphs"][0]
    signature = next((one for one in tree.get("signature_defs", []) if not one.get("subgraph_index", 0)), Node(""))
    found = []
    for side in ("inputs", "outputs"):
        called = {entry.get("tensor_index", 0): entry.get("name", b"") for entry in signature.get(side, [])}
        places = struct.unpack(f"<{len(graph.get(side, b'')) // 4}i", graph.get(side, b""))
        tensors = [called.get(place) or graph["tensors"][place].get("name", b"") for place in places]
        found.append([name.decode() for name in tensors])
    return found[0], found[1]


def _input(name: str, record: Preprocess) -> Node:
    """How a raw value becomes what the model takes: (raw - mean) / std, as in records.preprocess."""
    normalized = {"mean": _floats(record.mean), "std": _floats(record.std)}
    unit = {"options_type": NORMALIZATION, "options": Node("NormalizationOptions", normalized)}
    fields = {"name": name.encode(), "process_units": [Node("ProcessUnit", unit)], "content": _feature()}
    if record.size is None:
        return Node("TensorMetadata", {**fields, "description": b"raw values"})
    wide = max(len(record.mean), len(record.std))
    pairs = list(zip(_spread(record.mean, wide), _spread(record.std, wide), strict=True))
    ends = [sorted(((0 - mean) / std, (RAW_MOST - mean) / std)) for mean, std in pairs]
    stats = {"max": _floats([high for _, high in ends]), "min": _floats([low for low, _ in ends])}
    size = Node("ImageSize", {"width": record.size[1], "height": record.size[0]})
    image = Node("ImageProperties", {"color_space": COLOURS.get(record.channels, 0), "default_size": size})
    fields |= {
        "description": f"an image of 0..255, made to fit by {record.fit}, {record.resample}".encode(),
        "content": Node("Content", {"content_properties_type": IMAGE, "content_properties": image}),
        "stats": Node("Stats", stats),
    }
    return Node("TensorMetadata", fields)


def _output(name: str, classes: bool) -> Node:
    fields: dict[str, Any] = {"name": name.encode(), "content": _feature()}
    if classes:
        labels = {"name": LABELS.encode(), "description": b"a class on each line", "type": AXIS_LABELS}
        fields |= {"description": b"a score for each class", "associated_files": [Node("AssociatedFile", labels)]}
    return Node("TensorMetadata", fields)


def _feature() -> Node:
    return Node("Content", {"content_properties_type": FEATURE, "content_properties": Node("FeatureProperties")})


def _spread(values: tuple[float, ...], count: int) -> tuple[float, ...]:
    return values * count if len(values) == 1 else values


def _floats(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)
