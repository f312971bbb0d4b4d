"""Decisions on finished trials: which are worth more training, which are the front, which one is recommended."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from tflite_edge.records.search import COMPLETE, FAILED, Budget, Trial

Values = tuple[float, ...]
ALIKE = 1.05  # sizes and latencies whose ratio is no more are the same for all practical purposes
SAME_POINTS = 0.1
POINTS = 10.0  # of accuracy below the limit weigh as much as a size or latency that breaks its own by all of it
# Points of accuracy that longer fine-tuning is thought to gain until the study has seen it KNOWN times, and at least.
GAIN, LEAST_GAIN, KNOWN = 2.0, 0.5, 3


def values_of(trial: Trial, budget: Budget) -> Values | None:
    """What the trial is to be small in, in the order of `budget.objectives`; None where one is unknown."""
    found = [getattr(trial, name) for name in budget.objectives]
    return None if None in found else tuple(map(float, found))


def dominates(a: Values, b: Values) -> bool:
    """Whether a is nowhere worse and somewhere better."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def front(points: Sequence[Values]) -> list[int]:
    """Indices of the points that no other one dominates; of equal ones the first."""
    return [
        i
        for i, a in enumerate(points)
        if not any(dominates(b, a) or (b == a and j < i) for j, b in enumerate(points) if j != i)
    ]


def marked(trials: Iterable[Trial], budget: Budget) -> list[Trial]:
    """The trials with `feasible` and `front` as they are now. Where none is feasible the front is of all."""
    judged = [
        replace(trial, feasible=trial.state == COMPLETE and not budget.broken(trial), front=False) for trial in trials
    ]
    known = {trial.number: values for trial in judged if (values := values_of(trial, budget)) is not None}
    within = [trial for trial in judged if trial.feasible and trial.number in known]
    candidates = within or [trial for trial in judged if trial.state != FAILED and trial.number in known]
    on_front = {candidates[i].number for i in front([known[trial.number] for trial in candidates])}
    return [replace(trial, front=trial.number in on_front) for trial in judged]


def gain_of(gained: Sequence[float]) -> float:
    """Points that longer fine-tuning may gain: the most that it did in this study."""
    return max([*gained, LEAST_GAIN if len(gained) >= KNOWN else GAIN])


def promising(short: Trial, others: Sequence[Trial], budget: Budget, gained: Sequence[float]) -> tuple[bool, str]:
    """(whether a trial after its short fine-tuning is worth the long one, why).

    Successive halving for several objectives (after Jamieson and Talwalkar 2016, arXiv:1502.07943; Optuna's pruners
    know one objective only). Longer training changes neither size nor speed: one that breaks those budgets is stopped.
    Accuracy may rise by as much as it ever did in this study: one that would be dominated even then is stopped, too.
    """
    settled = [limit for limit in budget.broken(short) if not limit.startswith("drop")]
    if settled:
        return False, f"{settled[0]}, and longer training changes that little"
    values = values_of(short, budget)
    if values is None:
        return False, "what it is to be judged by is unknown, and longer training tells no more"
    gain = gain_of(gained)
    best = (values[0] - gain, *values[1:])
    if budget.max_drop is not None and best[0] > budget.max_drop:
        return False, f"{values[0]:.2f} points below the float model; longer training gained {gain:.2f} at most"
    for other in others:
        theirs = values_of(other, budget) if other.state == COMPLETE else None
        if theirs is not None and dominates(theirs, best):
            return False, f"trial {other.number} is better in all, even if longer training gained {gain:.2f} points"
    return True, "may still be on the front"


def too_large(trials: Iterable[Trial], budget: Budget) -> Callable[[dict[str, Any]], bool]:
    """Whether a point is known to break the budget before it is made: another of its shape, which differs only in how
    it was trained, has too many bytes or takes too long. Training changes these by less than ALIKE."""
    limits = replace(
        budget,
        max_bytes=budget.max_bytes and int(ALIKE * budget.max_bytes),
        max_latency_s=budget.max_latency_s and ALIKE * budget.max_latency_s,
        max_drop=None,
    )
    known = {
        _shape(trial.point)
        for trial in trials
        if trial.point and trial.bytes is not None and (trial.latency_s is not None or not budget.latency_on)
        if limits.broken(trial)
    }
    return lambda point: _shape(point) in known


