"""The names of classes, as labels.txt keeps them: one a line, in the order of the model's outputs."""

from __future__ import annotations

from typing import Iterable

from tflite_edge.records.errors import DataError


def refuse_broken_lines(labels: Iterable[str], where: str) -> None:
    """Raise DataError for a name that is no line of a text: every name behind it would be another class's."""
    for label in labels:
        if "".join(label.splitlines()) != label or not _is_text(label):
            raise DataError(
                f"the class {label!r} of {where} has no name that a line can hold",
                evidence="labels.txt keeps one name a line, in UTF-8",
                do="rename it",
            )


def _is_text(label: str) -> bool:
    try:
        label.encode()
    except UnicodeEncodeError:  # bytes of a file name that are no UTF-8
        return False
    return True
