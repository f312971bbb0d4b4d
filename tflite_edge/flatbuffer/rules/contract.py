"""The runtime contract: would this file load on that runtime, and answer rightly there?

What an operator's version stands for is in tensorflow/lite/tools/versioning/op_version.cc of TensorFlow (read at commit
02087409, 2024).
"""

from __future__ import annotations

from collections.abc import Iterator

from tflite_edge.flatbuffer.claims import refuse_sparse
from tflite_edge.flatbuffer.graph import Graph, Operator
from tflite_edge.flatbuffer.rules import kernels, micro
from tflite_edge.flatbuffer.rules.engine import Model, Rule, Site, sentence
from tflite_edge.flatbuffer.rules.runtimes import RuntimeTable, knowing, latest
from tflite_edge.records.conversion import DENSE_PER_TENSOR
from tflite_edge.records.errors import ModelError
from tflite_edge.records.verdict import Finding

NAMED = 5  # operators listed in a finding
SCHEMA_VERSION = 3
INTEGERS = ("int8", "uint8", "int16", "int4")
# Weights in int8 with a scale for each channel, activations in float.
HYBRID_PER_CHANNEL = ("FULLY_CONNECTED", 12)
# The first version of TensorFlow whose converter gives dense weights a scale for each channel.
PER_CHANNEL_DENSE = "TensorFlow 2.16 and later write them"
# Of custom operators the wheels have these; asked with files of one operator on tflite-runtime 2.14.0 and
# ai-edge-litert 2.3.0, which call any other name unresolved.
IN_WHEELS = ("AudioSpectrogram", "Mfcc", "NumericVerify", "TFLite_Detection_PostProcess")
CUSTOM = {"ai-edge-litert": IN_WHEELS, "tflite-runtime": IN_WHEELS}


def contract(model: Model, table: RuntimeTable) -> list[Finding]:
    """What breaks on the runtime, most important first. Fatal: the file does not load; others load and mislead."""
    return [
        *_schema(model),
        *_operators(model, table),
        *_custom(model, table),
        *_types(model, table),
        *_sparse(model, table),
        *_micro_kernels(model, table),
        *_per_channel_dense(model, table),
        *_understated(model, table),
        *_variables(model, table),
        *_open_axes(model, table),
        *_min_runtime_version(model, table),
    ]


def _each(model: Model) -> Iterator[tuple[Graph, Operator]]:
    for graph in model.graphs:
        for operator in graph.operators:
            yield graph, operator


def _place(graph: Graph, operator: Operator) -> str:
    inside = f" of subgraph {graph.index}" if graph.index else ""
    output = f" -> {operator.outputs[0].name[:60]}" if operator.outputs else ""
    return f"#{operator.index}{inside}{output}"


def _schema(model: Model) -> Iterator[Finding]:
    version = model.facts.file.schema_version
    if version != SCHEMA_VERSION:
        yield Finding(
            f"the file has schema version {version}, and every runtime takes {SCHEMA_VERSION}",
            do="convert the model again",
            fatal=True,
        )


def _operators(model: Model, table: RuntimeTable) -> Iterator[Finding]:
    missed: dict[tuple[str, int], list[str]] = {}
    quantized = set()
    for graph, operator in _each(model):
        if not operator.custom and not table.knows(operator.name, operator.version):
            missed.setdefault((operator.name, operator.version), []).append(_place(graph, operator))
            if any(tensor.dtype in INTEGERS for tensor in (*operator.inputs, *operator.outputs)):
                quantized.add((operator.name, operator.version))
    for (name, version), places in missed.items():
        versions = table.operators.get(name)
        does = f"knows {name} {versions.replace('-', ' to ')}" if versions else f"has no {name}"
        yield Finding(
            f"{name} version {version} does not load on {table.title}, which {does}",
            _listed(places),
            cure(name, version, table, quantized=(name, version) in quantized),
            fatal=True,
        )


