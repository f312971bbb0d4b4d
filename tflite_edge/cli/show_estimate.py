"""What was counted and predicted on an emulated board, as tables for people: apart from what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tflite_edge.cli.sink import Table
from tflite_edge.records.estimate import Estimate
from tflite_edge.records.manifest import Variant
from tflite_edge.report.words import milliseconds


def estimate(result: Estimate, model: str) -> Iterable[Table | str]:
    """What was counted and what is predicted, apart."""
    count = result.count
    if count:
        runtime = f"{count.runtime.name} {count.runtime.version} ({count.runtime.why}), {count.kernels} kernels"
        yield f"{model} on the emulated {result.board}, {runtime}, one thread: instructions of one inference"
        shares = [
            [name, _millions(number), f"{100 * number / count.total:.1f}"] for name, number in count.classes.items()
        ]
        yield Table(["class ", "M instr", "share %"], [*shares, ["total", _millions(count.total), "100.0"]])
        yield count.why
    if result.operators:
        rows = [
            [str(one.index) if one.index >= 0 else "", one.operator, one.tensor[-48:], _millions(one.instructions),
             f"{100 * one.share:.1f}"]
            for one in result.operators
        ]  # fmt: skip
        yield Table(["#", "operator ", "makes ", "M instr", "share %"], rows)
    yield from filter(None, (result.why,))
    predicted = [
        [one.board, one.runtime, one.kernels, str(one.threads)]
        + [milliseconds(seconds) for seconds in (one.predicted_s, one.low_s, one.high_s) if seconds is not None]
        for one in result.predictions
        if one.predicted_s is not None
    ]
    columns = ["predicted for ", "runtime ", "kernels ", "threads", "predicted ms", "from", "to"]
    if predicted:
        yield Table(columns, predicted)
    for one in result.predictions:
        if one.predicted_s is None:
            asked = f"{one.runtime}, {one.kernels} kernels, {one.threads} thread{'s' if one.threads > 1 else ''}"
            yield f"not predicted for {asked} on {one.board}: {one.why}"
        else:
            yield f"predicted, not measured, {one.why}; fitted to {one.source}"


def _millions(instructions: int) -> str:
    return f"{instructions / 1e6:.3f}"


def estimated(estimate: Estimate | None) -> list[str]:
    count, predicted = (estimate.count, estimate.predicted) if estimate else (None, None)
    seconds = predicted.predicted_s if predicted else None
    return [_millions(count.total) if count else "-", milliseconds(seconds) if seconds is not None else "-"]


def extrapolated(models: Sequence[Variant]) -> Iterable[str]:
    """Which of the predictions are below what was fitted, and how far they may be off."""
    for model in models:
        one = model.estimate.predicted if model.estimate else None
        if one and one.extrapolated and one.low_s is not None and one.high_s is not None:
            band = f"{milliseconds(one.low_s)} to {milliseconds(one.high_s)} ms"
            yield f"{model.scheme}: {band} predicted, {one.why}"


def counted_on(estimate: Estimate) -> Iterable[str]:
    """Which runtime the instructions are of, and which one the prediction."""
    if estimate.count:
        runtime = estimate.count.runtime
        where = f"{runtime.name} {runtime.version}, 1 thread, the emulated {estimate.board}"
        yield f"instructions of one inference on {where}"
    if estimate.predicted:
        one = estimate.predicted
        yield f"predicted, not measured: {one.board}, {one.runtime}, {one.kernels} kernels, {one.threads} threads"
    yield from filter(None, (estimate.why,))
