"""Compares what a file holds with what the converter was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tflite_edge.flatbuffer.facts import MOST_LETTERS, Facts, TensorFact
from tflite_edge.flatbuffer.kernels import MIN_ELEMENTS
from tflite_edge.flatbuffer.scheme import QUANTIZED_TYPES
from tflite_edge.records.conversion import SPARSE_INT8_DENSE, STATIC, Conversion
from tflite_edge.records.errors import ModelError
from tflite_edge.records.learning import SIGNATURES
from tflite_edge.records.manifest import LayerEffect, StepRecord
from tflite_edge.records.verdict import Finding

# The converter's dynamic-range mode leaves smaller constants in float
# (tensorflow/lite/tools/optimize/quantize_weights.cc, kWeightsMinNumElementsDefault; so does TF 2.21).
DYNAMIC_MIN_ELEMENTS = 1024
# The converter stores a kernel with fewer zeros whole (kMinSparsityLevel in tensorflow/compiler/mlir/lite/
# transforms/dense_to_sparse_pass.cc; so does TF 2.21).
SPARSE_MIN_ZEROS = 0.3
NAMED = 5  # operators listed in a finding
# Share of what a step reached that must be in the file: a kernel may be folded into another, most may not.
LEAST_KEPT = 0.9
SHARING = ("Conv1D", "Conv2D", "Dense")  # kernels that have a scale for each channel, or that nothing is folded into

# mode -> the type that most weights must have
WEIGHT_TYPES = {
    "float32": "float32",
    "float16": "float16",
    "dynamic": "int8",
    "int8": "int8",
    "int16x8": "int8",
}

# What usually went wrong when a mode did not take.
CURES = {
    "float32": "convert without optimisations",
    "float16": "convert with float16 among the converter's supported types",
    "dynamic": "look for layers whose kernels take no int8 weights; int8 quantises those as well",
    "int8": "check that the representative dataset yields samples: an empty one silently gives a float model",
    "int16x8": "check that the representative dataset yields samples and each operator has an int16 kernel",
}


def check(facts: Facts, conversion: Conversion, steps: Sequence[StepRecord] = ()) -> list[Finding]:
    """Every promise of `conversion` that the file breaks, most important first; empty when all are kept.

    steps: what the model went through before, whose zeros and shared values must be in the file.
    """
    return [
        *_empty(facts),
        *_scheme(facts, conversion),
        *_float_operators(facts, conversion),
        *_foreign_operators(facts, conversion),
        *_edge(facts, conversion),
        *_sparse(facts, conversion),
        *_scales(facts, conversion),
        *_zeros(facts, steps),
        *_shared_values(facts, conversion, steps),
    ]


def check_trainable(facts: Facts, *, alone: bool) -> list[Finding]:
    """What keeps a file from learning on a board. alone: it is the head of a backbone in another file."""
    wanted = {*SIGNATURES, "recognize"} | (set() if alone else {"represent"})
    missing = sorted(wanted - {signature.key for signature in facts.signatures})
    found = []
    if missing:
        found.append(Finding(f"the file has no signature {', '.join(missing)}", do="report it", fatal=True))
    if alone and facts.scheme != "float":
        found.append(Finding(f"the head is {facts.scheme}, and only float has gradients", facts.scheme_why, fatal=True))
    if alone and facts.custom:
        found.append(Finding("the head has operators that are no builtins", evidence=", ".join(facts.custom)))
    return found


def refuse_sparse(facts: Facts, runtime: str) -> None:
    """Raises ModelError for a sparse file that `runtime`, one of RUNTIMES, is known to refuse, or to run wrongly."""
    for how, operators in (("unfolded", facts.sparse.unfolded), ("direct", facts.sparse.direct)):
        evidence = SPARSE_INT8_DENSE.get((runtime, how))
        if evidence and "FULLY_CONNECTED" in operators and facts.scheme.endswith("wi8ai8"):
            raise ModelError(
                f"int8 dense layers whose kernels are stored sparsely do not run on {runtime}",
                evidence=evidence,
                do='prune convolutions only, layers = ["Conv2D"], or convert int8 without sparse',
            )


def _empty(facts: Facts) -> Iterator[Finding]:
    if not facts.operators:
        yield Finding("the file has no operators", do="convert a model that computes something", fatal=True)


def _scheme(facts: Facts, conversion: Conversion) -> Iterator[Finding]:
    wanted = conversion.scheme
    if facts.scheme in (wanted, wanted.replace("static", "mixed")):  # the latter: see _float_operators
        return
    types = _weight_types(facts)
    dtype = WEIGHT_TYPES[conversion.mode]
    too_small = facts.weights.largest_elements < DYNAMIC_MIN_ELEMENTS
    if conversion.mode == "dynamic" and not types[dtype] and facts.weights.tensors and too_small:
        yield Finding(
            f"asked for {wanted}, the file is {facts.scheme}: no constant is large enough",
            evidence=f"dynamic-range quantises constants of {DYNAMIC_MIN_ELEMENTS:,} elements and more; "
            f"the largest weight here has {facts.weights.largest_elements:,}",
            do="quantise with int8, which has no such limit, or keep float16",
        )
        return
    others = [f"{count} {other}" for other, count in sorted(types.items()) if other != dtype]
    weights = f"{types[dtype]} of {facts.weights.tensors} weight tensors are {dtype}"
    if others:
        weights += f" ({', '.join(others)})"
    if not facts.weights.tensors:
        weights = "the file has no weights"
    yield Finding(
        f"asked for {wanted}, the file is {facts.scheme}",
        evidence=f"{weights}\n{facts.scheme_why}",
        do=CURES[conversion.mode],
    )


def _weight_types(facts: Facts) -> Counter[str]:
    weights = (group for group in facts.weights.constants if group.role == "weight")
    return Counter({group.dtype: group.tensors for group in weights})


def _float_operators(facts: Facts, conversion: Conversion) -> Iterator[Finding]:
    # A file that is not quantised at all is _scheme's finding, not a list of all its operators.
    spared = {name[:MOST_LETTERS] for name in conversion.repair.spare}
    floats = [op for op in facts.float_operators if op.tensor not in spared]
    if conversion.mode not in STATIC or not facts.scheme.startswith("mixed") or not floats:
        return
    named = [f"#{op.index} {op.name} -> {op.tensor} ({op.dtype})" for op in floats[:NAMED]]
    more = len(floats) - len(named)
    total = sum(count.count for count in facts.operators)
    yield Finding(
        f"{len(floats)} of {total} operators still compute in float",
        evidence="\n".join([*named, f"and {more} more"] if more else named),
        do=f"use layers that have {WEIGHT_TYPES[conversion.mode]} kernels, or move these out of the model",
    )


def _foreign_operators(facts: Facts, conversion: Conversion) -> Iterator[Finding]:
    if conversion.flex or not facts.custom:
        return
    own = [name for name in facts.custom if name not in facts.flex]
    if facts.flex:
        yield Finding(
            "the file needs TensorFlow's Flex delegate, which small runtimes do not have",
            evidence=", ".join(facts.flex),
            do="replace these layers, or allow Flex and run with a runtime that has it",
        )
    if own:
        yield Finding(
            "the file has custom operators, which a runtime knows only if someone registered them",
            evidence=", ".join(own),
            do="replace these layers by ones with builtin operators",
        )


def _edge(facts: Facts, conversion: Conversion) -> Iterator[Finding]:
    """Types at the inputs and outputs. Indices, texts and truth values have no choice of type."""
    takes = "uint8" if conversion.bake and conversion.mode not in STATIC else conversion.io
    for side, tensors, wanted in (("input", facts.inputs, takes), ("output", facts.outputs, conversion.io)):
        for tensor in tensors:
            if tensor.dtype == wanted or not _is_quantity(tensor):
                continue
            yield Finding(
                f"{side} {tensor.name} is {tensor.dtype}, asked for {wanted}",
                evidence=f"shape {list(tensor.shape)}, {_quantization(tensor)}",
                do=f"convert with {side} type {wanted}, or feed what the file takes",
            )
    if conversion.bake and conversion.mode in STATIC and conversion.io == "uint8":
        for tensor in facts.inputs:
            if tensor.dtype == "uint8" and (tensor.scale, tensor.zero_point) != (1.0, 0):
                yield Finding(
                    f"input {tensor.name} does not take raw values 0..255 as they are",
                    evidence=f"{_quantization(tensor)}; raw values need scale 1 and zero point 0",
                    do="calibrate with samples that reach both 0 and 255",
                )


def _sparse(facts: Facts, conversion: Conversion) -> Iterator[Finding]:
    stored = facts.sparse
    if not conversion.sparse:
        return
    if not stored.tensors:
        most = max((kernel.sparsity for kernel in facts.kernels), default=0.0)
        yield Finding(
            "asked for sparse storage, and no kernel is stored so",
            evidence=f"the sparsest kernel has {most:.1%} zeros; the converter wants {SPARSE_MIN_ZEROS:.0%} or more",
            do="prune first (--optimize prune=0.8), or leave sparse out",
        )
    elif stored.size_bytes >= stored.dense_bytes:
        yield Finding(
            "sparse storage makes this file larger, not smaller",
            evidence=f"{stored.tensors} kernels take {stored.size_bytes:,} bytes with the places of their values, "
            f"{stored.dense_bytes:,} if stored whole",
            do="prune more (int8 gains from about 60 % zeros), or leave sparse out",
        )


def _scales(facts: Facts, conversion: Conversion) -> Iterator[Finding]:
    if conversion.per_tensor and facts.weights.per_channel:
        yield Finding(
            f"asked for one scale for each kernel, and {facts.weights.per_channel} have one for each channel",
            do="per_tensor = false, or leave out what trains such scales",
        )


def _zeros(facts: Facts, steps: Sequence[StepRecord]) -> Iterator[Finding]:
    """A zero stays one, whatever type it is stored as and whatever its channel is multiplied by."""
    for step in _last_of("prune", steps):
        pruned = [layer for layer in _large(step) if layer.sparsity >= step.settings["sparsity"] / 2]
        promised = sum(layer.sparsity * layer.weights for layer in pruned)
        found = sum(kernel.sparsity * kernel.elements for kernel in facts.kernels)
        if found < LEAST_KEPT * promised:
            yield Finding(
                f"of the zeros that prune made {found / promised:.0%} are in the file",
                evidence=f"{promised:,.0f} in {len(pruned)} layers of Keras after prune, {found:,.0f} in the file",
                do="report it: what comes after prune must keep them",
            )


def _shared_values(facts: Facts, conversion: Conversion, steps: Sequence[StepRecord]) -> Iterator[Finding]:
    """In int8 with a scale for each channel, which takes up what a batch norm multiplies the channel by.

    Other types hold the products; so do kernels that a repair evened out.
    """
    if conversion.mode not in STATIC or conversion.per_tensor or not conversion.repair.is_plain:
        return
    for step in _last_of("cluster", steps):
        most = step.settings["clusters"]
        shared = [layer for layer in _large(step) if layer.kind in SHARING and layer.unique_per_channel <= most]
        promised = sum(layer.weights for layer in shared)
        # One more: zero, where the clusters are without it.
        found = sum(kernel.elements for kernel in facts.kernels if kernel.unique_per_channel <= most + 1)
        if found < LEAST_KEPT * promised:
            yield Finding(
                f"of the weights that cluster made share {most} values {found / promised:.0%} do so in the file",
                evidence=f"{promised:,} in {len(shared)} layers of Keras after cluster, {found:,} in the file",
                do="report it: what comes after cluster must keep them",
            )


def _last_of(name: str, steps: Sequence[StepRecord]) -> Iterator[StepRecord]:
    """The last step of that name; none where filters were removed after it, and what it had reached with them."""
    for step in reversed(steps):
        if step.name in (name, "channels"):
            if step.name == name:
                yield step
            return


def _large(step: StepRecord) -> list[LayerEffect]:
    """The kernels after the step that are kernels in a file's facts, too."""
    return [layer for layer in step.after.layers if layer.weights >= MIN_ELEMENTS]


def _is_quantity(tensor: TensorFact) -> bool:
    return tensor.dtype.startswith(("float", "bfloat")) or tensor.dtype in QUANTIZED_TYPES


def _quantization(tensor: TensorFact) -> str:
    if tensor.scale is None:
        return "not quantised"
    return f"scale {tensor.scale:g}, zero point {tensor.zero_point}"
