"""What came out: accuracy, size and speed of every file, beside the float model and plain int8."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tflite_edge.records.manifest import Variant
from tflite_edge.records.realised import LOCAL
from tflite_edge.report.evidence import Evidence
from tflite_edge.report.figures.scatter import Panel, Point, scatter
from tflite_edge.report.page import Figure, Items, Note, Part, Section, Table, Text, Tile
from tflite_edge.report.words import called, interval, kib, learns, milliseconds, percent, points, quality, times


def headline(found: Evidence) -> str:
    """The one that is told of, in a sentence: measured and estimated apart."""
    manifest, chosen = found.manifest, found.chosen
    if chosen is None:
        return f"Nothing was made of {manifest.source.model}."
    parts = [f"{kib(chosen.bytes)} KiB ({kib(chosen.gzip_bytes)} KiB gzipped)"]
    share, name = quality(chosen.score)
    if share is not None and chosen.score:
        parts.append(f"{percent(share)} % {name} on {chosen.score.images:,} samples{_drop(chosen)}")
    elif chosen.score and chosen.score.mae is not None:
        parts.append(f"mean absolute error {chosen.score.mae:.4g}")
    if chosen.bench:
        parts.append(f"{milliseconds(chosen.bench.median_s)} ms measured on {_where(found)}")
    elif chosen.estimate and chosen.estimate.predicted and chosen.estimate.predicted.predicted_s is not None:
        one = chosen.estimate.predicted
        assert one.predicted_s is not None
        parts.append(f"{milliseconds(one.predicted_s)} ms predicted, not measured, for {one.board}")
    return f"{manifest.source.model} in {chosen.mode}: {'; '.join(parts)}."


def _drop(variant: Variant) -> str:
    if variant.drop is None:
        return ""
    if variant.drop == 0:
        return ", the same as the float model"
    if variant.drop_ci is not None and abs(variant.drop) <= variant.drop_ci:
        return ", too few to tell it from the float model"
    side = "below" if variant.drop > 0 else "above"
    half = "" if variant.drop_ci is None else f" ±{variant.drop_ci:.2f}"
    return f", {abs(variant.drop):.2f}{half} points {side} the float model"


def _where(found: Evidence) -> str:
    on = found.manifest.recipe.target.on
    return "the machine that made it" if on == LOCAL else on


def tiles(found: Evidence) -> Iterator[Tile]:
    """The four figures that are asked for first."""
    chosen, whole, plain = found.chosen, found.float_model, found.plain_int8
    if chosen is None:
        return
    others = [(one, name) for one, name in ((whole, "float"), (plain, "plain int8")) if one and one is not chosen]

    def against(value: Callable[[Variant], float | None]) -> str:
        return ", ".join(f"{times(value(chosen), value(one))} {name}" for one, name in others if value(one))

    share, name = quality(chosen.score)
    if share is not None:
        beside = [f"{name} {percent(quality(one.score)[0])} %" for one, name in others]
        yield Tile(name, percent(share), "%", ", ".join(beside))
    yield Tile("file", kib(chosen.bytes), "KiB", against(lambda one: one.bytes))
    yield Tile("gzipped", kib(chosen.gzip_bytes), "KiB", against(lambda one: one.gzip_bytes))
    if chosen.bench:
        yield Tile("median, measured", milliseconds(chosen.bench.median_s), "ms", against(_median))
    elif chosen.estimate and chosen.estimate.predicted and chosen.estimate.predicted.predicted_s is not None:
        one = chosen.estimate.predicted
        assert one.predicted_s is not None
        band = f"{milliseconds(one.low_s or 0)} to {milliseconds(one.high_s)} ms" if one.high_s is not None else ""
        yield Tile(f"predicted for {one.board}", milliseconds(one.predicted_s), "ms", band)


def _median(variant: Variant) -> float | None:
    return variant.bench.median_s if variant.bench else None


def section(found: Evidence) -> Section:
    parts: list[Part] = []
    if found.made:
        beside = shares(found)
        parts += [table(found), *([beside] if beside else []), Text(_explained(found))]
        figure = tradeoff(found)
        parts += [figure] if figure else []
    said = [*found.manifest.realised, *(learns(model) for model in found.made if model.learning)]
    parts += [Items(said)] if said else []
    return Section("results", "Accuracy, size and speed", parts)


def table(found: Evidence) -> Table:
    """One line for each file. Only what was measured: predictions have a table of their own."""
    measured = any(model.bench for model in found.made)
    name = next((quality(model.score)[1] for model in found.made if model.score), "top-1")
    speed = ["median ms"] if measured else []
    rows = []
    for model in found.made:
        row = [called(model), percent(quality(model.score)[0]), points(model.drop, model.drop_ci)]
        row += [kib(model.bytes), kib(model.gzip_bytes)]
        if measured:
            row += [milliseconds(model.bench.median_s) if model.bench else "-"]
        rows.append([*row, model.verdict or "to compare"])
    columns = ["file holds ", f"{name} %", "points below float", "KiB", "gzip KiB", *speed, "verdict "]
    return Table(columns, rows, strong=_strong(found))


def _strong(found: Evidence) -> int | None:
    return next((n for n, model in enumerate(found.made) if model is found.chosen), None)


def shares(found: Evidence) -> Table | None:
    """Every file as shares of float and of plain int8: what the steps gained, apart from what int8 gains."""
    others = [(one, name) for one, name in ((found.float_model, "float"), (found.plain_int8, "plain int8")) if one]
    measured = any(model.bench for model in found.made)
    rows = [
        [
            called(model),
            name,
            times(model.bytes, other.bytes),
            times(model.gzip_bytes, other.gzip_bytes),
            *([times(_resident(model), _resident(other)), times(_median(other), _median(model))] if measured else []),
        ]
        for model in found.made
        for other, name in others
        if model is not other and not (model is found.float_model and name == "plain int8")
    ]
    columns = ["file holds ", "against ", "bytes", "gzip", *(["in RAM", "speed"] if measured else [])]
    return Table(columns, rows, "Beside float and plain int8") if rows else None


def _resident(variant: Variant) -> float | None:
    return variant.bench.resident_bytes if variant.bench else None


def _explained(found: Evidence) -> str:
    """What the columns mean, and where the numbers come from."""
    said = []
    if any(_resident(model) for model in found.made):
        said.append("In RAM: what one more interpreter of the file adds to a process that runs one.")
    if any(model.drop_ci is not None for model in found.made):
        said.append(
            "Points below float: top-1 of the float Keras model less that of the file, on the same samples, with half "
            "of the paired 95 % interval; a minus says the file is better."
        )
    ran = next((model.bench for model in found.made if model.bench), None)
    if ran:
        threads = f"{ran.threads} thread{'s' if ran.threads > 1 else ''}"
        said.append(f"Timed with {ran.runtime.name} {ran.runtime.version}, {threads}, on {_where(found)}.")
    return " ".join(said)


def tradeoff(found: Evidence) -> Figure | None:
    """What a byte buys: as the file lies on the disk, and as it travels."""
    told = [(model, quality(model.score)[0]) for model in found.made]
    known = [(model, share) for model, share in told if share is not None]
    if len(known) < 2:
        return None
    name = quality(known[0][0].score)[1]

    def placed(size: Callable[[Variant], int]) -> list[Point]:
        return [_point(found, model, share, size(model)) for model, share in known]

    panels = [
        Panel("as stored", "KiB", placed(lambda model: model.bytes)),
        Panel("gzipped", "KiB", placed(lambda model: model.gzip_bytes)),
    ]
    rows = [
        [called(model), kib(model.bytes), kib(model.gzip_bytes), percent(share), _ends(model)] for model, share in known
    ]
    return Figure(
        "tradeoff",
        f"What a byte buys: {name} against size",
        f"{name} of {len(known)} files against their bytes, as stored and gzipped; the table has the figures.",
        lambda width: scatter(width, panels, f"{name} %"),
        Table(["file holds ", "KiB", "gzip KiB", f"{name} %", "95 % interval"], rows),
        "Up and to the left is better. Bars are 95 % intervals; the line joins the files that no other beats on both. "
        "Red: the file this page is about; hollow: the model as it came.",
    )


def _ends(model: Variant) -> str:
    ends = interval(model.score)
    return "-" if ends is None else f"{100 * ends[0]:.2f} to {100 * ends[1]:.2f}"


def _point(found: Evidence, model: Variant, share: float, size: int) -> Point:
    ends = interval(model.score)
    kind = "chosen" if model is found.chosen else "original" if model.original else "made"
    low, high = (100 * ends[0], 100 * ends[1]) if ends else (None, None)
    return Point(size / 1024, 100 * share, called(model), kind, low, high, f"{called(model)}: {kib(size)} KiB")


def verdicts(found: Evidence) -> Section:
    """What was promised and did not hold, and why; what each file was proven with."""
    parts: list[Part] = []
    for model in found.manifest.models:
        parts += [_finding(model, finding.what, finding.evidence, finding.do) for finding in model.findings]
    if not parts:
        parts.append(Text("Every promise that the recipe made of these files held on the target's runtime."))
    parts += [part for model in found.manifest.models for part in _ladder(model)]
    gates = found.manifest.recipe.gates
    parts.append(
        Text(
            f"The gates: at most {gates.max_drop:g} points of accuracy lost, agreement with Keras on at least "
            f"{gates.min_agreement:.0%} of the samples, and a float file within {gates.max_difference:g} of Keras."
        )
    )
    rows = [
        [called(model), percent(model.score.agreement if model.score else None), model.verdict or "-", _reason(model)]
        for model in found.manifest.models
    ]
    parts.append(Table(["file holds ", "agrees with Keras %", "verdict ", "proof "], rows))
    return Section("verdicts", "Verdicts, and why", parts)


def _ladder(model: Variant) -> Iterator[Part]:
    """The rungs that were tried to repair an int8 file, where the manifest has them."""
    ladder = getattr(model, "repair", None)
    if ladder is None:
        return
    rows = [
        [
            rung.name,
            points(rung.loss, rung.loss_ci),
            kib(rung.bytes),
            "-" if rung.latency is None else f"{rung.latency:.2f} ×",
            "-" if rung.float_operators is None else str(rung.float_operators),
            str(rung.tried),
            f"{rung.seconds:,.0f}",
            "; ".join(filter(None, (str(rung.settings), rung.why))),
        ]
        for rung in ladder.rungs
    ]
    columns = ["rung ", "points below float", "KiB", "time × plain", "in float", "tried", "seconds", "settings "]
    strong = next((n for n, rung in enumerate(ladder.rungs) if rung.name == ladder.accepted), None)
    yield Table(columns, rows, f"How {called(model)} was repaired", strong)
    looks = f"; judged on the test samples {ladder.looks} times" if ladder.looks > 1 else ""
    yield Text(f"Kept: {ladder.accepted or 'none'}, {ladder.why}{looks}.")


def _finding(model: Variant, what: str, evidence: str, do: str) -> Note:
    lines: Sequence[str] = [*evidence.splitlines(), *([f"do: {do}"] if do else [])]
    return Note(f"{called(model)}: {what}", lines, "bad")


def _reason(model: Variant) -> str:
    return "; ".join(filter(None, (model.proof, model.why))) or ("not made" if not model.file else "-")
