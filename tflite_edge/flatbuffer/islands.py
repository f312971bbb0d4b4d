"""Float islands: operators that compute in float between quantised ones, and who bounds them."""

from __future__ import annotations

from dataclasses import dataclass

from tflite_edge.flatbuffer import cost
from tflite_edge.flatbuffer.graph import Graph, Operator
from tflite_edge.flatbuffer.scheme import CONVERSIONS, Census

MOST_NAMED = 8  # takers of one tensor


@dataclass(frozen=True)
class Island:
    """Float operators that are joined by tensors.

    operators: their indices in the subgraph, names: theirs. entered_from, left_to: the quantised operators
    before and behind, as "#3 CONV_2D", through QUANTIZE and DEQUANTIZE; "the input", "the output" where the model
    begins or ends. macs: multiply-accumulates inside.
    """

    subgraph: int
    operators: tuple[int, ...]
    names: tuple[str, ...]
    entered_from: tuple[str, ...]
    left_to: tuple[str, ...]
    macs: int


def islands(graphs: tuple[Graph, ...], census: Census) -> tuple[Island, ...]:
    """All islands; none where nothing is quantised (all sea) or nothing is float."""
    if not census.quantized:
        return ()
    floats: dict[int, set[int]] = {}
    for subgraph, operator, _ in census.floats:
        floats.setdefault(subgraph, set()).add(operator.index)
    return tuple(one for graph in graphs for one in _of(graph, floats.get(graph.index, set())))


def _of(graph: Graph, floats: set[int]) -> list[Island]:
    makers: dict[int, int] = {t.index: o.index for o in graph.operators for t in o.outputs}
    takers: dict[int, list[int]] = {}
    for operator in graph.operators:
        for tensor in operator.inputs:
            takers.setdefault(tensor.index, []).append(operator.index)
    left, found = set(floats), []
    for start in sorted(floats):
        if start in left:
            members = _grow(graph, start, left, makers, takers)
            found.append(_island(graph, members, makers, takers))
    return found


def _grow(graph: Graph, start: int, left: set[int], makers: dict[int, int], takers: dict[int, list[int]]) -> list[int]:
    """The operators of `left` that tensors join to `start`, which are taken out of `left`."""
    todo, members = [start], []
    left.discard(start)
    while todo:
        operator = graph.operators[todo.pop()]
        members.append(operator.index)
        beside = [makers[t.index] for t in operator.inputs if t.index in makers]
        beside += [taker for t in operator.outputs for taker in takers.get(t.index, [])]
        for other in beside:
            if other in left:
                left.discard(other)
                todo.append(other)
    return sorted(members)


def _island(graph: Graph, members: list[int], makers: dict[int, int], takers: dict[int, list[int]]) -> Island:
    inside = set(members)
    edges = {t.index for t in graph.inputs}, {t.index for t in graph.outputs}
    entered: dict[str, None] = {}
    left: dict[str, None] = {}
    for index in members:
        operator = graph.operators[index]
        for tensor in operator.inputs:
            source = makers.get(tensor.index)
            if tensor.index in edges[0]:
                entered["the input"] = None
            elif source is not None and source not in inside:
                entered[_before(graph, graph.operators[source], makers, edges[0])] = None
        for tensor in operator.outputs:
            if tensor.index in edges[1]:
                left["the output"] = None
            for taker in takers.get(tensor.index, []):
                if taker not in inside:
                    left.update(dict.fromkeys(_behind(graph, graph.operators[taker], takers, edges[1])))
    return Island(
        subgraph=graph.index,
        operators=tuple(members),
        names=tuple(graph.operators[index].name for index in members),
        entered_from=tuple(entered),
        left_to=tuple(left),
        macs=sum(cost.macs(graph.operators[index]) or 0 for index in members),
    )


def _before(graph: Graph, operator: Operator, makers: dict[int, int], inputs: set[int]) -> str:
    """The operator, or, where it only converts, the one that made what it converts."""
    if operator.name in CONVERSIONS and operator.inputs:
        source = operator.inputs[0]
        if source.index in inputs:
            return "the input"
        if source.index in makers:
            return _named(graph.operators[makers[source.index]])
    return _named(operator)


def _behind(graph: Graph, operator: Operator, takers: dict[int, list[int]], outputs: set[int]) -> list[str]:
    """The operator, or, where it only converts, those that take what it made."""
    if operator.name in CONVERSIONS and operator.outputs:
        result = operator.outputs[0]
        ends = ["the output"] if result.index in outputs else []
        ends += [_named(graph.operators[taker]) for taker in takers.get(result.index, [])[:MOST_NAMED]]
        return ends or [_named(operator)]
    return [_named(operator)]


def _named(operator: Operator) -> str:
    return f"#{operator.index} {operator.name}"
