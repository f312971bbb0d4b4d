"""A whole model as a tree that can be changed, and written again as a flatbuffer.

    tree = load("model.tflite")
    tree["metadata"].append(Node("Metadata", {"name": b"made_by", "buffer": add_buffer(tree, b"tflite-edge")}))
    data = dump(tree)

Every field of every table goes through (`fields`, the whole format), operators' options included, and one that
this version of the format does not know is refused instead of being lost. What is equal is written once and
shared: strings, vectors, and whole tables, which the format allows everywhere.
"""

from __future__ import annotations

import functools
import os
import struct
from dataclasses import dataclass, field
from typing import Any

from tflite_edge.flatbuffer import facts, fields, metadata_fields, reader
from tflite_edge.flatbuffer.reader import SCALARS, File
from tflite_edge.records.errors import ModelError

# Beside those of the reader; all that the format uses.
_SCALARS = {**SCALARS, "uint8": struct.Struct("<B"), "int16": struct.Struct("<h"), "float64": struct.Struct("<d")}
# schema.fbs, force_align: kernels read weights where they lie. Int vectors of sparse tensors want 4.
DATA_ALIGNMENT, VECTOR_ALIGNMENT = 16, 4
MOST_BYTES = 2**31 - 1  # of a flatbuffer, whose offsets are signed
NEWER = "use a newer tflite-edge, or convert the model again with the converter that this one knows"


