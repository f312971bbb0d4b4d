"""How a model is cut short after its k-th operator: a few words of the file are others.

A cut is small and a model is not, so cuts travel to the board and are made there, one at a time.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import List

_WORD = struct.Struct("<I")


@dataclass(frozen=True)
class Word:
    """The unsigned little-endian 32-bit number `value` at byte `at`."""

    at: int
    value: int


@dataclass(frozen=True)
class Cut:
    """The first `operators` operators of a model's first subgraph, as a model of its own.

    last: name of the last of them, "" where there is none. outputs: the tensors that the short model answers,
    those of its last operator first. words: what is overwritten. tail: words that come after the file's end,
    which is first brought to a multiple of four bytes.
    """

    operators: int
    last: str
    outputs: List[int]
    words: List[Word]
    tail: List[int]


def shortened(model: bytes, cut: Cut) -> bytes:
    """The bytes of the short model. Raises ValueError where `model` is not the file that the cut was made for."""
    made = bytearray(model)
    for word in cut.words:
        if word.at + _WORD.size > len(model):
            raise ValueError(f"the cut is of another model: this one ends at byte {len(model)}")
        _WORD.pack_into(made, word.at, word.value)
    made.extend(bytes(-len(made) % _WORD.size))
    for value in cut.tail:
        made.extend(_WORD.pack(value))
    return bytes(made)
