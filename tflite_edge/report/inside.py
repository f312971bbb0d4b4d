"""Inside of one file: where its bytes and its multiply-accumulates lie, and which layers lose what float knew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tflite_edge.flatbuffer.facts import Facts
from tflite_edge.records.layers import LayerError, Layers, dead_range, ranked, saturation, short
from tflite_edge.report.evidence import Evidence
from tflite_edge.report.figures.bars import Column, Row, bars
from tflite_edge.report.page import Figure, Note, Part, Section, Table, Text
from tflite_edge.report.svg import Canvas
from tflite_edge.report.words import called, rounded, thousands

MOST_ROWS = 40  # of a figure
LEAST = 0.0005  # of all bytes or all MACs: what has less of both would be a row without bars
WORST_SHOWN = 3
ALONE = 900  # pixels of a figure that is a file
GRID_DB = 10
MOST_FINDINGS = 8


@dataclass(frozen=True)
class Held:
    """One operator. bytes: of the constants that it is the first to take."""

    index: int
    operator: str
    layer: str
    shape: tuple[int, ...]
    bytes: int
    macs: int | None


def held(facts: Facts) -> list[Held]:
    """The operators of the subgraph that a runtime runs, in its order. Shared constants count once."""
    tensors = {tensor.index: tensor for tensor in facts.tensors if tensor.subgraph == 0}
    seen: set[int] = set()
    found = []
    for node in facts.nodes:
        if node.subgraph:
            continue
        own = [index for index in node.inputs if index in tensors and tensors[index].constant and index not in seen]
        seen.update(own)
        output = tensors[node.outputs[0]] if node.outputs and node.outputs[0] in tensors else None
        found.append(
            Held(
                node.index,
                node.name,
                short(output.name) if output else "",
                output.shape if output else (),
                sum(tensors[index].size_bytes for index in own),
                node.macs,
            )
        )
    return found


def size_section(found: Evidence) -> Section:
    chosen = found.chosen
    facts = found.facts.get(chosen.file) if chosen else None
    if chosen is None or facts is None:
        return Section("size", "Where the bytes are", [])
    operators = held(facts)
    parts: list[Part] = [Text(_weighed(facts)), _by_operator(called(chosen), operators)]
    kinds = _kinds(operators)
    parts.append(Table(["operator ", "count", "bytes of constants", "MACs", "MACs %"], kinds, "By kind of operator"))
    return Section("size", "Where the bytes are", parts)


def _weighed(facts: Facts) -> str:
    file = facts.file
    said = (
        f"{file.name}: {file.size_bytes:,} bytes, {file.container_bytes:,} of them structure, names and scales; "
        f"{facts.weights.parameters:,} parameters and {facts.macs:,} multiply-accumulates in one run"
    )
    said += f" ({facts.macs_why})." if facts.macs_why else "."
    arena = facts.arena
    if arena and arena.planned_bytes is not None:
        said += f" Activations need {arena.planned_bytes:,} bytes, estimated without the kernels' scratch."
    return said


def _by_operator(name: str, operators: Sequence[Held]) -> Figure:
    whole = _sum(operators, "bytes"), _sum(operators, "macs")

    def weight(one: Held) -> float:
        return max(one.bytes / whole[0], (one.macs or 0) / whole[1])

    heavy = [one for one in operators if weight(one) >= LEAST] or list(operators)
    shown = sorted(heavy, key=weight, reverse=True)
    kept = {one.index for one in shown[:MOST_ROWS]}
    rows = [
        Row(f"{one.index}  {one.layer or one.operator}", (one.bytes / 1024, (one.macs or 0) / 1e6), tip=one.operator)
        for one in heavy
        if one.index in kept
    ]
    columns = [Column("KiB of weights", lambda value: f"{value:,.1f}"), Column("million MACs", lambda v: f"{v:,.3f}")]
    more = f" The {len(rows)} heaviest of {len(operators)}; the table has all." if len(rows) < len(operators) else ""
    table = [
        [str(o.index), o.operator, o.layer, str(list(o.shape)), f"{o.bytes:,}", thousands(o.macs)] for o in operators
    ]
    return Figure(
        "operators",
        f"Bytes and computation of each operator of {name}",
        f"Two bars for each of {len(rows)} operators: kibibytes of weights and millions of multiply-accumulates.",
        lambda width: bars(width, columns, rows),
        Table(["#", "operator ", "layer ", "shape ", "bytes", "MACs"], table),
        f"In the order in which they run.{more}",
    )


def _sum(operators: Sequence[Held], key: str) -> float:
    return sum(getattr(one, key) or 0 for one in operators) or 1.0


def _kinds(operators: Sequence[Held]) -> list[list[str]]:
    groups: dict[str, list[Held]] = {}
    for one in operators:
        groups.setdefault(one.operator, []).append(one)
    whole = _sum(operators, "macs")
    ordered = sorted(groups.items(), key=lambda group: -sum(one.bytes for one in group[1]))
    rows = []
    for name, own in ordered:
        macs = sum(one.macs or 0 for one in own)
        count, size = str(len(own)), f"{sum(one.bytes for one in own):,}"
        rows.append([name, count, size, f"{macs:,}" if macs else "-", f"{100 * macs / whole:.1f}" if macs else "-"])
    return rows


def error_section(found: Evidence) -> Section:
    layers = found.layers
    if layers is None:
        return Section("layers", "What quantisation costs, layer by layer", [Text(found.layers_why)])
    agreement = "" if layers.agreement is None else f"; both answer the same class on {layers.agreement:.1%}"
    parts: list[Part] = [
        Text(
            f"{found.layers_files[1]} against {found.layers_files[0]} on {layers.samples} samples "
            f"({layers.inputs}), {layers.runtime}, {layers.kernels} kernels{agreement}. The signal is what the float "
            "file computes, the noise the difference to it. " + found.layers_why
        ),
        Figure(
            "noise",
            "Signal to quantisation noise of each layer",
            f"A bar for each of {len(layers.layers)} layers, in decibels; longer is better.",
            lambda width: noise(width, layers),
            _noise_table(layers),
            "Longer is better; red: the layers that add most noise of their own to that of their inputs.",
        ),
    ]
    parts += [Note(f.what, [f.evidence, f"do: {f.do}"]) for f in layers.findings[:MOST_FINDINGS]]
    if len(layers.findings) > MOST_FINDINGS:
        parts.append(Text(f"{len(layers.findings) - MOST_FINDINGS} more findings: tflite-edge compare --layers"))
    return Section("layers", "What quantisation costs, layer by layer", parts)


def noise(width: float, layers: Layers, *, top: float = 0) -> Canvas:
    """A bar of signal to quantisation noise for each layer, in the order in which they run; the worst stand out.

    Worst: those that add most noise of their own. Layers without noise have the longest bar.
    """
    known = [layer.sqnr_db for layer in layers.layers if layer.sqnr_db is not None]
    most = float(GRID_DB * (int(max([*known, GRID_DB]) // GRID_DB) + 1))
    worst = {number for number in layers.ranked[:WORST_SHOWN] if layers.layers[number].added > 0}
    column = Column("dB", _decibel, most, grid=True)
    rows = [_row(layer, most, strong=layer.number in worst) for layer in layers.layers]
    return bars(width, [column], rows, top=top)


def noise_alone(layers: Layers, title: str) -> str:
    """The same as an SVG file of its own."""
    about = f"signal to quantisation noise of each layer in dB, {layers.samples} samples; longer is better"
    canvas = noise(ALONE, layers, top=56)
    canvas.text(0, 16, title, size=15, bold=True)
    canvas.text(0, 36, f"{about}; red: adds most noise of its own", colour="muted")
    return canvas.document(title, about, alone=True)


def _decibel(_value: float) -> str:
    return ""  # the row's note says it, and what a number cannot: no noise, no signal


def _row(layer: LayerError, most: float, *, strong: bool) -> Row:
    nothing = "no noise" if layer.noise == 0 else "no signal"
    notes = [nothing if layer.sqnr_db is None else rounded(layer.sqnr_db)]
    if saturation(layer):
        notes.append(f"saturates ({layer.clipped:.1%})")
    if dead_range(layer):
        notes.append(f"{layer.used_steps} of {layer.all_steps} steps")
    value = most if layer.sqnr_db is None else layer.sqnr_db
    label = f"{layer.number}  {short(layer.name, 30)}"
    return Row(label, [value], strong, ", ".join(notes), f"{layer.operator} {layer.name}")


def _noise_table(layers: Layers) -> Table:
    rows = [
        [
            str(layer.number),
            layer.operator,
            short(layer.name, 30),
            "-" if layer.sqnr_db is None else rounded(layer.sqnr_db),
            f"{100 * layer.added:.2f}",
            "-" if layer.cosine is None else f"{layer.cosine:.4f}",
            "-" if layer.used_steps is None else f"{layer.used_steps} of {layer.all_steps}",
        ]
        for layer in ranked(layers.layers)
    ]
    return Table(["#", "operator ", "layer ", "SQNR dB", "adds %", "cosine", "steps used"], rows, "The worst first")
