"""Two flatbuffers of one network, float and quantised: where does the second lose what the first knew?"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tflite_edge import flatbuffer
from tflite_edge.flatbuffer import Facts
from tflite_edge.flatbuffer.graph import Graph, graphs
from tflite_edge.flatbuffer.match import Match, match
from tflite_edge.flatbuffer.reader import read
from tflite_edge.inputs import Inputs, find_inputs, write_inputs
from tflite_edge.records.errors import DataError, ModelError
from tflite_edge.records.event import Event, Listener, silent
from tflite_edge.records.job import Job, LayersResult
from tflite_edge.records.layers import Layers, findings, layer_errors, ranked
from tflite_edge.records.plain import from_plain
from tflite_edge.records.verdict import verdict_of
from tflite_edge.samples import made_with
from tflite_edge.targets import open_machine
from tflite_edge.targets.machine import DEADLINE_S

# tflite-runtime 2.14 adds in place although it is told to keep all tensors: what went into an ADD then reads as its
# result, silently. A test holds ai-edge-litert to not doing that.
RUNTIME = "ai-edge-litert"


def compare_layers(
    float_model: str | Path,
    quantized_model: str | Path,
    data: str = "",
    *,
    samples: int = 200,
    deadline_s: float = DEADLINE_S,
    listen: Listener = silent,
) -> Layers:
    """Run both files on the same samples and compare every pair of tensors that should hold the same values.

    Samples come from samples.npz beside either file, or from the test samples of `data`; random ones would say
    nothing of ranges. Both run with built-in kernels and without delegates, which keep no intermediate tensors.
    Raises EdgeError.
    """
    paths = Path(float_model), Path(quantized_model)
    facts = flatbuffer.inspect(paths[0]), flatbuffer.inspect(paths[1])
    ours, theirs = (graphs(read(path))[0] for path in paths)
    _refuse_others(paths, facts)
    found = match(ours, theirs)
    _refuse_strangers(paths, found)
    inputs = _inputs(paths, facts, data, samples, listen)
    listen(Event("layers", f"{len(found.layers)} layers on {len(inputs.pack.x)} samples"))
    result = _measure(paths, found, inputs, deadline_s)
    layers = layer_errors(
        [(layer.name, layer.operator, layer.shape, layer.how) for layer in found.layers],
        [layer.sources for layer in found.layers],
        result.stats,
        _zero_points(found, theirs),
    )
    faults = list(findings(layers))
    return Layers(
        facts[1].scheme, result.samples, inputs.source, f"{result.runtime.name} {result.runtime.version}",
        result.kernels, result.agreement, layers, [layer.number for layer in ranked(layers)],
        list(found.unmatched_float), list(found.unmatched_quantized), faults, verdict_of(faults), list(inputs.notes),
    )  # fmt: skip


def _measure(paths: tuple[Path, Path], found: Match, inputs: Inputs, deadline_s: float) -> LayersResult:
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        job = Job(
            "layers",
            str(paths[0]),
            runtime=RUNTIME,
            kernels="builtin",
            pack=str(write_inputs(Path(work), inputs)),
            preprocess=inputs.preprocess,
            against=str(paths[1]),
            pairs=tuple((layer.float_index, layer.quantized_index) for layer in found.layers),
        )
        return from_plain(LayersResult, open_machine("local").run(job, deadline_s=deadline_s))


def _zero_points(found: Match, theirs: Graph) -> list[int]:
    return [theirs.tensors[layer.quantized_index].zero_point or 0 for layer in found.layers]


def _refuse_others(paths: tuple[Path, Path], facts: tuple[Facts, Facts]) -> None:
    """The first must be the float file and both must take the same input. Raises ModelError."""
    if not facts[0].scheme.startswith(("float", "weightonly")):
        swapped = facts[1].scheme.startswith(("float", "weightonly"))
        raise ModelError(
            f"{paths[0]} is not a float model",
            evidence=f"{facts[0].scheme}: {facts[0].scheme_why}",
            do="give the float file first" if swapped else "give the float file that both were made from",
        )
    shapes = [[list(tensor.shape) for tensor in one.inputs] for one in facts]
    if shapes[0] != shapes[1]:
        raise ModelError(
            "the two models do not take the same input",
            evidence=f"{paths[0]}: {shapes[0]}\n{paths[1]}: {shapes[1]}",
            do="give two files of the same network",
        )


def _refuse_strangers(paths: tuple[Path, Path], found: Match) -> None:
    """Raises ModelError unless most results of the smaller graph have a twin."""
    pairs = sum(layer.operator != "input" for layer in found.layers)
    without = min(len(found.unmatched_float), len(found.unmatched_quantized))
    if pairs == 0 or without > pairs:
        raise ModelError(
            f"{paths[0]} and {paths[1]} are not the same network",
            evidence=f"{pairs} results match by name or by place; {len(found.unmatched_float)} and "
            f"{len(found.unmatched_quantized)} do not",
            do="give the float and the quantised file of one conversion",
        )


def _inputs(paths: tuple[Path, Path], facts: tuple[Facts, Facts], data: str, most: int, listen: Listener) -> Inputs:
    """Real samples for both files. Raises DataError where there are none, or where only one is baked."""
    made = [made_with(path, one.file.sha256) for path, one in zip(paths, facts, strict=True)]
    baked = {one.variant.baked for one in made if one}
    if len(baked) > 1:
        raise DataError(
            "one of the two models has its preprocessing baked in and the other has not",
            do="compare files of one conversion, with --bake for both or neither",
        )
    first = 0 if made[0] or not made[1] else 1  # the manifest beside either tells the preprocessing
    inputs = find_inputs(paths[first], facts[first], data, most, listen)
    if inputs.random:
        raise DataError(
            "layers are compared on real samples, and there are none",
            evidence="no samples.npz beside the models, and no --data; ranges on random values would mean nothing",
            do="--data DATA, such as --data digits, a folder of images or an .npz",
        )
    return inputs
