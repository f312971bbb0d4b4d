"""What changed from one model to another, from the facts of both."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Optional

from tflite_edge.flatbuffer.facts import Facts, TensorFact


@dataclass(frozen=True)
class NumberChange:
    """One figure of both files; None where a file has none."""

    what: str
    before: Optional[float]  # noqa: UP045 - read back by from_plain
    after: Optional[float]  # noqa: UP045 - read back by from_plain


@dataclass(frozen=True)
class TextChange:
    """A word about both files that differs."""

    what: str
    before: str
    after: str


@dataclass(frozen=True)
class OperatorChange:
    """How often an operator of one version occurs; 0: it is not there."""

    name: str
    version: int
    before: int
    after: int


@dataclass(frozen=True)
class TypeChange:
    """Tensors of the same name, computed or constant, whose type is another. names: of the first few."""

    before: str
    after: str
    tensors: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """numbers: all figures, changed or not. The others hold changes only. same_bytes: the files are one.

    only_before, only_after: tensors whose name the other file does not have.
    """

    same_bytes: bool
    numbers: tuple[NumberChange, ...]
    texts: tuple[TextChange, ...]
    operators: tuple[OperatorChange, ...]
    types: tuple[TypeChange, ...]
    only_before: int
    only_after: int


NAMED = 3  # tensors of a change of type


def difference(before: Facts, after: Facts) -> Difference:
    """From `before` to `after`."""
    one, other = _named(before), _named(after)
    return Difference(
        same_bytes=before.file.sha256 == after.file.sha256,
        numbers=tuple(
            NumberChange(what, was, now)
            for (what, was), now in zip(_numbers(before).items(), _numbers(after).values(), strict=True)
        ),
        texts=tuple(
            TextChange(what, was, now)
            for (what, was), now in zip(_texts(before).items(), _texts(after).values(), strict=True)
            if was != now
        ),
        operators=_operators(before, after),
        types=_types(one, other),
        only_before=len(one.keys() - other.keys()),
        only_after=len(other.keys() - one.keys()),
    )


def _numbers(facts: Facts) -> dict[str, float | None]:
    kernels, arena = facts.compression, facts.arena
    return {
        "file bytes": facts.file.size_bytes,
        "gzip bytes": facts.file.gzip_bytes,
        "container bytes": facts.file.container_bytes,
        "constant bytes": sum(group.size_bytes for group in facts.weights.constants),
        "parameters": facts.weights.parameters,
        "MACs": facts.macs,
        "arena bytes, estimated": arena.planned_bytes if arena else None,
        "operators": len(facts.nodes),
        "float operators": len(facts.float_operators),
        "zeros in kernels %": round(100 * kernels.sparsity, 2) if kernels else None,
        "values in a kernel (half of the weights)": kernels.half_unique if kernels else None,
        "per-channel weights": facts.weights.per_channel,
        "per-tensor weights": facts.weights.per_tensor,
    }


def _texts(facts: Facts) -> dict[str, str]:
    return {
        "scheme": facts.scheme,
        "inputs": _edge(facts.inputs),
        "outputs": _edge(facts.outputs),
        "signatures": ", ".join(signature.key for signature in facts.signatures) or "none",
        "min_runtime_version": facts.file.min_runtime_version or "none",
        "metadata": ", ".join(facts.file.metadata) or "none",
        "open shapes": "yes" if facts.dynamic_shapes else "no",
    }


def _edge(tensors: tuple[TensorFact, ...]) -> str:
    return "; ".join(f"{tensor.dtype} {list(tensor.shape)}{_scale(tensor)}" for tensor in tensors) or "none"


def _scale(tensor: TensorFact) -> str:
    return "" if tensor.scale is None else f" scale {tensor.scale:.4g} zero {tensor.zero_point}"


def _operators(before: Facts, after: Facts) -> tuple[OperatorChange, ...]:
    one, other = ({(o.name, o.version): o.count for o in facts.operators} for facts in (before, after))
    changed = sorted(key for key in {*one, *other} if one.get(key) != other.get(key))
    return tuple(OperatorChange(*key, one.get(key, 0), other.get(key, 0)) for key in changed)


def _named(facts: Facts) -> dict[tuple[int, str], str]:
    """(subgraph, name) -> type, of tensors whose name is theirs alone."""
    found = Counter((tensor.subgraph, tensor.name) for tensor in facts.tensors)
    named = {(tensor.subgraph, tensor.name): tensor.dtype for tensor in facts.tensors if tensor.name}
    return {key: dtype for key, dtype in named.items() if found[key] == 1}


def _types(one: dict[tuple[int, str], str], other: dict[tuple[int, str], str]) -> tuple[TypeChange, ...]:
    changed: dict[tuple[str, str], list[str]] = {}
    for key, dtype in one.items():
        now = other.get(key, dtype)
        if now != dtype:
            changed.setdefault((dtype, now), []).append(key[1])
    most_first = sorted(changed.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(TypeChange(*types, len(names), tuple(names[:NAMED])) for types, names in most_first)
