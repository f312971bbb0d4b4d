"""What the bytes of models say, as tables: one model's operators, many models beside each other, two compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tflite_edge.cli.sink import Table

if TYPE_CHECKING:
    from tflite_edge.flatbuffer.difference import Difference
    from tflite_edge.flatbuffer.facts import Facts, TensorFact
    from tflite_edge.flatbuffer.strip import Stripped
    from tflite_edge.targets.proof import Proof

NAME_WIDTH = 44  # of a tensor in a table
ISLANDS, INSIDE = 5, 4  # float islands told, operators named in one
MOST_ROWS = 1000  # a table of 190,000 takes minutes to lay out; JSON has them all


def cost(facts: Facts) -> Iterable[str]:
    """Computation and memory, in a line each."""
    yield f"{facts.macs:,} MACs in one run" + (f", {facts.macs_why}" if facts.macs_why else "")
    arena = facts.arena
    if arena and arena.planned_bytes is not None:
        peak = f"; most is alive at #{arena.operator} {arena.at}: {arena.live_bytes:,}" if arena.at else ""
        kept = f"; {arena.persistent_bytes:,} kept outside it" if arena.persistent_bytes else ""
        yield f"activations, estimated: {arena.planned_bytes:,} bytes without the kernels' scratch{peak}{kept}"
    elif arena:
        yield f"activations: no estimate ({arena.why})"


def islands(facts: Facts) -> Iterable[str]:
    for island in facts.islands[:ISLANDS]:
        names = [f"#{index} {name}" for index, name in zip(island.operators, island.names, strict=True)]
        more = f" and {len(names) - INSIDE} more" if len(names) > INSIDE else ""
        before, behind = (", ".join(bounds) or "-" for bounds in (island.entered_from, island.left_to))
        yield f"float island: {before} -> [{', '.join(names[:INSIDE])}{more}] -> {behind}"
    if len(facts.islands) > ISLANDS:
        yield f"and {len(facts.islands) - ISLANDS} more float islands"


def container(facts: Facts) -> Iterable[str]:
    """Where the bytes of the container went, and what the metadata hold."""
    found = facts.file.container
    if found:
        yield (
            f"container: names {found.names_bytes:,}, min and max {found.min_max_bytes:,}, "
            f"scales {found.scales_bytes:,}, zero points {found.zero_points_bytes:,}, "
            f"metadata {found.metadata_bytes:,}, the rest {found.rest_bytes:,} bytes"
        )
    if facts.file.entries:
        yield "metadata: " + ", ".join(f"{entry.name} ({entry.size_bytes:,} bytes)" for entry in facts.file.entries)
    made = facts.file.conversion
    if made:
        modes = f", {', '.join(made.modes)}" if made.modes else ""
        source = f" from {made.source}" if made.source else ""
        yield f"made by TensorFlow {made.converter}{source}{modes}"


def described(facts: Facts) -> Iterable[str]:
    """What the model says of itself (TFLite's metadata), and the files appended to it."""
    found = facts.file.described
    if found is None:
        return
    if found.name or found.description:
        yield f"says of itself: {found.description or found.name}" + (
            f" (version {found.version})" * bool(found.version)
        )
    if found.author or found.license:
        yield f"  author: {found.author or '-'}; licence: {found.license or '-'}"
    for what, tensors in (("input", found.inputs), ("output", found.outputs)):
        for one in tensors:
            size = " x ".join(map(str, one.size))
            scaled = f"(raw - {_few(one.mean)}) / {_few(one.std)}" if one.mean and one.std else ""
            ends = f"values {_few(one.low)} to {_few(one.high)}" if one.low and one.high else ""
            parts = [
                f"{one.colour} {size}".strip(),
                scaled,
                ends,
                one.description,
                *(f"labels in {n}" for n in one.files),
            ]
            yield f"  {what} {cut(one.name)}: " + ", ".join(filter(None, parts))
    if found.files:
        yield "  appended: " + ", ".join(f"{one.name} ({one.size_bytes:,} bytes)" for one in found.files)
    if found.why:
        yield f"  cannot be read: {found.why}"


def _few(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values[:4]) + (", ..." if len(values) > 4 else "")


def signatures(facts: Facts) -> Iterable[str]:
    if not facts.signatures:
        yield "signatures: none"
    for one in facts.signatures:
        yield f"signature {one.key}: {', '.join(one.inputs) or '-'} -> {', '.join(one.outputs) or '-'}"


def operators(facts: Facts) -> Table:
    """One line for each operator."""
    tensors = {(tensor.subgraph, tensor.index): tensor for tensor in facts.tensors}
    several = facts.file.subgraphs > 1
    rows = []
    for node in facts.nodes[:MOST_ROWS]:
        takes, gives = ([tensors[node.subgraph, index] for index in indices] for indices in (node.inputs, node.outputs))
        rows.append(
            [
                f"{node.subgraph}/{node.index}" if several else str(node.index),
                f"{node.name} v{node.version}",
                _types(takes),
                _types(gives),
                str(list(gives[0].shape)) if gives else "-",
                "-" if node.macs is None else f"{node.macs:,}",
            ]
        )
    title = _titled("operators", len(facts.nodes))
    return Table(["#", "operator ", "takes ", "gives ", "shape ", "MACs"], rows, title, spare=("takes ",))


def tensors(facts: Facts) -> Table:
    """One line for each tensor."""
    rows = [
        [
            f"{tensor.subgraph}/{tensor.index}" if facts.file.subgraphs > 1 else str(tensor.index),
            cut(tensor.name),
            tensor.dtype,
            str([-1 if axis in tensor.dynamic_axes else size for axis, size in enumerate(tensor.shape)]),
            quantization(tensor),
            f"{tensor.size_bytes:,}" if tensor.constant else "-",
        ]
        for tensor in facts.tensors[:MOST_ROWS]
    ]
    title = _titled("tensors", len(facts.tensors))
    return Table(["#", "tensor ", "type ", "shape ", "quantised ", "bytes"], rows, title, spare=("bytes",))


def _titled(what: str, count: int) -> str:
    return what if count <= MOST_ROWS else f"{what}: the first {MOST_ROWS:,} of {count:,}; all with --format json"


def quantization(tensor: TensorFact) -> str:
    if tensor.scale is None:
        return "-"
    if tensor.scales > 1:
        return f"{tensor.scales} scales, axis {tensor.axis}"
    return f"{tensor.scale:.3g}, {tensor.zero_point}"


def cut(name: str, width: int = NAME_WIDTH) -> str:
    """The end of a long name, where layers of one block differ."""
    return name if len(name) <= width else f"..{name[2 - width :]}"


def _types(tensors: Sequence[TensorFact]) -> str:
    """Of all that is computed or fed, and of constants with w before it."""
    return " ".join(dict.fromkeys(("w:" if tensor.constant else "") + tensor.dtype for tensor in tensors)) or "-"


def beside(found: Sequence[Facts]) -> Table:
    """One line for each file."""
    rows = []
    for facts in found:
        arena, kernels = facts.arena, facts.compression
        rows.append(
            [
                cut(facts.file.name, 36),
                facts.scheme,
                f"{facts.file.size_bytes / 1024:,.1f}",
                f"{facts.file.gzip_bytes / 1024:,.1f}",
                f"{facts.weights.parameters:,}",
                f"{facts.macs / 1e6:,.2f}",
                f"{arena.planned_bytes / 1024:,.0f}" if arena and arena.planned_bytes is not None else "-",
                f"{100 * kernels.sparsity:.0f}" if kernels else "-",
                str(len(facts.nodes)),
                str(len(facts.float_operators)),
            ]
        )
    columns = ["file ", "scheme ", "KiB", "gzip", "parameters", "MMACs", "arena KiB", "zeros %", "ops", "float ops"]
    return Table(columns, rows, spare=("ops", "float ops", "parameters", "zeros %"))


def changes(found: Difference) -> Iterable[Table | str]:
    """What changed from one file to another."""
    if found.same_bytes:
        yield "the two files hold the same bytes"
        return
    rows = [
        [change.what, _number(change.before), _number(change.after), _growth(change.before, change.after)]
        for change in found.numbers
    ]
    yield Table(["figure ", "before", "after", "change"], rows)
    yield from (f"{change.what}: {change.before} -> {change.after}" for change in found.texts)
    if found.operators:
        rows = [
            [o.name, str(o.version), str(o.before), str(o.after), _what(o.before, o.after)] for o in found.operators
        ]
        yield Table(["operator ", "version", "before", "after", "change "], rows)
    else:
        yield "operators: the same, in the same versions"
    for change in found.types:
        names = ", ".join(cut(name) for name in change.names)
        more = ", ..." if change.tensors > len(change.names) else ""
        yield f"{change.tensors} tensors {change.before} -> {change.after}: {names}{more}"
    if found.only_before or found.only_after:
        yield f"tensors by name: {found.only_before} only before, {found.only_after} only after"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}" if value % 1 else f"{value:,.0f}"


