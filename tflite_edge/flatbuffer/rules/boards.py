"""A board's runtimes: on which of them would this file load?"""

from __future__ import annotations

from dataclasses import dataclass

from tflite_edge.flatbuffer.rules.contract import contract
from tflite_edge.flatbuffer.rules.engine import Model
from tflite_edge.flatbuffer.rules.runtimes import find
from tflite_edge.records.board import Board
from tflite_edge.records.verdict import Finding


@dataclass(frozen=True)
class Judged:
    """A runtime of the board, as pip installs it today: the latest that was probed, and what breaks there."""

    runtime: str
    version: str
    probed: str
    findings: tuple[Finding, ...]

    @property
    def title(self) -> str:
        return f"{self.runtime} {self.version}"

    @property
    def loads(self) -> bool:
        return not any(finding.fatal for finding in self.findings)


def on_board(model: Model, board: Board) -> list[Judged]:
    """The board's runtimes, the best first: one that loads the file, with the fewest findings, and the board's own
    order where they are equal."""
    judged = []
    for name in board.runtimes:
        table, _ = find(name)
        judged.append(Judged(name, table.version, table.probed, tuple(contract(model, table))))
    return sorted(judged, key=lambda one: (not one.loads, len(one.findings)))
