"""Removes whole filters and neurons: the model gets smaller layers, not zeros."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tflite_edge.records.errors import ModelError, RecipeError
from tflite_edge.records.step import Channels
from tflite_edge.tf.optimize.choose import matches, refuse_untrainable
from tflite_edge.tf.optimize.cost import COSTS
from tflite_edge.tf.optimize.groups import Graph, Group, find
from tflite_edge.tf.optimize.rebuild import rebuild, same_config, same_weights

Tune = Callable[..., None]
Sizes = dict[tuple[str, ...], int]  # channels of each group, by its sources

# XNNPACK's matrix kernels make 8 or 16 channels at a time, so what is left of a group is a multiple of 8: eight 1x1
# convolutions of 33 channels took 1.9 (float) and 1.6 (int8) times as long as of 32 (ai-edge-litert, x86).
# Groups of fewer than 16 channels are cut to any size, down to a quarter.
MULTIPLE = 8


def apply(model: Any, step: Channels, tune: Tune) -> Any:
    """A smaller tf_keras model, tuned after each of the step's rounds; `model` is not changed.

    tune(model, epochs, learning_rate) trains a model in place. The result is functional, without nested models,
    not compiled, and has the layer names of `model`. What a group keeps is one of `counts`.
    Raises ModelError where no channel can be removed, RecipeError where the goal cannot be met, both before
    anything is tuned.
    """
    refuse_untrainable(model, "channels")
    graph = find(model)
    sizes = {group.sources: len(group.labels) for group in graph.groups}
    removed = choose(graph, step, sizes)  # the whole goal at once: what cannot be met is refused now
    if not removed.any():
        raise _nothing(graph, step)
    start = _cost(graph, step, np.zeros_like(removed))
    smaller = None
    for number in range(1, step.rounds + 1):
        if step.rounds > 1:
            graph = graph if smaller is None else find(smaller)
            removed = choose(graph, _part(step, number / step.rounds, start), sizes)
        smaller = shrink(graph, removed)
        tune(smaller, step.epochs, step.learning_rate)
    return smaller


def counts(size: int) -> list[int]:
    """How many channels a group of `size` may keep, most first."""
    if size < 2 * MULTIPLE:
        return list(range(size, (size + 3) // 4 - 1, -1))
    return [size, *range((size - 1) // MULTIPLE * MULTIPLE, 0, -MULTIPLE)]


def choose(graph: Graph, step: Channels, sizes: Sizes) -> np.ndarray:
    """The labels to remove: bool [labels]; none where the goal is met already.

    By fraction each group keeps the count nearest to its share. For a budget, counts are lowered one group at a
    time, always where the group has then lost the least share of its importance, until the model is within it.
    sizes: of the groups before the first round. Raises as `apply` does.
    """
    scores = importance(graph, step.importance)
    removed = np.zeros(graph.labels, bool)
    blocks: list[tuple[float, np.ndarray]] = []  # (share of its group's importance that is lost with it, labels)
    for group in _chosen(graph, step):
        labels = np.array(sorted(group.labels, key=lambda label: scores[label]))
        size = sizes.get(group.sources, len(labels))
        if step.fraction is not None:
            wanted = size * (1 - step.fraction)
            kept = min(counts(size), key=lambda count: (abs(count - wanted), -count))
            removed[labels[: max(0, len(labels) - kept)]] = True
            continue
        lost = np.cumsum(scores[labels]) / max(float(scores[labels].sum()), np.finfo(float).tiny)
        ends = [len(labels) - count for count in counts(size) if count < len(labels)]
        blocks += [(float(lost[end - 1]), labels[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    if step.fraction is None:
        _fill(graph, step, removed, [labels for _, labels in sorted(blocks, key=lambda block: block[0])])
    return removed


def _fill(graph: Graph, step: Channels, removed: np.ndarray, blocks: list[np.ndarray]) -> None:
    """Remove as few of the blocks, from the first on, as the budget allows."""
    goal, budget = _budget(step)

    def with_first(count: int) -> np.ndarray:
        removed[:] = False
        for labels in blocks[:count]:
            removed[labels] = True
        return removed

    least = _cost(graph, step, with_first(len(blocks)))
    if least > budget:
        raise RecipeError(
            f"channels cannot get this model down to {budget:,} {goal}",
            evidence=f"with the fewest channels everywhere it has {least:,}\n{_spared(graph)}",
            do=f"{goal} = {least} or more, or a smaller model",
        )
    low, high = 0, len(blocks)
    while low < high:
        middle = (low + high) // 2
        if _cost(graph, step, with_first(middle)) <= budget:
            high = middle
        else:
            low = middle + 1
    with_first(high)


def _budget(step: Channels) -> tuple[str, int]:
    """("macs" | "parameters" | "bytes", how many)."""
    return next((goal, getattr(step, goal)) for goal in COSTS if getattr(step, goal) is not None)


def _cost(graph: Graph, step: Channels, removed: np.ndarray) -> int:
    """What the budget counts, without the removed labels; 0 where the goal is a fraction."""
    if step.fraction is not None:
        return 0
    return COSTS[_budget(step)[0]](graph.model, lambda layer: graph.shapes(layer, removed))


def _part(step: Channels, share: float, start: int) -> Channels:
    """The step's goal after this share of its rounds; `start`: the cost before the first."""
    if step.fraction is not None:
        return replace(step, fraction=step.fraction * share)
    goal, budget = _budget(step)
    part: dict[str, Any] = {goal: round(start + (budget - start) * share)}
    return replace(step, **part)


