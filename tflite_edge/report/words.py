"""Figures in words, with a dash for what was not measured."""

from __future__ import annotations

from tflite_edge.records.job import ScoreResult
from tflite_edge.records.manifest import StepRecord, Variant


def milliseconds(seconds: float) -> str:
    """Milliseconds with three digits that mean something."""
    return f"{1e3 * seconds:.3f}" if seconds >= 1e-4 else f"{1e3 * seconds:.4f}"


def kib(count: int | None) -> str:
    size = None if count is None else count / 1024
    return "-" if size is None else f"{size:,.0f}" if size >= 1000 else f"{size:.1f}"


def rounded(value: float) -> str:
    """One decimal, and never `-0.0`."""
    return f"{round(value, 1) + 0.0:.1f}"


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def points(value: float | None, half: float | None) -> str:
    """`+1.50 ±0.80`: points, and half of the 95 % interval."""
    if value is None:
        return "-"
    return f"{value + 0.0:+.2f}" + ("" if half is None else f" ±{half:.2f}")


def times(part: float | None, whole: float | None) -> str:
    """`0.36 x`."""
    return f"{part / whole:.2f} ×" if part and whole else "-"


def thousands(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def quality(score: ScoreResult | None) -> tuple[float | None, str]:
    """(share of what is right, what it is called): top-1, or of anomalies the AUC, or without labels the agreement."""
    if score is None:
        return None, "top-1"
    if score.task == "anomaly":
        return score.auc, "AUC"
    if score.top1 is None and score.agreement is not None:
        return score.agreement, "agreement with the float model"
    return score.top1, "top-1"


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % interval of a share of `count` (Wilson 1927): it never leaves [0, 1], and has a width at both ends."""
    z2 = 1.96**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = 1.96 / (1 + z2 / count) * (share * (1 - share) / count + z2 / (4 * count**2)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def interval(score: ScoreResult | None) -> tuple[float, float] | None:
    """Of the quality, where it is a share of samples: an AUC is none."""
    share, name = quality(score)
    return None if share is None or score is None or name == "AUC" or not score.images else wilson(share, score.images)


def called(variant: Variant) -> str:
    """A variant in tables and figures: what its bytes hold."""
    return variant.scheme.replace("original-", "original ", 1)


def word(value: object) -> str:
    """A setting's value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " x ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def learns(model: Variant) -> str:
    """What the proof of a trainable file came to."""
    learning = model.learning
    assert learning is not None
    files = f"{model.file} beside {model.features}" if model.features else model.file
    step = "" if learning.step_s is None else f", {1 / learning.step_s:,.0f} steps of {learning.batch} samples a second"
    return (
        f"{files} learns: from a head that knows nothing, loss {learning.start.loss:.2f} -> "
        f"{learning.epochs[-1].loss:.2f} and top-1 {percent(learning.start.top1)} -> "
        f"{percent(learning.after.top1)} in {len(learning.epochs)} epochs of {learning.samples} samples{step}"
    )


STEP_COLUMNS = ("step ", "parameters", "MACs", "zeros %", "values", "Keras top-1 %")


def step_cells(step: StepRecord, arrow: str) -> list[str]:
    """What a step did to the Keras model, under STEP_COLUMNS; `arrow` stands between before and after."""
    return [
        step.name,
        _change(step.before.parameters, step.after.parameters, arrow),
        _change(step.before.macs, step.after.macs or step.before.macs, arrow),
        f"{100 * step.after.sparsity:.0f}",
        f"{step.after.half_unique:,}",
        f"{percent(step.before.top1)} {arrow} {percent(step.after.top1)}",
    ]


def _change(before: int | None, after: int | None, arrow: str) -> str:
    if before is None or after is None:
        return "-"
    return f"{before:,}" + (f" {arrow} {after:,}" if after != before else "")
