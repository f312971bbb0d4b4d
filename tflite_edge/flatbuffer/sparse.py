"""Constants that are stored sparsely: which of their values are in the file, and where these belong.

The axes of the tensor are walked in an order that the file gives, each is one level (schema.fbs,
SparsityParameters). A dense level has all its positions. A sparse one lists those that hold anything,
as in compressed sparse rows: below position i of the level above lie the entries of `indices` from
segments[i] up to segments[i + 1]. Axes may be cut into blocks; the insides of the blocks are the last
levels and are always dense. What is not in the file is zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tflite_edge.flatbuffer.reader import File, Table

if TYPE_CHECKING:
    import numpy as np

DENSE, CSR = 0, 1  # schema.fbs, DimensionType
INDEX_TYPES = ("", "int32", "uint16", "uint8")  # schema.fbs, SparseIndexVector


@dataclass(frozen=True)
class Index:
    """Numbers of the NumPy type `dtype` at the positions `span` of the file."""

    dtype: str
    span: range

    def __len__(self) -> int:
        return len(self.span)

    @property
    def size_bytes(self) -> int:
        return len(self.span) * self.span.step

    def read(self, file: File) -> np.ndarray[Any, Any]:
        import numpy as np

        return np.frombuffer(file.data[self.span.start : self.span.stop], np.dtype(self.dtype).newbyteorder("<"))


@dataclass(frozen=True)
class Level:
    """One level of the walk: its positions are `size`, and one position is a step of `step` along `axis`."""

    axis: int
    step: int
    size: int
    segments: Index | None = None  # None: dense
    indices: Index | None = None


@dataclass(frozen=True)
class Sparsity:
    """The levels, and how many values they lead to. index_bytes: what their segments and indices take."""

    levels: tuple[Level, ...]
    stored: int

    @property
    def index_bytes(self) -> int:
        indices = (index for level in self.levels for index in (level.segments, level.indices) if index)
        return sum(index.size_bytes for index in indices)

    def along(self, file: File, axis: int) -> np.ndarray[Any, Any]:
        """int64 [stored]: where along `axis` each stored value belongs."""
        import numpy as np

        places = np.zeros(1, np.int64)
        for level in self.levels:
            if level.segments is None or level.indices is None:
                positions = np.tile(np.arange(level.size), len(places))
                places = np.repeat(places, level.size)
            else:
                positions = level.indices.read(file)
                places = np.repeat(places, np.diff(level.segments.read(file).astype(np.int64)))
            if level.axis == axis:
                places = places + positions.astype(np.int64) * level.step
        return places


def read(file: File, table: Table, shape: tuple[int, ...], what: str) -> Sparsity:
    """The sparsity of a tensor of `shape`, every index in it looked at.

    Raises ModelError for what leads outside the tensor, or twice to one element. Nothing larger than
    a few times the file is made in memory, whatever shape the file claims.
    """
    levels = _levels(file, table, shape, what)
    stored = 1
    for number, level in enumerate(levels):
        if level.segments is None or level.indices is None:
            stored *= level.size
            continue
        if len(level.segments) != stored + 1 or not _sound(file, level.segments, level.indices, level.size):
            raise file.damaged(f"{what}: the indices of level {number} contradict each other or its {level.size}")
        stored = len(level.indices)
    return Sparsity(levels, stored)


def _levels(file: File, table: Table, shape: tuple[int, ...], what: str) -> tuple[Level, ...]:
    rank, order, blocks, found = len(shape), table.traversal_order, table.block_map, table.dim_metadata
    ordered = len(order) == len(found) == rank + len(blocks) and sorted(order[:rank]) == list(range(rank))
    # The runtimes' FormatConverter takes blocks in the order of their axes, one for an axis, inside everything else.
    inside = order[rank:] == tuple(range(rank, len(order))) and sorted(set(blocks) & set(range(rank))) == list(blocks)
    sizes = tuple(entry.dense_size for entry in found[rank:] if entry.format == DENSE)
    if not (ordered and inside and len(sizes) == len(blocks) and min((*shape, *sizes), default=0) > 0):
        raise file.damaged(f"{what}: its sparsity does not fit the shape {str(list(shape))[:80]}")
    block = dict.fromkeys(range(rank), 1) | dict(zip(blocks, sizes, strict=True))
    if any(shape[axis] % size for axis, size in block.items()):
        raise file.damaged(f"{what}: {list(shape)[:8]} cannot be cut into blocks of {sizes}")
    outer = []
    for axis, entry in zip(order[:rank], found[:rank], strict=True):
        level = _level(entry, Level(axis, block[axis], shape[axis] // block[axis]))
        if level is None:
            raise file.damaged(f"{what}: axis {axis} is neither all of {shape[axis]} positions nor a list of some")
        outer.append(level)
    return (*outer, *(Level(axis, 1, block[axis]) for axis in blocks))


def _level(entry: Table, dense: Level) -> Level | None:
    """The level that `entry` describes; None where it is neither `dense` nor has indices."""
    if entry.format == DENSE and entry.dense_size == dense.size:
        return dense
    segments = _index(entry.array_segments_type, entry.array_segments)
    indices = _index(entry.array_indices_type, entry.array_indices)
    if entry.format != CSR or segments is None or indices is None:
        return None
    return replace(dense, segments=segments, indices=indices)


def _index(number: int, table: Table | None) -> Index | None:
    if table is None or not 0 < number < len(INDEX_TYPES):
        return None
    dtype = INDEX_TYPES[number]
    return Index(dtype, getattr(table, dtype))


def _sound(file: File, segments: Index, indices: Index, size: int) -> bool:
    """Segments rise from 0 to all indices; indices are inside `size`, and rise within a segment."""
    import numpy as np

    file.spend(segments.size_bytes + indices.size_bytes)  # many tensors of a small file may share a long index
    starts, places = segments.read(file), indices.read(file)
    if starts[0] != 0 or starts[-1] != len(places) or (starts[1:] < starts[:-1]).any():
        return False
    if len(places) and not 0 <= int(places.min()) <= int(places.max()) < size:
        return False
    falls = np.flatnonzero(places[1:] <= places[:-1]) + 1
    return bool(np.isin(falls, starts).all())
