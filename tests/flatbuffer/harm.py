"""A good file with other bytes in it, and what the reader may make of those."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator

from hypothesis import strategies as st

from tflite_edge.flatbuffer import facts
from tflite_edge.records.errors import ModelError

SLOW_S = 20.0  # milliseconds as a rule; a parser that hangs is what this looks for


def survives(data: bytes) -> None:
    """Inspect: facts or a ModelError, soon."""
    start = time.monotonic()
    try:
        facts.inspect(data)
    except ModelError as error:
        assert all((error.what, error.evidence, error.do))  # noqa: PT017 - most inputs may be either
    assert time.monotonic() - start < SLOW_S


def mutations(valid: bytes) -> st.SearchStrategy[bytes]:
    """Up to six bytes or words of `valid` are others; its identifier stays."""
    place = st.tuples(st.integers(8, len(valid) - 4), st.sampled_from("BI"), st.integers(0, 2**32 - 1))
    return st.lists(place, max_size=6).map(lambda changes: _mutated(valid, changes))


def _mutated(valid: bytes, changes: list[tuple[int, str, int]]) -> bytes:
    data = bytearray(valid)
    for at, width, value in changes:
        struct.pack_into(f"<{width}", data, at, value if width == "I" else value % 256)
    return bytes(data)


def with_another_byte(valid: bytes) -> Iterator[bytes]:
    """Each byte in turn, after the root offset, is the least, the greatest, or next to a sign."""
    for at in range(4, len(valid)):
        for value in (0x00, 0x01, 0x7F, 0x80, 0xFF):
            yield valid[:at] + bytes([value]) + valid[at + 1 :]
