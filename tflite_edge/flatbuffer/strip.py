"""Takes out of a model what no runtime reads, and says what each part of it came to.

Each edit changes the tree of a model; its docstring is the line that the user reads.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tflite_edge.flatbuffer import appended, reader
from tflite_edge.flatbuffer.edit import Node, dump, load
from tflite_edge.records.errors import ModelError

GZIP_LEVEL = 6  # as in facts
# The metadata that TFLite Micro itself reads: where tensors lie in the arena, and how weights are packed.
MICRO_METADATA = (b"OfflineMemoryAllocation", b"COMPRESSION_METADATA")


@dataclass(frozen=True)
class Removed:
    """What one edit came to. Negative gzip_bytes: the rest packs worse without it."""

    cause: str
    bytes: int
    gzip_bytes: int


@dataclass(frozen=True)
class Stripped:
    """The sizes before and after, and what made the difference, in the order of the edits."""

    before_bytes: int
    before_gzip_bytes: int
    after_bytes: int
    after_gzip_bytes: int
    removed: tuple[Removed, ...]


def strip(source: str | os.PathLike[str] | bytes, target: str = "pi") -> tuple[bytes, Stripped]:
    """(the smaller model, what was taken out); the model's own bytes where there is nothing to take.

    target: a key of EDITS. Scales and zero points stay as they are: ai-edge-litert refuses per-channel
    zero points that were cut to one. Files appended to the model (labels, as a rule) stay behind it, but for mcu.
    Raises ModelError as `edit.load` does, and for appended files that should stay and cannot be read.
    """
    original = bytes(reader.read(source).data)
    try:
        files = appended.split(original)[1]
    except ModelError:
        if target != "mcu":
            raise
        files = {}
    tree = load(source)
    data, before = original, (len(original), _gzip(original))
    sizes, removed = before, []
    for edit in EDITS[target]:
        edit(tree)
        files = {} if edit is appendix else files
        data = appended.append(dump(tree), files)
        now = len(data), _gzip(data)
        removed.append(Removed(edit.__doc__ or "", sizes[0] - now[0], sizes[1] - now[1]))
        sizes = now
    if sizes[0] >= before[0]:
        return original, Stripped(*before, *before, ())
    return data, Stripped(*before, *sizes, tuple(one for one in removed if one.bytes or one.gzip_bytes))


def _gzip(data: bytes) -> int:
    compressor = zlib.compressobj(GZIP_LEVEL, wbits=31)
    return len(compressor.compress(data)) + len(compressor.flush())


def appendix(_: Node) -> None:
    """files appended to the model"""


def nothing(tree: Node) -> None:
    """equal vectors and tables written once"""


def names(tree: Node) -> None:
    """names of inner tensors and of subgraphs"""
    kept = _edge(tree)
    for number, graph in enumerate(tree.get("subgraphs", [])):
        graph.drop("name")
        for index, tensor in enumerate(graph.get("tensors", [])):
            if (number, index) not in kept:
                tensor.drop("name")


def all_names(tree: Node) -> None:
    """names of all tensors, the description"""
    tree.drop("description")
    for graph in tree.get("subgraphs", []):
        graph.drop("name")
        for tensor in graph.get("tensors", []):
            tensor.drop("name")


def ranges(tree: Node) -> None:
    """ranges (min, max) and settings that say nothing"""
    for tensor in _tensors(tree):
        quantization = tensor.get("quantization")
        if quantization is not None:
            quantization.drop("min", "max")
            if not quantization.get("scale") and "details" not in quantization.fields:
                tensor.drop("quantization")
        signature = tensor.get("shape_signature", b"")
        if -1 not in struct.unpack(f"<{len(signature) // 4}i", signature):
            tensor.drop("shape_signature")


def buffers(tree: Node) -> None:
    """buffers that are empty or that nothing uses"""
    old = tree.get("buffers", [])
    used = {0: 0}  # the first is the empty one by decree (schema.fbs, Model.buffers)
    for holder in (*_tensors(tree), *tree.get("metadata", [])):
        number = holder.get("buffer", 0)
        holder["buffer"] = used.setdefault(number, len(used)) if "data" in old[number].fields else 0
    listed = tree.get("metadata_buffer", b"")
    numbers = [used.get(number, 0) for number in struct.unpack(f"<{len(listed) // 4}i", listed)]
    if listed:
        tree["metadata_buffer"] = struct.pack(f"<{len(numbers)}i", *numbers)
    tree["buffers"] = [old[number] for number in used if number < len(old)]  # none at all in a file without tensors


def signatures(tree: Node) -> None:
    """signatures, and metadata that a microcontroller does not read"""
    tree.drop("signature_defs", "metadata_buffer")
    tree["metadata"] = [entry for entry in tree.get("metadata", []) if entry.get("name") in MICRO_METADATA]
    if not tree["metadata"]:
        tree.drop("metadata")
    for graph in tree.get("subgraphs", []):
        for operator in graph.get("operators", []):
            operator.drop("debug_metadata_index")


EDITS: dict[str, tuple[Callable[[Node], None], ...]] = {
    "pi": (nothing, names, ranges, buffers),
    "mcu": (nothing, appendix, all_names, ranges, signatures, buffers),
}


def _tensors(tree: Node) -> Iterable[Node]:
    return (tensor for graph in tree.get("subgraphs", []) for tensor in graph.get("tensors", []))


def _edge(tree: Node) -> set[tuple[int, int]]:
    """(subgraph, tensor) of inputs and outputs, by which users ask for them."""
    found = set()
    for number, graph in enumerate(tree.get("subgraphs", [])):
        ends = graph.get("inputs", b"") + graph.get("outputs", b"")
        found |= {(number, index) for index in struct.unpack(f"<{len(ends) // 4}i", ends)}
    for signature in tree.get("signature_defs", []):
        for entry in (*signature.get("inputs", []), *signature.get("outputs", [])):
            found.add((signature.get("subgraph_index", 0), entry.get("tensor_index", 0)))
    return found
