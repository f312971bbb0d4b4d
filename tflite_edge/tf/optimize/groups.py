"""Which channels of a model can only be removed together, and what each of them owns in every layer.

Each channel that a convolution or a dense layer makes gets a label (an integer), and the labels of a tensor's
last axis are followed through the graph: a depthwise convolution passes them on, Concatenate strings them
together, Flatten repeats them, Add makes those of its inputs the same. A label owns a slice of every weight that
has an axis with it; removing it removes all these slices. What a layer does to its channels is known from
`rules.py`; labels that reach a layer without a rule, or the model's output, stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tflite_edge.tf.optimize.rebuild import nodes, rebuild
from tflite_edge.tf.optimize.rules import RULES, Call

Labels = np.ndarray  # int64 [channels]


@dataclass(frozen=True, eq=False)
class Cut:
    """`labels` of one axis of the layer's weight number `weight`.

    role: "filter" (the kernel's slice that makes the channel), "read" (the kernel's slice that reads it),
    "scale" (a batch norm's gamma) or "along" (a value per channel that follows).
    """

    weight: int
    axis: int
    labels: Labels
    role: str


@dataclass(frozen=True)
class Group:
    """Channels made by the same layers: `sources`, their names. labels: one for each removable channel."""

    sources: tuple[str, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Graph:
    """model: a flat copy of the user's. labels: how many there are.

    cuts: by layer name. sizes: by layer name and key of its configuration, the axis sizes before the last
    (or None where the value is a plain number) and the labels that the number counts.
    spared: why channels of a layer stay, by layer name.
    """

    model: Any
    labels: int
    cuts: dict[str, list[Cut]]
    sizes: dict[str, dict[str, tuple[tuple[int, ...] | None, Labels]]]
    groups: tuple[Group, ...]
    spared: dict[str, str]

    def shapes(self, layer: Any, removed: np.ndarray) -> list[tuple[int, ...]]:
        """Of the layer's weights without the removed labels; removed: bool [labels]."""
        shapes = [list(weight.shape) for weight in layer.weights]
        for cut in self.cuts.get(layer.name, ()):
            shapes[cut.weight][cut.axis] = int((~removed[cut.labels]).sum())
        return [tuple(shape) for shape in shapes]


def find(model: Any) -> Graph:
    """The channel groups of a functional or Sequential model. Raises ModelError as `rebuild` does."""
    flat = rebuild(model)
    trace = Trace()
    known: dict[int, Labels] = {}
    for tensor in flat.inputs:
        known[id(tensor)] = trace.stuck(tensor.shape, "the model's input")
    for node in nodes(flat):
        call = Call(trace, node, [known[id(tensor)] for tensor in node.keras_inputs])
        known.update((id(out), labels) for out, labels in zip(call.outputs, _follow(trace, call), strict=True))
    for tensor in flat.outputs:
        trace.block(known[id(tensor)], "the model's output")
    return trace.graph(flat)


def _follow(trace: Trace, call: Call) -> list[Labels]:
    """The labels of the call's outputs, and the layer's cuts; without a rule that fits, everything stays."""
    layer, why = call.layer, f"{call.layer.name} ({type(call.layer).__name__}) has no rule"
    labels = RULES[call.kind](call) if call.kind in RULES and call.is_plain else None
    covered = {cut.weight for cut in trace.cuts.get(layer.name, ())}
    if labels is None or len(labels) != call.outputs[0].shape[-1] or len(covered) != len(layer.weights):
        results = [trace.stuck(out.shape, why) for out in call.outputs]
    else:
        results, why = [labels], f"{layer.name} is frozen"
        if layer.trainable or not layer.weights:
            return results
    for touched in (*call.labels, *results, *(cut.labels for cut in trace.cuts.get(layer.name, ()))):
        trace.block(touched, why)
    return results


@dataclass
class Trace:
    """What is known while the graph is followed. Labels that turn out to be the same are only noted in `ties`."""

    labels: int = 0
    made: dict[str, Labels] = field(default_factory=dict)
    ties: list[tuple[Labels, Labels]] = field(default_factory=list)
    blocked: list[tuple[Labels, str]] = field(default_factory=list)
    cuts: dict[str, list[Cut]] = field(default_factory=dict)
    sizes: dict[str, dict[str, tuple[tuple[int, ...] | None, Labels]]] = field(default_factory=dict)

    def new(self, count: int) -> Labels:
        self.labels += count
        return np.arange(self.labels - count, self.labels)

    def stuck(self, shape: Any, why: str) -> Labels:
        """Labels for a tensor's last axis that stay; none where its size is open."""
        labels = self.new((shape[-1] or 0) if len(shape) else 0)
        self.block(labels, why)
        return labels

    def block(self, labels: Labels, why: str) -> None:
        self.blocked.append((labels, why))

    def makes(self, layer: Any, count: int) -> Labels:
        """The channels that a layer makes: the same ones each time it is called."""
        if layer.name not in self.made:
            self.made[layer.name] = self.new(count)
        return self.made[layer.name]

    def tie(self, one: Labels, other: Labels) -> None:
        self.ties.append((one, other))

    def cut(self, layer: Any, weight: Any, axis: int, labels: Labels, role: str) -> None:
        """Note the labels of a weight's axis; a layer that is called again ties them to those of the first call."""
        if weight is None:  # use_bias=False, scale=False
            return
        index = next(index for index, own in enumerate(layer.weights) if own is weight)
        axis %= len(weight.shape)
        cuts = self.cuts.setdefault(layer.name, [])
        for cut in cuts:
            if (cut.weight, cut.axis) == (index, axis):
                self.tie(cut.labels, labels)
                return
        cuts.append(Cut(index, axis, labels, role))

    def resize(self, layer: Any, key: str, labels: Labels, before: tuple[int, ...] | None = None) -> None:
        sizes = self.sizes.setdefault(layer.name, {})
        if key in sizes:
            self.tie(sizes[key][1], labels)
        sizes[key] = (before, labels)

    def graph(self, model: Any) -> Graph:
        roots = _roots(self.labels, self.ties)
        why: dict[int, str] = {}
        for labels, reason in self.blocked:
            for label in np.unique(roots[labels]).tolist():
                why.setdefault(label, reason)
        sources: dict[int, list[str]] = {}
        spared: dict[str, str] = {}
        for layer, labels in self.made.items():
            for label in np.unique(roots[labels]).tolist():
                if label in why:
                    spared.setdefault(layer, why[label])
                else:
                    sources.setdefault(label, []).append(layer)
        groups: dict[tuple[str, ...], list[int]] = {}
        for label, names in sources.items():
            groups.setdefault(tuple(sorted(names)), []).append(label)
        return Graph(
            model,
            self.labels,
            {
                layer: [Cut(cut.weight, cut.axis, roots[cut.labels], cut.role) for cut in cuts]
                for layer, cuts in self.cuts.items()
            },
            {
                layer: {key: (before, roots[labels]) for key, (before, labels) in sizes.items()}
                for layer, sizes in self.sizes.items()
            },
            tuple(Group(names, tuple(labels)) for names, labels in groups.items()),
            spared,
        )


def _roots(count: int, ties: list[tuple[Labels, Labels]]) -> Labels:
    """For each label the least one that it is tied to, directly or not: int64 [count]."""
    roots = np.arange(count)
    if not ties:
        return roots
    one, other = (np.concatenate(side) for side in zip(*ties, strict=True))
    while True:
        before = roots.copy()
        least = np.minimum(roots[one], roots[other])
        np.minimum.at(roots, before[one], least)
        np.minimum.at(roots, before[other], least)
        roots = roots[roots]
        if np.array_equal(roots, before):
            return roots
