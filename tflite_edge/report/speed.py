"""How fast: times that were measured, or what counted instructions predict; never both in one table."""

from __future__ import annotations

from collections.abc import Sequence

from tflite_edge.records.estimate import Prediction
from tflite_edge.records.job import BenchResult, CountResult
from tflite_edge.records.manifest import Variant
from tflite_edge.report.evidence import Evidence
from tflite_edge.report.figures.bars import shares
from tflite_edge.report.figures.spread import Band, Runs, bands, histograms
from tflite_edge.report.page import Figure, Note, Part, Section, Table, Text
from tflite_edge.report.words import called, milliseconds

# The classes of targets/emulator/count.c in words, those of one kind together: a bar can show six, not ten.
KINDS = {
    "arithmetic and branches": ("alu", "branch"),
    "load and store": ("load", "store"),
    "vector load and store": ("vector_load", "vector_store"),
    "float multiply-add": ("fma",),
    "integer multiply-add, dot product": ("int_mac", "dot"),
    "other vector": ("vector",),
    "all kinds": ("total",),
}


def section(found: Evidence) -> Section:
    measured = [(model, model.bench) for model in found.made if model.bench]
    counted = [model for model in found.made if model.estimate]
    parts: list[Part] = []
    if measured:
        parts += _measured(found, measured)
    if counted:
        parts += _estimated(counted)
    if not parts:
        parts.append(Text("Nothing was timed and nothing counted."))
    return Section("speed", "Speed", parts)


def _measured(found: Evidence, told: Sequence[tuple[Variant, BenchResult]]) -> list[Part]:
    rows = [
        [called(model), *(milliseconds(s) for s in (b.median_s, b.p90_s, b.p99_s)), f"{100 * b.spread:.1f}",
         f"{len(b.samples_s):,}", milliseconds(b.init_s), milliseconds(b.first_s)]
        for model, b in told
    ]  # fmt: skip
    columns = ["file holds ", "median ms", "p90", "p99", "spread %", "runs", "start-up ms", "first run ms"]
    strong = next((n for n, (model, _) in enumerate(told) if model is found.chosen), None)
    parts: list[Part] = [Table(columns, rows, "Measured. Spread: the middle half of the runs over the median.", strong)]
    timed = [(model, bench) for model, bench in told if bench.samples_s]
    if timed:
        parts.append(_distribution(found, timed))
    parts += [Note(f"{called(model)}: the times are not steady", [b.stability]) for model, b in told if not b.stable]
    parts += _energy(told)
    return parts


def _distribution(found: Evidence, timed: Sequence[tuple[Variant, BenchResult]]) -> Figure:
    runs = [
        Runs(
            called(model),
            [1e3 * second for second in bench.samples_s],
            [(1e3 * bench.median_s, f"median {milliseconds(bench.median_s)}"),
             (1e3 * bench.p99_s, f"p99 {milliseconds(bench.p99_s)}")],
            model is found.chosen,
        )
        for model, bench in timed
    ]  # fmt: skip
    return Figure(
        "latency",
        "How the times of single runs are spread",
        "A histogram of each file's measured runs on one axis in milliseconds, with median and 99th percentile.",
        lambda width: histograms(width, runs, "ms for one inference, measured"),
        None,
        "A row is as high as its own most frequent time; ticks: median and p99. The axis ends before the slowest runs "
        "do: the label says how many lie beyond.",
    )


def _energy(told: Sequence[tuple[Variant, BenchResult]]) -> list[Part]:
    """Measured energy; an estimate is a sentence of its own."""
    rows, parts = [], list[Part]()
    for model, bench in told:
        energy = bench.energy
        if energy is None:
            continue
        if energy.joules is not None:
            ends = [f"{1e3 * joules:.3g}" for joules in (energy.low_j, energy.high_j) if joules is not None]
            figures = [f"{1e3 * energy.joules:.3g}", " to ".join(ends) or "-", f"{energy.inferences:,}"]
            rows.append([called(model), *figures, energy.source or "-"])
        elif energy.estimate_j is not None:
            said = f"{1e3 * energy.estimate_j:.3g} mJ for one inference, estimated and not measured"
            parts.append(Note(f"{called(model)}: {said}", [energy.why, energy.estimate_source]))
    columns = ["file holds ", "mJ for one inference", "95 % interval", "inferences", "from "]
    return [*([Table(columns, rows, "Energy above the idle machine, measured")] if rows else []), *parts]