def importance(graph: Graph, by: str) -> np.ndarray:
    """A number for each label: float64 [labels]; 1 is the mean of the layers that the label has a slice in.

    l1, l2: norm of the kernels' slices that make the channel (Li et al. 2017, arXiv:1608.08710), depthwise
    kernels included. batch-norm: |gamma| (Liu et al. 2017, arXiv:1708.06519); channels without a gamma are
    ranked by l2. Each layer is divided by its own mean, so that layers of any size and scale compare; a channel
    that several layers make or scale has the mean of what each says.
    """
    if by != "batch-norm":
        return _mean_score(graph, "filter", by)[0]
    scale, scaled = _mean_score(graph, "scale", "l1")
    if not scaled.any():
        raise RecipeError(
            f"{graph.model.name} has no batch norm whose gamma could rank its channels", do='importance = "l2"'
        )
    return np.where(scaled, scale, _mean_score(graph, "filter", "l2")[0])


def _mean_score(graph: Graph, role: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """(mean over the layers, whether any layer says something): float64, bool [labels]."""
    total, voices = np.zeros(graph.labels), np.zeros(graph.labels)
    for layer in graph.model.layers:
        for cut in (cut for cut in graph.cuts.get(layer.name, ()) if cut.role == role):
            values = np.abs(np.asarray(layer.weights[cut.weight], np.float64))
            others = tuple(axis for axis in range(values.ndim) if axis != cut.axis)
            sums = (values if norm == "l1" else values**2).sum(axis=others)
            score = np.bincount(cut.labels, sums, graph.labels)
            score = score if norm == "l1" else np.sqrt(score)
            own = np.unique(cut.labels)
            mean = score[own].mean()
            total[own] += score[own] / mean if mean > 0 else 1.0
            voices[own] += 1
    return total / np.maximum(voices, 1), voices > 0


def shrink(graph: Graph, removed: np.ndarray) -> Any:
    """The model without the removed labels: bool [labels]."""

    def config(layer: Any) -> dict[str, Any]:
        sizes = graph.sizes.get(layer.name, {})
        left = {key: (before, int((~removed[labels]).sum())) for key, (before, labels) in sizes.items()}
        return {
            **same_config(layer),
            **{key: count if before is None else (*before, count) for key, (before, count) in left.items()},
        }

    def weights(layer: Any) -> list[np.ndarray]:
        values = same_weights(layer)
        for cut in graph.cuts.get(layer.name, ()):
            values[cut.weight] = np.compress(~removed[cut.labels], values[cut.weight], axis=cut.axis)
        return values

    return rebuild(graph.model, config, weights)


def zeroed(graph: Graph, removed: np.ndarray) -> Any:
    """The model in its full size, with zeros for every weight that reads a removed label: it computes what
    `shrink`'s does."""

    def weights(layer: Any) -> list[np.ndarray]:
        values = same_weights(layer)
        for cut in (cut for cut in graph.cuts.get(layer.name, ()) if cut.role == "read"):
            np.moveaxis(values[cut.weight], cut.axis, 0)[removed[cut.labels]] = 0
        return values

    return rebuild(graph.model, weights=weights)


def _chosen(graph: Graph, step: Channels) -> list[Group]:
    """The groups that the step may cut: all layers that make a group's channels must be meant."""

    def meant(name: str) -> bool:
        return not step.layers or matches(graph.model.get_layer(name), step.layers)

    groups = [group for group in graph.groups if all(meant(name) for name in group.sources)]
    if groups:
        return groups
    tied = [" + ".join(group.sources) for group in graph.groups if any(meant(name) for name in group.sources)]
    raise ModelError(
        f"no channel of {graph.model.name} can be removed"
        + (f" from the layers {', '.join(step.layers)}" if step.layers else ""),
        evidence="\n".join([*(f"only together: {names}" for names in tied[:5]), _spared(graph)]),
        do="leave out layers, or name all of a group; a frozen layer needs trainable = True",
    )


def _nothing(graph: Graph, step: Channels) -> RecipeError:
    if step.fraction is None:
        goal, budget = _budget(step)
        count = _cost(graph, step, np.zeros(graph.labels, bool))
        return RecipeError(f"the model has {count:,} {goal}, within {budget:,} already", do="leave the step out")
    sizes = sorted({len(group.labels) for group in _chosen(graph, step)})
    return RecipeError(
        f"fraction {step.fraction:g} removes nothing from groups of {', '.join(map(str, sizes[:8]))} channels",
        evidence=f"from {2 * MULTIPLE} channels on, what is left is a multiple of {MULTIPLE}",
        do="a larger fraction",
    )


def _spared(graph: Graph, most: int = 5) -> str:
    lines = [f"{layer} stays whole: {why}" for layer, why in graph.spared.items()]
    return "\n".join(lines[:most] + ([f"and {len(lines) - most} more"] if len(lines) > most else []))
