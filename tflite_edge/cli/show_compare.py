"""What `compare` found, as tables for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tflite_edge.cli import show
from tflite_edge.cli.sink import Table
from tflite_edge.records.parity import Comparison, Run, proof
from tflite_edge.records.verdict import drop_of

if TYPE_CHECKING:
    from tflite_edge.comparison import Parity


def parity(found: Parity, model: str) -> Iterable[Table | str]:
    yield f"{model} ({found.scheme}) on {found.samples} samples: {found.inputs}"
    yield Table(
        ["target ", "runtime ", "kernels ", "family ", "top-1 %", "drop points", "agree %", "proof "],
        [_run(run, found.comparisons) for run in found.runs],
        title="runs",
        spare=("agree %",),
    )
    if found.comparisons:
        yield Table(
            ["", "family ", "same %", "close %", "largest", "argmax %", "top-1 points", "verdict "],
            [[str(i), *_comparison(c, found.runs)] for i, c in enumerate(found.comparisons, 1)],
            title=f"differences (close: within {'1 step' if found.rule.steps else f'{found.rule.within:g}'})",
        )
        yield from (f"{i}: {c.one}, against {c.other}: {c.why}" for i, c in enumerate(found.comparisons, 1))
    yield from (f"{run.name} is not there: {_first(run.why)}" for run in found.runs if run.absent)
    yield from (f"note: {note}" for note in found.notes)
    yield from show.findings(((finding.what, finding) for finding in found.findings), "fault")


def _run(run: Run, comparisons: list[Comparison]) -> list[str]:
    if run.score is None:
        return [run.target, run.runtime, run.kernels, "-", "-", "-", "-", proof(run, comparisons)]
    score, (drop, half) = run.score, drop_of(run.score)
    return [
        run.target,
        f"{run.runtime} {score.runtime.version}",
        run.kernels,
        run.family,
        show.percent(score.top1),
        points(drop, half),
        show.percent(score.agreement),
        proof(run, comparisons),
    ]


def _comparison(found: Comparison, runs: list[Run]) -> list[str]:
    families = {run.name: run.family for run in runs}
    difference = found.difference
    count = difference.samples
    argmax = difference.same_argmax
    largest = (
        f"{difference.most:.2g}"
        if difference.most_steps is None
        else f"{difference.most_steps} step{'s' * (difference.most_steps != 1)}"
    )
    return [
        families[found.one] if found.same_family else f"{families[found.one]} - {families[found.other]}",
        show.percent(difference.identical / count),
        show.percent(difference.close / count),
        largest,
        show.percent(None if argmax is None else argmax / count),
        points(None if found.drop is None else -found.drop, found.drop_ci),
        found.verdict,
    ]


def points(value: float | None, half: float | None) -> str:
    """`+1.50 ±0.80`: points, and half of the 95 % interval."""
    if value is None:
        return "-"
    return f"{value + 0.0:+.2f}" + ("" if half is None else f" ±{half:.2f}")


def _first(text: str) -> str:
    return text.splitlines()[0] if text else ""
