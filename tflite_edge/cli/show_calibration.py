"""What `calibrate` found, as tables for people."""

from __future__ import annotations

from collections.abc import Iterable

from tflite_edge.cli import show
from tflite_edge.cli.sink import Table
from tflite_edge.records.calibration import Calibration, Measured, Reach
from tflite_edge.records.layers import short
from tflite_edge.report.words import percent, points

MOST_TENSORS = 8


def calibration(found: Calibration) -> Iterable[Table | str]:
    facts = found.facts
    yield f"{facts.samples} representative samples ({found.source}) beside {facts.held} other training samples"
    yield from (f"note: {note}" for note in found.notes)
    worst = sorted(facts.tensors, key=lambda one: (-one.clipped, one.coverage))[:MOST_TENSORS]
    yield Table(
        ["tensor ", "operator ", "range", "of the others", "clip %", "reached %", "used %"],
        [_reach(one) for one in worst],
        title="",
        spare=("operator ",),
    )
    if len(facts.tensors) > len(worst):
        yield f"{len(facts.tensors) - len(worst)} more tensors clip less: --format json has them all"
    yield from show.findings(((one.finding.what, one.finding) for one in found.problems), "finding")
    if found.effects:
        yield f"{found.mode} by {found.quantizer} on {found.runtime}, on {found.before.samples} of the other samples:"
        rows = [["as it is", str(facts.samples), *_measured(found.before), "-", "-"]]
        rows += [
            [one.what, str(one.samples), *_measured(one.after), points(one.gain, one.gain_ci), _verdict(one.better)]
            for one in found.effects
        ]
        yield Table(["calibrated ", "samples", "top-1 %", "agree %", "error %", "gain points", "better "], rows)
        yield from (f"{one.what}: {one.why}" for one in found.effects)
    if found.problems and not found.costly:
        yield "what was found makes no difference to this file that can be measured"
    if facts.enough is not None and not found.problems:
        yield f"the first {facts.enough} samples reach nearly the same ranges: fewer would do"


def _reach(one: Reach) -> list[str]:
    return [
        short(one.name, 24),
        one.operator,
        f"{one.low:.3g} .. {one.high:.3g}",
        f"{one.held_low:.3g} .. {one.held_high:.3g}",
        f"{100 * one.clipped:.2f}",
        f"{100 * one.coverage:.0f}",
        f"{100 * one.used:.0f}",
    ]


def _measured(one: Measured) -> list[str]:
    return [percent(one.top1), percent(one.agreement), percent(one.error)]


def _verdict(better: bool) -> str:
    return "yes" if better else "no"
