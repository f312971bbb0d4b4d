"""How much memory the activations of a subgraph take: the plan of TFLite's own planner, made from the file.

Sources: arena_planner.cc and simple_memory_arena.cc of TensorFlow Lite (ArenaPlanner::PlanAllocations,
SimpleMemoryArena::Allocate). Largest tensor first, each into the smallest gap between those that live at
the same time. What a kernel asks for besides (im2col, scratch) is not in the file and not in the plan, and
a delegate such as XNNPACK plans its own memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from tflite_edge.flatbuffer.cost import size
from tflite_edge.flatbuffer.graph import Graph, Tensor
from tflite_edge.flatbuffer.schema import TYPE_BITS
from tflite_edge.flatbuffer.scheme import UNFOLDING

ALIGNMENT = 64  # kDefaultTensorAlignment
MOST_TENSORS = 10_000  # planning takes time with the square of them
# These only look at the same values another way; the planner lets input and output share their place
# (kTfLiteInplaceOpDataUnmodified).
VIEWS = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "BITCAST")


@dataclass(frozen=True)
class Arena:
    """Estimated bytes of activations. planned_bytes: None with a why where there is no plan.

    live_bytes: the most that is alive at once, which no plan can go below; operator: index of the one that
    runs then, named `at`. persistent_bytes: kept between calls and outside the plan: variables, and constants that
    are unfolded once (float16 or sparse weights).
    """

    planned_bytes: Optional[int] = None  # noqa: UP045 - read back by from_plain
    why: str = ""
    live_bytes: Optional[int] = None  # noqa: UP045 - read back by from_plain
    operator: Optional[int] = None  # noqa: UP045 - read back by from_plain
    at: str = ""
    persistent_bytes: int = 0


@dataclass(frozen=True)
class Life:
    """A tensor's place in time: it is alive while the operators first..last run, both included."""

    tensor: int
    size_bytes: int
    first: int
    last: int


def plan(graph: Graph) -> Arena:
    """The arena of one subgraph; why there is none where a size is open until run time."""
    unknown = [t for t in _computed(graph) if t.dtype not in TYPE_BITS or t.dynamic_axes]
    if unknown:
        tensor = unknown[0]
        what = "an open shape" if tensor.dynamic_axes else f"the type {tensor.dtype}"
        return Arena(why=f"{len(unknown)} tensors have a size known only at run time; the first has {what}")
    alive = lives(graph)
    if len(alive) > MOST_TENSORS:
        return Arena(why=f"more than {MOST_TENSORS:,} activation tensors")
    at, most = _peak(alive, len(graph.operators))
    named = graph.operators[at].name if at < len(graph.operators) else ""
    places = offsets(alive)
    end = max((offset + life.size_bytes for offset, life in zip(places, alive, strict=True)), default=0)
    kept = _persistent(graph)
    persistent = sum(_bytes(tensor) for tensor in graph.tensors if tensor.index in kept)
    return Arena(end, "", most, at if named else None, named, persistent)


def _computed(graph: Graph) -> list[Tensor]:
    """Tensors that get a place: those that are fed and computed."""
    found = {tensor.index: tensor for tensor in (*graph.inputs, *graph.outputs)}
    found |= {tensor.index: tensor for operator in graph.operators for tensor in operator.outputs}
    persistent = _persistent(graph)
    return [tensor for index, tensor in found.items() if not tensor.constant and index not in persistent]


def _persistent(graph: Graph) -> set[int]:
    """Variables, and what DEQUANTIZE and DENSIFY make of constants."""
    found = {tensor.index for tensor in graph.tensors if tensor.variable}
    for operator in graph.operators:
        if operator.name in UNFOLDING and operator.inputs and operator.inputs[0].constant:
            found |= {tensor.index for tensor in operator.outputs}
    return found


def _bytes(tensor: Tensor) -> int:
    return (size(tensor.shape) * TYPE_BITS.get(tensor.dtype, 0) + 7) // 8


def lives(graph: Graph) -> list[Life]:
    """Who is alive when, views merged with what they show; in the order in which the planner places them.

    The place of an input or output is never used again. What nobody reads lives to the end as well.
    """
    end = max(0, len(graph.operators) - 1)
    computed = {tensor.index: tensor for tensor in _computed(graph)}
    fixed = {tensor.index for tensor in graph.inputs}
    kept = fixed | {t.index for t in graph.outputs}
    owner = _owners(graph, kept)
    first, last = dict.fromkeys(fixed, 0), {}
    for operator in graph.operators:
        for tensor in operator.outputs:
            first.setdefault(owner.get(tensor.index, tensor.index), operator.index)
        for tensor in operator.inputs:
            last[owner.get(tensor.index, tensor.index)] = operator.index
    alive = []
    for index, tensor in computed.items():
        if index not in owner:
            stays = index in kept or index not in last
            alive.append(Life(index, _bytes(tensor), first.get(index, 0), end if stays else last[index]))
    whole = [life for life in alive if (life.first, life.last) == (0, end)]
    rest = [life for life in alive if (life.first, life.last) != (0, end)]
    return sorted(whole, key=lambda life: life.tensor) + sorted(rest, key=lambda life: (-life.size_bytes, life.first))


def _owners(graph: Graph, kept: set[int]) -> dict[int, int]:
    """tensor -> the one whose place it shares, for the outputs of VIEWS."""
    owner: dict[int, int] = {}
    for operator in graph.operators:
        if operator.name in VIEWS and operator.inputs and operator.outputs:
            source, result = operator.inputs[0], operator.outputs[0]
            if not source.constant and not {source.index, result.index} & kept and result.index not in owner:
                owner[result.index] = owner.get(source.index, source.index)
    return owner


def offsets(alive: list[Life]) -> list[int]:
    """Where each of `alive` begins, placed in this order: in the smallest gap that holds it, else behind all."""
    import numpy as np

    first, last = (np.array([getattr(life, side) for life in alive]) for side in ("first", "last"))
    begin, end = [0] * len(alive), [0] * len(alive)
    for number, life in enumerate(alive):
        if not life.size_bytes:
            continue
        beside = np.flatnonzero((first[:number] <= life.last) & (last[:number] >= life.first))
        taken = sorted((begin[other], end[other]) for other in beside if end[other])
        begin[number] = _fit(taken, life.size_bytes)
        end[number] = begin[number] + life.size_bytes
    return begin


def _fit(taken: list[tuple[int, int]], wanted: int) -> int:
    """Start of the smallest aligned gap of `wanted` bytes between the ranges `taken`, or behind them."""
    best, best_gap, current = None, None, 0
    for begin, end in taken:
        aligned = -(-current // ALIGNMENT) * ALIGNMENT
        if aligned + wanted <= begin and (best_gap is None or begin - aligned < best_gap):
            best, best_gap = aligned, begin - current
        current = max(current, end)
    return -(-current // ALIGNMENT) * ALIGNMENT if best is None else best


def _peak(alive: list[Life], operators: int) -> tuple[int, int]:
    """(operator, bytes alive while it runs), where most are."""
    change = [0] * (operators + 2)
    for life in alive:
        change[life.first] += life.size_bytes
        change[life.last + 1] -= life.size_bytes
    most, at, now = 0, 0, 0
    for operator, step in enumerate(change):
        now += step
        if now > most:
            most, at = now, operator
    return at, most