def cure(name: str, version: int, table: RuntimeTable, *, quantized: bool) -> str:
    """What to do about an operator version that the runtime does not know."""
    cures = []
    if (name, version) == HYBRID_PER_CHANNEL and (table.name, "dynamic") in DENSE_PER_TENSOR:
        cures = [
            f"convert with --runtime {table.name}=={table.version}, which gives dense layers one scale",
            "convert with --quantize int8",
        ]
    elif name in table.operators and quantized:
        # Of nearly every operator the versions grew with the types: float32 has the first.
        cures = ["convert with --quantize float32 or float16, where the operator computes in float32"]
    else:
        cures = ["use layers without it"]
    newer = [] if table.name == "tflite-micro" else [f"run it on {one}" for one in knowing(name, version)]
    return "; or ".join(cures + newer)


def _listed(places: list[str]) -> str:
    more = len(places) - NAMED
    return "\n".join([*places[:NAMED], *([f"and {more} more"] if more > 0 else [])])


def _custom(model: Model, table: RuntimeTable) -> Iterator[Finding]:
    flex = model.facts.flex
    if flex:
        yield Finding(
            f"the file needs TensorFlow's Flex delegate, and {table.title} has none",
            ", ".join(flex),
            "replace these layers by ones with builtin operators, and convert without --flex",
            fatal=True,
        )
    own = [name for name in model.facts.custom if name not in flex and name not in CUSTOM.get(table.name, ())]
    if own:
        listed = ", ".join(name[:80] for name in own)
        if table.name == "tflite-micro":
            yield Finding(
                f"custom operators are not builtins of {table.title}: the file starts only where each is registered",
                listed,
                micro.REGISTER,
                fatal=True,
            )
            return
        yield Finding(
            f"{table.title} has no kernels for custom operators: the file loads, and cannot be prepared",
            listed,
            "replace these layers, or register the operators in your own program",
            fatal=True,
        )


def _types(model: Model, table: RuntimeTable) -> Iterator[Finding]:
    if table.name == "tflite-micro":  # _micro_kernels
        return
    refused = [
        (graph, operator)
        for graph, operator in _each(model)
        if not operator.custom and kernels.refuses(table.name, table.version, operator)
    ]
    if refused:
        yield Finding(
            f"{table.title} has no kernel for the types of {len(refused)} operators, although it knows them",
            _listed([f"{one.name} {_place(graph, one)}: {kernels.types(one)}" for graph, one in refused]),
            _other_types([one for _, one in refused], table),
            fatal=True,
        )


def _other_types(operators: list[Operator], table: RuntimeTable) -> str:
    """What to do about types that a kernel refuses: only what was run."""
    modes = set.intersection(*(kernels.modes(table.name, table.version, one.name) for one in operators))
    cures = [f"convert with --quantize {' or '.join(sorted(modes, reverse=True))}"] if modes else []
    cures += [
        f"run it on {other.title}"
        for other in (latest("ai-edge-litert"), latest("tflite-runtime"))
        if all(kernels.takes(other.name, other.version, one) for one in operators)
    ]
    return "; or ".join(cures or ["use layers without them"])


def _sparse(model: Model, table: RuntimeTable) -> Iterator[Finding]:
    try:
        refuse_sparse(model.facts, table.name)
    except ModelError as error:
        yield Finding(error.what, error.evidence, error.do, fatal=True)
    stored = model.facts.sparse
    if stored.tensors and table.name == "tflite-micro":
        yield Finding(
            f"{table.title} does not unfold sparse constants", f"{stored.tensors} tensors", "convert without --sparse",
            fatal=True,
        )  # fmt: skip


