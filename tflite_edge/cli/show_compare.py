"""What `compare` found, as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tflite_edge.cli import show
from tflite_edge.cli.sink import Table
from tflite_edge.records.layers import LayerError, short
from tflite_edge.records.parity import EXPECTED, FAMILIES, SAME, Comparison, Difference, Run, proof
from tflite_edge.records.verdict import drop_of
from tflite_edge.report.words import percent, points, rounded

if TYPE_CHECKING:
    from tflite_edge.comparison import Parity
    from tflite_edge.records.layers import Layers


MOST_FINDINGS = 8  # of a broken model's hundred, the worst


def parity(found: Parity, model: str) -> Iterable[Table | str]:
    yield f"{model} ({found.scheme}), {found.samples} samples: {found.inputs}"
    yield from _versions(found.runs)
    within = {c.one: c.difference for c in found.comparisons if c.same_family}
    close = "1 step" if found.rule.steps else f"{found.rule.within:g}"
    yield Table(
        ["target ", "runtime ", "kernels ", "same %", "close %", "largest", "argmax %", "proof "],
        [_run(run, within.get(run.name), found.comparisons) for run in found.runs],
        title=f"within a family of kernels, against its oracle (close: within {close})",
        spare=("close %",),
    )
    across = [c for c in found.comparisons if not c.same_family]
    families = {run.name: run.family for run in found.runs}
    if across:
        yield Table(
            ["families ", "same %", "close %", "largest", "argmax %", "top-1 points", "verdict "],
            [[f"{families[c.one]} - {families[c.other]}", *_cells(c.difference), *_gap(c)] for c in across],
            title="between families",
        )
    heads = [run for run in found.runs if run.score and _stands_out(run, found.comparisons)]
    if any(run.score and run.score.max_difference is not None for run in heads):
        yield Table(
            ["runtime ", "target ", "family ", "top-1 %", "drop points", "agree %", "largest"],
            [_against_float(run) for run in heads],
            title="against the float Keras model",
        )
    seen = [family for family in FAMILIES if family in families.values()]
    yield "; ".join(f"{family}: {FAMILIES[family]}" for family in seen)
    yield from dict.fromkeys(f"expected: {c.why}" for c in across if c.verdict == EXPECTED)
    yield from (f"{run.name} is not there: {_first(run.why)}" for run in found.runs if run.absent)
    yield from (f"note: {note}" for note in found.notes)
    yield from show.findings(((finding.what, finding) for finding in found.findings), "fault")


def _versions(runs: Sequence[Run]) -> Iterable[str]:
    """Which version of each runtime ran where; one line where it is the same everywhere."""
    versions: dict[str, list[str]] = {}
    for run in runs:
        if run.score:
            versions.setdefault(f"{run.runtime} {run.score.runtime.version}", []).append(run.target)
    targets = {run.target for run in runs if run.score}
    yield ", ".join(
        title + ("" if set(on) == targets else f" ({', '.join(dict.fromkeys(on))})") for title, on in versions.items()
    )


def _run(run: Run, difference: Difference | None, comparisons: list[Comparison]) -> list[str]:
    kernels = f"{run.family} {run.kernels}".strip()
    cells = ["-"] * 4 if difference is None else _cells(difference)
    return [run.target, run.runtime, kernels, *cells, proof(run, comparisons)]


def _cells(found: Difference) -> list[str]:
    """same %, close %, largest, argmax %."""
    steps = found.most_steps
    return [
        percent(found.identical / found.samples),
        percent(found.close / found.samples),
        f"{found.most:.2g}" if steps is None else f"{steps} step{'s' * (steps != 1)}",
        percent(None if found.same_argmax is None else found.same_argmax / found.samples),
    ]


def _gap(found: Comparison) -> list[str]:
    return [points(None if found.drop is None else -found.drop, found.drop_ci), found.verdict]


def _stands_out(run: Run, comparisons: list[Comparison]) -> bool:
    """Whether its answers are not told by its oracle's already."""
    return proof(run, comparisons) != SAME


def _against_float(run: Run) -> list[str]:
    assert run.score is not None
    kernels = "" if run.kernels == "default" else f" ({run.kernels})"
    largest = run.score.max_difference
    return [
        run.runtime + kernels,
        run.target,
        run.family,
        percent(run.score.top1),
        points(*drop_of(run.score)),
        percent(run.score.agreement),
        "-" if largest is None else f"{largest:.2g}",
    ]


def _first(text: str) -> str:
    return text.splitlines()[0] if text else ""


def layers(found: Layers, models: Sequence[str], top: int, figure: Path | None) -> Iterable[Table | str]:
    yield f"{models[1]} ({found.scheme}) against {models[0]}"
    agreement = "" if found.agreement is None else f"; both answer the same class on {found.agreement:.1%}"
    yield f"{found.samples} samples ({found.inputs}), {found.runtime}, {found.kernels} kernels{agreement}"
    yield (
        "ranked by the noise that each layer adds to that of its inputs; max: largest difference in quantised steps; "
        "clip: float values beyond the range; used: steps that are ever taken"
    )
    rows = [_layer(found.layers[number]) for number in found.ranked[:top]]
    yield Table(
        ["#", "operator ", "layer ", "SQNR dB", "adds %", "cosine", "max", "clip %", "used"],
        rows,
        spare=("clip %", "used", "adds %"),
    )
    if len(found.layers) > top:
        yield f"{len(found.layers) - top} more layers: --top {len(found.layers)}"
    yield from _unmatched(found)
    yield from (f"note: {note}" for note in found.notes)
    yield from show.findings(((finding.what, finding) for finding in found.findings[:MOST_FINDINGS]), "finding")
    if len(found.findings) > MOST_FINDINGS:
        yield f"{len(found.findings) - MOST_FINDINGS} more findings: --format json has them all"
    if figure:
        yield f"figure: {figure}"


def _layer(layer: LayerError) -> list[str]:
    used = "-" if layer.used_steps is None else f"{layer.used_steps}/{layer.all_steps}"
    return [
        str(layer.number),
        layer.operator,
        short(layer.name, 20),
        "-" if layer.sqnr_db is None else rounded(layer.sqnr_db),
        f"{100 * layer.added:.2f}",
        "-" if layer.cosine is None else f"{layer.cosine:.4f}",
        "-" if layer.most_steps is None else f"{layer.most_steps:.1f}",
        f"{100 * layer.clipped:.2f}",
        used,
    ]


def _unmatched(found: Layers, most: int = 4) -> Iterable[str]:
    positions = [layer for layer in found.layers if layer.how == "position" and layer.operator != "input"]
    if positions:
        yield f"{len(positions)} of {len(found.layers) - 1} layers were matched by operator, shape and place, not name"
    for which, names in (("float", found.unmatched_float), ("quantised", found.unmatched_quantized)):
        if names:
            more = f" and {len(names) - most} more" if len(names) > most else ""
            shown = ", ".join(short(name) for name in names[:most])
            yield f"{len(names)} results of the {which} file have no twin: {shown}{more}"