def _shape(point: dict[str, Any]) -> str:
    parts = {name: value for name, value in point.items() if name != "distill"}
    return json.dumps(parts | {"scheme": point["scheme"].partition("+")[0]}, sort_keys=True)


def excess(trial: Trial, budget: Budget) -> float:
    """How far the trial is from the budget: 0 within; else the sum of what is too much, relative; drop in points."""
    size = trial.size(budget.compressed)
    pairs = ((size, budget.max_bytes), (trial.latency_s, budget.max_latency_s))
    over = sum(max(0.0, value / limit - 1) for value, limit in pairs if value is not None and limit is not None)
    unknown = sum(value is None and limit is not None for value, limit in pairs)
    drop = 0.0
    if budget.max_drop is not None:
        drop = max(0.0, trial.drop - budget.max_drop) if trial.drop is not None else 100.0
    return over + 100.0 * unknown + drop / POINTS


def choose(trials: Sequence[Trial], budget: Budget) -> tuple[Trial | None, str]:
    """(the trial to recommend, why): of those that keep the budget, the best in what the budget leaves open,
    where a difference too small to care for does not decide."""
    within = [trial for trial in trials if trial.feasible and trial.front]
    if not within:
        return None, _why_none(trials, budget)
    drop, size = (lambda trial: trial.drop or 0.0), (lambda trial: float(trial.size(budget.compressed) or 0))
    fast = lambda trial: trial.latency_s or 0.0  # noqa: E731
    if budget.max_drop is None:
        order: tuple[Callable[[Trial], float], ...] = (drop, size, fast)
        word = "the most accurate"
    elif budget.max_bytes is None:
        order, word = (size, drop, fast), "the smallest"
    elif budget.latency_on and budget.max_latency_s is None:
        order, word = (fast, drop, size), "the fastest"
    else:
        order, word = (drop, size, fast), "the most accurate"
    first, *rest = order
    least = min(map(first, within))
    allowed = least + SAME_POINTS if first is drop else ALIKE * least
    near = [trial for trial in within if first(trial) <= allowed]
    best = min(near, key=lambda trial: (*(key(trial) for key in rest), first(trial)))
    keeps = "that keep the budget" if _limits(budget) else "on the front"
    why = f"{word} of {len(within)} on the front {keeps}" if _limits(budget) else f"{word} {keeps}"
    if len(within) == 1 and _limits(budget):
        others = sum(trial.feasible for trial in trials) - 1
        alone, several = "the other that keeps the budget", f"the {others} others that keep the budget"
        best_of = f"at least as good in everything as {alone if others == 1 else several}"
        why = best_of if others else "the only one that keeps the budget"
    if len(near) > 1:
        margin = f"{SAME_POINTS:g} points" if first is drop else f"{ALIKE - 1:.0%}"
        why += f"; of {len(near)} within {margin} the {'smallest' if first is drop else 'most accurate'}"
    return best, why


def _limits(budget: Budget) -> list[float]:
    return [limit for limit in (budget.max_bytes, budget.max_latency_s, budget.max_drop) if limit is not None]


def nearest(trials: Sequence[Trial], budget: Budget) -> Trial | None:
    """The trial that is least far from the budget; None where nothing was made."""
    made = [trial for trial in trials if trial.state != FAILED and trial.bytes is not None]
    return min(made, key=lambda trial: (excess(trial, budget), trial.drop or 0.0), default=None)


def _why_none(trials: Sequence[Trial], budget: Budget) -> str:
    close = nearest(trials, budget)
    if close is None:
        return "no trial came to an end"
    return f"no trial keeps the budget; trial {close.number} comes nearest: {', '.join(budget.broken(close))}"


def hypervolume(points: Iterable[Values], reference: Values) -> float:
    """The volume between the points and the reference, which is worse than all that counts. Exact, by slicing.

    For fronts of tens of points; the last axis is cut into slabs, each as thick as it is to the next point.
    """
    inside = sorted({p for p in points if all(x < r for x, r in zip(p, reference, strict=True))}, key=lambda p: p[-1])
    if not inside:
        return 0.0
    if len(reference) == 1:
        return reference[0] - inside[0][0]
    edges = [*(p[-1] for p in inside), reference[-1]]
    return sum(
        (high - low) * hypervolume([p[:-1] for p in inside[: k + 1]], reference[:-1])
        for k, (low, high) in enumerate(itertools.pairwise(edges))
        if high > low
    )
