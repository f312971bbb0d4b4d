"""The samples that two runs are asked: given, found beside the model, or made up."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tflite_edge.flatbuffer import Facts
from tflite_edge.harness.pack import Pack, load_pack
from tflite_edge.harness.preprocess import dequantize
from tflite_edge.records.errors import DataError
from tflite_edge.records.event import Listener, silent
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.samples import Made, made_with, refuse_without_edges, samples_of

SEED = 7
MOST_VALUES = 1 << 26  # that are made up: 256 MiB as float32, and all 200 samples of 334 x 334 x 3
SAMPLES = "samples.npz"

Array = NDArray[Any]


@dataclass(frozen=True)
class Inputs:
    """What every run is asked. source: where it comes from, in words. random: made up, so classes mean nothing."""

    pack: Pack
    preprocess: Preprocess
    source: str
    random: bool = False
    notes: tuple[str, ...] = ()


def find_inputs(path: Path, facts: Facts, data: str, most: int, listen: Listener = silent) -> Inputs:
    """Up to `most` samples, spread evenly: of `data`, else of samples.npz beside the model, else made up.

    Raises DataError where they cannot be what the model takes, ModelError where it takes or answers nothing.
    """
    refuse_without_edges(path, facts)
    made = made_with(path, facts.file.sha256)
    if data:
        found = samples_of(path, facts, data, most=most, listen=listen)
        pack = Pack(found.x, found.y, None, anomaly=found.anomaly)
        notes = (f"normalize: {found.why}", *found.notes)
        inputs = Inputs(pack, found.fed, f"test samples of {data}", notes=notes)
    elif made and (made.folder / SAMPLES).is_file():
        inputs = _beside(made)
    else:
        inputs = _made_up(facts, most)
    return replace(inputs, pack=_spread(inputs.pack, most))


def _beside(made: Made) -> Inputs:
    """The samples that `convert` left. An original is held against the float model as it came."""
    record = made.manifest.preprocess
    pack = load_pack(str(made.folder / SAMPLES))
    if made.variant.original and pack.baseline is not None:
        pack = pack._replace(reference=pack.baseline)
    fed = Preprocess(channels=record.channels) if made.variant.baked else record
    return Inputs(pack._replace(baseline=None), fed, f"{SAMPLES} beside the model")


def _spread(pack: Pack, most: int) -> Pack:
    count = min(most, len(pack.x))
    chosen = np.linspace(0, len(pack.x) - 1, count).round().astype(int)

    def some(part: Array | None) -> Array | None:
        return None if part is None else part[chosen]

    return pack._replace(x=pack.x[chosen], y=some(pack.y), reference=some(pack.reference))


def _made_up(facts: Facts, count: int) -> Inputs:
    """Random values that the input can hold: floats in [-1, 1], quantised ones over their whole range."""
    tensor = facts.inputs[0]
    each = math.prod(tensor.shape[1:])
    if min(tensor.shape, default=1) < 1 or each > MOST_VALUES:
        raise DataError(
            "nothing can be made up for an input of this shape",
            evidence=f"{tensor.name} is {list(tensor.shape)}",
            do="give --data, and look at the file: tflite-edge inspect",
        )
    some = min(count, MOST_VALUES // each)
    notes = (
        (f"{some} of {count} samples are made up: more of {each:,} values each are too large",) if some < count else ()
    )
    shape = (some, *tensor.shape[1:])
    generator = np.random.default_rng(SEED)
    if tensor.dtype not in ("float32", "float16", "int8", "uint8", "int16", "int32", "int64"):
        raise DataError(f"nothing valid can be made up for an input of {tensor.dtype}", do="give --data")
    dtype = np.dtype(tensor.dtype)
    if dtype.kind == "f":
        x = np.empty(shape, np.float32)
        for place in range(some):  # one by one: all together they would be float64 first
            x[place] = generator.uniform(-1.0, 1.0, shape[1:])
    elif dtype.itemsize <= 2:
        limits = np.iinfo(dtype)
        stored = generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
        x = dequantize(stored, tensor.scale, tensor.zero_point or 0) if tensor.scale else stored
    else:  # wide integers are indices as a rule, and an index out of range is a crash
        x = generator.integers(0, 2, shape).astype(dtype)
    record = Preprocess(channels=shape[-1] if len(shape) > 1 else 1)
    source = "random values: there is no samples.npz beside the model, and no --data"
    return Inputs(Pack(x, None, None), record, source, random=True, notes=notes)


def write_inputs(folder: Path, inputs: Inputs) -> Path:
    """As a pack in `folder`."""
    from tflite_edge.tf.data.packs import write_pack

    pack = inputs.pack
    return write_pack(folder / "pack.npz", pack.x, pack.y, pack.reference, pack.baseline, anomaly=pack.anomaly)
