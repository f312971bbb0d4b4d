"""The repair ladder as a table: what each rung cost and gained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tflite_edge.cli.sink import Table

if TYPE_CHECKING:
    from tflite_edge.records.repair import Ladder, Rung


def ladder(found: Ladder, scheme: str) -> Iterable[Table | str]:
    first = found.rungs[0]
    rows = [_row(rung, first) for rung in found.rungs]
    yield Table(
        ["repair ", "top-1 %", "loss points", "gain", "bytes", "x time", "floats", "error", "tried", "s"],
        rows,
        spare=["tried", "bytes", "floats"],
    )
    yield from (f"{rung.name}: {rung.settings}" for rung in found.rungs if rung.loss is not None and rung is not first)
    yield from (f"{rung.name}: {rung.why}" for rung in found.rungs if rung.why)
    yield (
        f"{scheme}: {found.accepted}, {found.why}; candidates were compared by their error on {found.held_out}, "
        f"{found.looks} files on the test samples"
    )


def _row(rung: Rung, first: Rung) -> list[str]:
    loss = "-" if rung.loss is None else f"{rung.loss:+.2f}"
    half = "" if rung.loss_ci is None else f" ±{rung.loss_ci:.2f}"
    gain = "-" if rung.loss is None or first.loss is None or rung is first else f"{first.loss - rung.loss:+.2f}"
    return [
        rung.name,
        "-" if rung.top1 is None else f"{100 * rung.top1:.2f}",
        loss + half,
        gain,
        "-" if rung.bytes is None else f"{rung.bytes:,}",
        "-" if rung.latency is None else f"{rung.latency:.2f}",
        "-" if rung.float_operators is None else str(rung.float_operators),
        "-" if rung.error is None else f"{rung.error:.3f}",
        str(rung.tried),
        f"{rung.seconds:.1f}",
    ]
