"""Cuts a model short after each of its operators, so that what each one costs is a difference of two runs.

Neither small runtime tells from Python what an operator takes. The model that ends after operator k is made
without writing the file anew: the length of the operator vector becomes k, the signatures (which name outputs
that are no longer made) become none, and the outputs become a new vector behind the file's end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from tflite_edge.flatbuffer.graph import Graph, Operator, graphs
from tflite_edge.flatbuffer.reader import File, read
from tflite_edge.records.cut import Cut, Word, shortened

UNREADABLE = frozenset({"resource", "variant"})  # handles, which are no values that a model can answer


def prefixes(source: str | os.PathLike[str] | bytes) -> Iterator[tuple[Cut, bytes]]:
    """Each cut of the model with the bytes it makes, for 0, 1, ... all operators. Raises ModelError."""
    file = read(source)
    content = bytes(file.data)
    for cut in cuts(file):
        yield cut, shortened(content, cut)


def cuts(file: File) -> list[Cut]:
    """The cuts of a model's first subgraph: after no operator (it answers its inputs), one, ... all of them.

    A cut answers all that the rest of the model still needs, not only its last operator's output: delegates leave
    out what nobody reads. What follows from constants alone is no such thing, because kernels fold it once and for
    all: answering it would add work that the whole model does not do. Raises ModelError.
    """
    graph = graphs(file)[0]
    table = file.model.subgraphs[0]
    length, outputs, signatures = (
        _vector_at(file, file_table.position_of(field))
        for file_table, field in ((table, "operators"), (table, "outputs"), (file.model, "signature_defs"))
    )
    pointer = table.position_of("outputs")
    if outputs is None or pointer is None or length is None or not graph.inputs:
        raise file.damaged("its first subgraph has no operators, no inputs or no outputs")
    end = len(file.data) + -len(file.data) % 4
    words = [Word(pointer, end - pointer)] + ([] if signatures is None else [Word(signatures, 0)])
    return [
        Cut(
            operators=count,
            last=graph.operators[count - 1].name if count else "",
            outputs=answers,
            words=[Word(length, count), *words],
            tail=[len(answers), *answers],
        )
        for count, answers in enumerate(_answers(graph))
    ]


def _vector_at(file: File, pointer: int | None) -> int | None:
    """Where the vector lies (its length comes first) that is pointed to from `pointer`. Raises ModelError."""
    if pointer is None:
        return None
    at = pointer + int(file.scalar("uint32", pointer))
    file.need(at, 4, "the length of a vector")
    return at


def _answers(graph: Graph) -> Iterator[list[int]]:
    """The outputs after 0, 1, ... operators: the last operator's, then what is needed later."""
    last_use = {tensor.index: operator.index for operator in graph.operators for tensor in operator.inputs}
    last_use.update((tensor.index, len(graph.operators)) for tensor in graph.outputs)
    fed = {tensor.index for tensor in graph.inputs}
    varying = fed | {tensor.index for tensor in graph.tensors if tensor.variable}
    made: list[int] = []
    answers = [tensor.index for tensor in graph.inputs]
    yield answers
    for operator in graph.operators:
        own: list[int] = []
        if not operator.inputs or any(tensor.index in varying for tensor in operator.inputs):
            varying.update(tensor.index for tensor in operator.outputs)
            own = _values(operator)
            made.extend(own)
        needed = [index for index in made if last_use.get(index, -1) > operator.index]
        answers = list(dict.fromkeys([*own, *needed])) or answers
        yield answers


def _values(operator: Operator) -> list[int]:
    return [tensor.index for tensor in operator.outputs if tensor.dtype not in UNREADABLE]