def _growth(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "-"
    if before == after:
        return "="
    return f"{after - before:+,.0f}" + (f" ({after / before:.2f} x)" if before else "")


def _what(before: int, after: int) -> str:
    return "added" if not before else "removed" if not after else f"{after - before:+d}"


def stripped(result: Stripped, proofs: Sequence[Proof], model: str, out: str) -> Iterable[Table | str]:
    """What was taken out, and who proved that nothing else changed."""
    before, after = result.before_bytes, result.after_bytes
    rows = [[one.cause, f"{-one.bytes:+,}", f"{-one.gzip_bytes:+,}"] for one in result.removed]
    whole = [
        [model, f"{before:,}", f"{result.before_gzip_bytes:,}"],
        *rows,
        [out, f"{after:,}", f"{result.after_gzip_bytes:,}"],
    ]
    yield Table(["what ", "bytes", "gzip"], whole)
    if not result.removed:
        yield "nothing to take out: the file is written as it is"
    else:
        yield f"{100 * (1 - after / before):.1f} % smaller, {_gzipped(result)}"
    for proof in proofs:
        if proof.result is None:
            yield f"{proof.runtime}: not compared ({proof.why})"
        elif proof.different:
            yield f"{_runtime(proof)}: NOT the same, {proof.different}; nothing was written"
        else:
            signatures = f", signatures {', '.join(proof.result.signatures)}" if proof.result.signatures else ""
            yield f"{_runtime(proof)}: bit for bit the same answers to {proof.result.inputs} inputs{signatures}"


def _runtime(proof: Proof) -> str:
    return f"{proof.runtime} {proof.result.runtime.version}" if proof.result else proof.runtime


def _gzipped(result: Stripped) -> str:
    share = 1 - result.after_gzip_bytes / result.before_gzip_bytes
    return f"{100 * share:.1f} % gzipped"
