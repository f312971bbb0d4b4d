"""Texts that a bundle brings, with the words of its model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def filled(name: str, words: Mapping[str, str]) -> str:
    """The text of the file `name` beside this one, with each word of `words` for its @WORD@."""
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text
