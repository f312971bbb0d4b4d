"""A trial in few words."""

from __future__ import annotations

from tflite_edge.records.recipe import ModelSource
from tflite_edge.records.search import COMPLETE, FAILED, Budget, Trial


def recipe_words(trial: Trial, full: ModelSource) -> str:
    """What makes the trial, in few words: only what differs from `full`, the study's own model."""
    if not trial.point:
        return "the float model" if trial.origin == "reference" else "the recipe's own steps"
    point, words = trial.point, []
    if "alpha" in point and point["alpha"] != full.alpha:
        words.append(f"alpha {point['alpha']:g}")
    if "input" in point and list(point["input"]) != list(full.input or ()):
        words.append("x".join(map(str, point["input"][:2])))
    if point.get("channels"):
        words.append(f"channels -{point['channels']:.0%}")
    if point.get("distill"):
        words.append("taught")
    if point.get("prune"):
        words.append(f"prune {point['prune']:.0%}")
    if point.get("cluster"):
        words.append(f"cluster {point['cluster']}")
    if point.get("threads", 1) != 1:
        words.append(f"{point['threads']} threads")
    return ", ".join([*words, str(point["scheme"])])


def trial_words(trial: Trial, full: ModelSource, budget: Budget) -> str:
    """A line for a trial that has ended: number, recipe, size, accuracy, verdict, seconds."""
    words = [f"{trial.number}: {recipe_words(trial, full)}"]
    if (size := trial.size(budget.compressed)) is not None:
        words.append(f"{size / 1024:,.1f} KiB{' gzipped' if budget.compressed else ''}")
    if trial.top1 is not None and trial.top1 >= 0:
        words.append(f"top-1 {100 * trial.top1:.2f} %")
    return ", ".join([*words, _verdict(trial, budget), f"{trial.seconds:.0f} s"])


def _verdict(trial: Trial, budget: Budget) -> str:
    if trial.state == FAILED:
        return f"failed: {next(iter(trial.why.splitlines()), 'for no known reason')}"
    if trial.origin == "reference":
        return "the reference"
    if trial.state != COMPLETE:
        return f"stopped early: {trial.why}"
    broken = budget.broken(trial)
    return "; ".join(broken) if broken else "within the budget"
