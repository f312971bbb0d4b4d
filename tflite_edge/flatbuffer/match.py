"""Which tensors of a float graph and of its quantised twin hold the same values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher

from tflite_edge.flatbuffer.graph import Graph, Operator, Tensor
from tflite_edge.flatbuffer.schema import FLOAT_TYPES
from tflite_edge.flatbuffer.scheme import CONVERSIONS


@dataclass(frozen=True)
class Layer:
    """One pair. operator: what computes it, "input" for the model's input. how: "name" or "position".

    sources: places in the list of pairs whose tensors this one is computed from, in the float graph.
    """

    name: str
    operator: str
    shape: tuple[int, ...]
    float_index: int
    quantized_index: int
    how: str
    sources: tuple[int, ...]


@dataclass(frozen=True)
class Match:
    """layers in the order in which they run. unmatched_*: names of the results of either graph without a twin."""

    layers: tuple[Layer, ...]
    unmatched_float: tuple[str, ...]
    unmatched_quantized: tuple[str, ...]


def match(one: Graph, other: Graph) -> Match:
    """Pair the results of two graphs' operators: by name and shape, then by operator, shape and position.

    Only float results of `one` are looked at. QUANTIZE and DEQUANTIZE only write values down in another way and are
    no layers; the twin of an input is the input, or what QUANTIZE makes of it.
    """
    floats, twins = _results(one), _results(other)
    floats = [(operator, tensor) for operator, tensor in floats if tensor.dtype in FLOAT_TYPES]
    found = _by_name(floats, twins)
    how = dict.fromkeys(found, "name")
    rest = [item for item in floats if item[1].index not in found]
    left = [item for item in twins if item[1].index not in found.values()]
    for a, b in _by_position(rest, left):
        found[a] = b
        how[a] = "position"
    layers: list[Layer] = []
    places: dict[int, int] = {}  # tensor of the float graph -> place in layers
    for source, twin in zip(one.inputs, other.inputs, strict=False):
        if source.shape == twin.shape and source.dtype in FLOAT_TYPES:
            places[source.index] = len(layers)
            twin_index = _quantized(other, twin).index
            layers.append(Layer(source.name, "input", source.shape, source.index, twin_index, "position", ()))
    made_by = {tensor.index: operator for operator in one.operators for tensor in operator.outputs}
    for operator, tensor in floats:
        if tensor.index in found:
            sources = sorted(_sources(operator, places, made_by))
            places[tensor.index] = len(layers)
            twin_index, kind = found[tensor.index], how[tensor.index]
            layers.append(
                Layer(tensor.name, operator.name, tensor.shape, tensor.index, twin_index, kind, tuple(sources))
            )
    matched = set(found.values())
    return Match(
        tuple(layers),
        tuple(tensor.name for _, tensor in floats if tensor.index not in found),
        tuple(tensor.name for _, tensor in twins if tensor.index not in matched),
    )


def _results(graph: Graph) -> list[tuple[Operator, Tensor]]:
    """(operator, result) of everything that is computed from the input, in the order in which it runs."""
    live = {tensor.index for tensor in graph.inputs}
    found = []
    for operator in graph.operators:
        if live & {tensor.index for tensor in operator.inputs}:
            live |= {tensor.index for tensor in operator.outputs}
            if operator.name not in CONVERSIONS:
                found += [(operator, tensor) for tensor in operator.outputs]
    return found


def _by_name(floats: list[tuple[Operator, Tensor]], twins: list[tuple[Operator, Tensor]]) -> dict[int, int]:
    """Tensors of one name, operator and shape that occur once on either side: {float tensor: twin}."""

    def keyed(items: list[tuple[Operator, Tensor]]) -> dict[tuple[str, str, tuple[int, ...]], int]:
        keys = [(tensor.name, operator.name, tensor.shape) for operator, tensor in items]
        once = Counter(keys)
        return {key: item[1].index for key, item in zip(keys, items, strict=True) if key[0] and once[key] == 1}

    ours, theirs = keyed(floats), keyed(twins)
    return {index: theirs[key] for key, index in ours.items() if key in theirs}


def _by_position(floats: list[tuple[Operator, Tensor]], twins: list[tuple[Operator, Tensor]]) -> list[tuple[int, int]]:
    """Longest runs of equal operators and shapes, in order (Ratcliff and Obershelp, as difflib does it)."""
    ours = [(operator.name, tensor.shape) for operator, tensor in floats]
    theirs = [(operator.name, tensor.shape) for operator, tensor in twins]
    blocks = SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks()
    return [(floats[b.a + i][1].index, twins[b.b + i][1].index) for b in blocks for i in range(b.size)]


def _quantized(graph: Graph, tensor: Tensor) -> Tensor:
    """What QUANTIZE makes of a float input, else the input itself."""
    for operator in graph.operators:
        if operator.name == "QUANTIZE" and operator.inputs and operator.inputs[0].index == tensor.index:
            return operator.outputs[0]
    return tensor


def _sources(operator: Operator, places: dict[int, int], made_by: dict[int, Operator]) -> set[int]:
    """Places of the nearest matched tensors before this operator."""
    found: set[int] = set()
    seen: set[int] = set()
    todo = [tensor for tensor in operator.inputs if not tensor.constant]
    while todo:
        tensor = todo.pop()
        if tensor.index in seen:
            continue
        seen.add(tensor.index)
        if tensor.index in places:
            found.add(places[tensor.index])
        elif tensor.index in made_by:
            todo += [source for source in made_by[tensor.index].inputs if not source.constant]
    return found