@dataclass
class Node:
    """One table. fields: name -> a number, bytes (a string, or a vector of numbers as they lie in the file), a
    Node, or a list of Nodes or strings. Fields that are not there hold their default."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.fields[name] = value

    def get(self, name: str, default: Any = None) -> Any:
        return self.fields.get(name, default)

    def drop(self, *names: str) -> None:
        for name in names:
            self.fields.pop(name, None)


def load(source: str | os.PathLike[str] | bytes) -> Node:
    """The tree of a model, with weights that lie behind the flatbuffer (LiteRT Quantizer writes such files) inside.

    Raises ModelError where it is not sound, newer than the format known here, or above 2 GB and cannot take them.
    """
    facts.inspect(source)  # what it refuses is not sound; every index is from here on
    file = reader.read(source)
    tree = _table(file, "Model", file.scalar("uint32", 0))
    for buffer, read in zip(tree.get("buffers", []), file.model.buffers, strict=True):
        if buffer.get("offset", 0) > 1:
            if len(file.data) > MOST_BYTES:
                raise _outside(file, "its weights")
            buffer["data"] = _bytes(file, file.span(read))
            buffer.drop("offset", "size")
    for graph in tree.get("subgraphs", []):
        if any(operator.get("large_custom_options_offset", 0) > 1 for operator in graph.get("operators", [])):
            raise _outside(file, "options of its operators")
    return tree


def dump(tree: Node, identifier: bytes = reader.IDENTIFIER) -> bytes:
    """The bytes of a model, or of another flatbuffer with these four letters."""
    import flatbuffers

    writer = _Writer(flatbuffers.Builder(1 << 16))
    root = writer.table(tree)
    writer.builder.Finish(root, identifier)
    return bytes(writer.builder.Output())


def add_buffer(tree: Node, data: bytes) -> int:
    """The number of a new buffer that holds `data`."""
    tree["buffers"].append(Node("Buffer", {"data": data}))
    return len(tree["buffers"]) - 1


@functools.cache
def layout(kind: str) -> tuple[tuple[str, str], ...]:
    """(name, type) of each slot of a table; ("", "") for one that is no more in use."""
    return tuple((name, what) for name, _, what in (word.partition("=") for word in _tables()[kind]))


@functools.cache
def _tables() -> dict[str, list[str]]:
    return _lines(fields.TABLES) | _lines(metadata_fields.TABLES)


@functools.cache
def _members(union: str) -> tuple[str, ...]:
    return tuple(_lines(fields.UNIONS)[union])


@functools.cache
def _lines(text: str) -> dict[str, list[str]]:
    whole = text.strip().replace("\n    ", " ")
    return {name: words.split() for name, _, words in (line.partition(":") for line in whole.splitlines())}


def _outside(file: File, what: str) -> ModelError:
    return ModelError(
        f"{file.name} cannot be rewritten",
        evidence=f"{what} lie behind the flatbuffer, as in files above 2 GB",
        do="it stays as it is: such a file has no container to speak of",
    )


def _newer(file: File, what: str) -> ModelError:
    return ModelError(f"{file.name} is newer than what can be rewritten without loss", evidence=what, do=NEWER)


def _table(file: File, kind: str, at: int) -> Node:
    file.spend()
    vtable = at - file.scalar("int32", at)
    size = file.scalar("uint16", vtable)
    file.need(vtable, size, f"the vtable of a {kind}")
    known, node = layout(kind), Node(kind)
    for slot in range((size - 4) // 2):
        distance = file.scalar("uint16", vtable + 4 + 2 * slot)
        if distance:
            name, what = known[slot] if slot < len(known) else ("", "")
            if not name or name == "-":
                raise _newer(file, f"field {slot} of a {kind}")
            if what.startswith("<"):
                what = _member(file, node, known[slot - 1][0], what[1:-1])
            node[name] = _value(file, what, at + distance)
    return node


def _member(file: File, node: Node, name: str, union: str) -> str:
    number, members = node.get(name, 0), _members(union)
    if not 0 < number < len(members):
        raise _newer(file, f"{node.kind} has {union} number {number}")
    return str(members[number])


def _value(file: File, what: str, at: int) -> Any:
    if what in _SCALARS:
        code = _SCALARS[what]
        file.need(at, code.size, f"a value of type {what}")
        return code.unpack_from(file.data, at)[0]
    at += file.scalar("uint32", at)
    if what == "string":
        return _bytes(file, file.vector("char", at, 1))
    if not what.startswith("["):
        return _table(file, what, at)
    element = what[1:-1]
    if element in _SCALARS:
        return _bytes(file, file.vector(element, at, _SCALARS[element].size))
    places = [place + file.scalar("uint32", place) for place in file.vector(element, at, 4)]
    if element == "string":
        return [_bytes(file, file.vector("char", place, 1)) for place in places]
    return [_table(file, element, place) for place in places]


def _bytes(file: File, span: range) -> bytes:
    file.spend()  # and not the bytes: each of those of an honest file is read once
    file.copied += span.stop - span.start
    if file.copied > 2 * len(file.data) + (1 << 20):
        raise file.damaged("it decodes to more than twice its size")
    return bytes(file.data[span.start : span.stop])


class _Writer:
    """Writes from the leaves up, since a flatbuffer is built from its end. done: content -> where it lies."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.done: dict[Any, int] = {}

    def table(self, node: Node) -> int:
        slots = {name: (slot, what) for slot, (name, what) in enumerate(layout(node.kind))}
        ready = []
        for name, value in node.fields.items():
            slot, what = slots[name]
            scalar = what in _SCALARS
            ready.append((slot, what if scalar else "", value if scalar else self._child(node.kind, what, value)))
        # What is wide goes first, so that nothing in between needs gaps.
        ready.sort(key=lambda entry: (-_SCALARS[entry[1] or "uint32"].size, entry[0]))
        # NaN is not equal to itself and would only be written twice.
        return self._once((node.kind, *ready), lambda: self._fill(node.kind, ready))

    def _fill(self, kind: str, ready: list[tuple[int, str, Any]]) -> int:
        builder = self.builder
        builder.StartObject(len(layout(kind)))
        for slot, what, value in ready:
            if what:
                getattr(builder, f"Prepend{what.capitalize()}")(value)
            else:
                builder.PrependUOffsetTRelative(value)
            builder.Slot(slot)
        return int(builder.EndObject())

    def _child(self, kind: str, what: str, value: Any) -> int:
        if isinstance(value, Node):
            return self.table(value)
        if isinstance(value, list):
            places = [self.table(one) if isinstance(one, Node) else self._string(one) for one in value]
            return self._once(("[]", *places), lambda: self._offsets(places))
        if what == "string":
            return self._string(value)
        width = _SCALARS[what[1:-1]].size
        align = DATA_ALIGNMENT if kind == "Buffer" else max(VECTOR_ALIGNMENT, width)
        return self._once((align, width, value), lambda: self._numbers(value, width, align))

    def _once(self, content: Any, make: Any) -> int:
        place = self.done.get(content)
        if place is None:
            place = self.done[content] = make()
        return place

    def _string(self, value: bytes) -> int:
        return self._once(("string", value), lambda: int(self.builder.CreateString(value)))

    def _offsets(self, places: list[int]) -> int:
        self.builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            self.builder.PrependUOffsetTRelative(place)
        return int(self.builder.EndVector())

    def _numbers(self, value: bytes, width: int, align: int) -> int:
        builder = self.builder
        builder.StartVector(width, len(value) // width, align)
        builder.head -= len(value)
        builder.Bytes[builder.head : builder.head + len(value)] = value
        return int(builder.EndVector())