def _estimated(told: Sequence[Variant]) -> list[Part]:
    parts: list[Part] = []
    counted = [(model, model.estimate.count) for model in told if model.estimate and model.estimate.count]
    if counted:
        rows = [
            [
                called(model),
                *_millions([count.total]),
                f"{100 * count.spread:.3f}",
                _runtime(count),
                count.kernels,
            ]
            for model, count in counted
        ]
        columns = ["file holds ", "million instructions", "spread %", "runtime ", "kernels "]
        parts.append(Table(columns, rows, "Counted for one inference on the emulated board, one thread"))
        parts.append(_mix(counted[0][0], {called(m): count.classes for m, count in counted}))
    predicted = [(model, model.estimate.predicted) for model in told if model.estimate and model.estimate.predicted]
    if predicted:
        parts += _predictions([(model, one) for model, one in predicted if one])
    whys = dict.fromkeys(
        f"Not predicted for {one.runtime}, {one.kernels} kernels, {one.threads} thread{'s' * (one.threads > 1)} on "
        f"{one.board}: {one.why}."
        for model in told
        for one in (model.estimate.predictions if model.estimate else [])
        if one.predicted_s is None
    )
    whys |= dict.fromkeys(model.estimate.why for model in told if model.estimate and model.estimate.why)
    parts += [Text(why) for why in whys]
    return parts


def _millions(counts: Sequence[int]) -> list[str]:
    return [f"{count / 1e6:,.3f}" for count in counts]


def _runtime(count: CountResult) -> str:
    return f"{count.runtime.name} {count.runtime.version}"


def _mix(model: Variant, classes: dict[str, dict[str, int]]) -> Figure:
    rows = {
        label: {kind: sum(own.get(name, 0) for name in names) / 1e6 for kind, names in KINDS.items()}
        for label, own in classes.items()
    }
    names = list(dict.fromkeys(name for own in classes.values() for name in own))
    table = [[name.replace("_", " "), *_millions([own.get(name, 0) for own in classes.values()])] for name in names]
    table.append(["all", *_millions([sum(own.values()) for own in classes.values()])])
    board = model.estimate.board if model.estimate else "the board"
    return Figure(
        "instructions",
        f"What {board} executes for one inference",
        "A bar for each file, made of the kinds of instructions, in millions.",
        lambda width: shares(width, rows, "M"),
        Table(["class ", *classes], table, "Millions of instructions", len(table) - 1),
        "Instructions that were counted, in millions; not all of them take equally long.",
    )


def _predictions(told: Sequence[tuple[Variant, Prediction]]) -> list[Part]:
    rows = []
    for model, one in told:
        ends = ["-" if s is None else milliseconds(s) if s else "0" for s in (one.predicted_s, one.low_s, one.high_s)]
        note = "extrapolated" if one.extrapolated else "within the fit"
        rows.append([called(model), f"{one.runtime}, {one.kernels}", str(one.threads), *ends, note])
    columns = ["file holds ", "runtime, kernels ", "threads", "predicted ms", "from", "to", " "]
    drawn = [
        Band(called(model), 1e3 * one.predicted_s, 1e3 * one.low_s, 1e3 * one.high_s,
             f"{milliseconds(one.predicted_s)} ms" + (", extrapolated" if one.extrapolated else ""), one.extrapolated)
        for model, one in told
        if one.predicted_s is not None and one.low_s is not None and one.high_s is not None
    ]  # fmt: skip
    board = told[0][1].board
    figure = Figure(
        "predicted",
        f"Predicted latency on {board}, with its band",
        "A point for each file on one axis in milliseconds, with the band in which the latency is expected.",
        lambda width: bands(width, drawn, "ms for one inference, predicted and not measured"),
        None,
        "Predicted from counted instructions, never measured. Hollow: smaller than every model of the fit, so that "
        "only an upper end is known.",
    )
    why = dict.fromkeys(f"Predicted, {one.why}; fitted to {one.source}." for _, one in told)
    return [Table(columns, rows, f"Predicted for {board}, not measured"), *([figure] if drawn else []), *map(Text, why)]