def _micro_kernels(model: Model, table: RuntimeTable) -> Iterator[Finding]:
    """TFLite Micro knows operators and no versions: the types that a version stands for are looked at one by one."""
    if table.name != "tflite-micro":
        return
    asked: tuple[Rule, ...] = (micro.types, micro.stored_shapes, micro.not_hybrid, micro.kernel_types)
    refused: dict[Rule, list[str]] = {}
    for graph, operator in _each(model):
        for rule in asked:
            holds, evidence = rule(Site(operator, graph, model))
            if not holds:
                refused.setdefault(rule, []).append(f"{operator.name} {_place(graph, operator)}: {evidence}")
                break  # what a later rule says of it is the same fault
    for rule, places in refused.items():
        yield Finding(
            f"{table.title} does not take {len(places)} operators as they are: {sentence(rule)}",
            _listed(places),
            micro.MICRO.edits[rule.__name__],
            fatal=True,
        )


def _per_channel_dense(model: Model, table: RuntimeTable) -> Iterator[Finding]:
    places = [
        f"{_place(graph, operator)}: {weights.scales} scales"
        for graph, operator in _each(model)
        if micro.dense_with_several_scales(operator)
        for weights in operator.inputs[1:2]
    ]
    if places and table.name == "tflite-micro":
        yield Finding(
            f"dense weights have a scale for each channel ({PER_CHANNEL_DENSE}): older TFLite Micro builds answer "
            "wrongly, without an error",
            _listed(places),
            "convert with --runtime tflite-micro, which gives dense layers one scale",
        )


def _understated(model: Model, table: RuntimeTable) -> Iterator[Finding]:
    """LiteRT Quantizer writes version 1 of every operator: what needs a newer kernel then loads all the same.

    tflite-runtime 2.14 takes the first scale for all channels (tests/tf/test_litert.py asks it). Its convolutions know
    several.
    """
    name, version = HYBRID_PER_CHANNEL
    if table.name == "tflite-micro" or table.knows(name, version):
        return
    places = [
        f"{_place(graph, operator)}: version {operator.version}, {operator.inputs[1].scales} scales"
        for graph, operator in _each(model)
        if operator.name == name and operator.version < version and len(operator.inputs) > 1
        if operator.inputs[0].dtype == "float32" and operator.inputs[1].dtype == "int8"
        if operator.inputs[1].scales > 1
    ]
    if places:
        yield Finding(
            f"{len(places)} dense layers load on {table.title} and answer wrongly there: int8 weights with a scale for "
            f"each channel beside float values are {name} {version}, whatever the file says",
            _listed(places),
            cure(name, version, table, quantized=True),
        )


def _variables(model: Model, table: RuntimeTable) -> Iterator[Finding]:
    names = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"}
    used = sorted({o.name for _, o in _each(model)} & names)
    if used and table.name == "tflite-micro":
        yield Finding(
            "the file keeps state in resource variables, which a microcontroller build must be given memory for",
            ", ".join(used),
            "create the interpreter with MicroResourceVariables, or keep the state in your own program",
        )


def _open_axes(model: Model, table: RuntimeTable) -> Iterator[Finding]:
    holds, evidence = micro.fixed_axes(model)
    if not holds and table.name == "tflite-micro":
        yield Finding(f"{table.title}: {sentence(micro.fixed_axes)}", evidence, micro.FIXED)


def _min_runtime_version(model: Model, table: RuntimeTable) -> Iterator[Finding]:
    wanted = model.facts.file.min_runtime_version
    parts = (wanted or "").split(".")
    # Only tflite-runtime counts as TensorFlow does. Its operators decide; the file's word is a second opinion.
    if table.name != "tflite-runtime" or len(parts) < 2 or not all(part.isdigit() for part in parts[:2]):
        return
    have = [int(part) for part in table.version.split(".")[:2]]
    if [int(part) for part in parts[:2]] > have and all(table.knows(o.name, o.version) for _, o in _each(model)):
        yield Finding(
            f"the file says that it needs runtime {wanted[:16] if wanted else ''}, and this is {table.version}, "
            "although every operator is known",
            "min_runtime_version in the file's metadata",
            f"run it there: tflite-edge bench MODEL --runtime {table.name}",
        )
