"""What is known of a representative dataset: what it makes every tensor reach, beside other training samples."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tflite_edge.flatbuffer.graph import graphs
from tflite_edge.flatbuffer.match import Layer, match
from tflite_edge.flatbuffer.reader import read
from tflite_edge.harness.preprocess import normalize
from tflite_edge.records.calibration import ENOUGH, MOST_STRETCH, CalibrationFacts, Doubt, Outlier, Reach
from tflite_edge.records.conversion import Conversion
from tflite_edge.records.job import Job, RangesResult
from tflite_edge.records.layers import FIXED_RANGE, SAME_SCALE
from tflite_edge.records.plain import from_plain
from tflite_edge.records.preprocess import NORMALIZATIONS, Preprocess
from tflite_edge.targets import open_machine

if TYPE_CHECKING:
    from tflite_edge.tf.convert.variants import Variants
    from tflite_edge.tf.data.dataset import Split
    from tflite_edge.tf.source import Source

Array = NDArray[Any]

# Where tensors are read: `layers.py` says why.
RUNTIME, KERNELS = "ai-edge-litert", "builtin"


def ranges_of(source: Source, variants: Variants, held: Split, work: Path) -> tuple[list[Layer], Array, list[float]]:
    """(layers, float64 [N, layers, 2] what each reached on each sample, share clipped): the set first, then `held`."""
    from tflite_edge.tf.data.packs import write_pack

    whole = variants.of(source).make(Conversion("float32"))
    graph = graphs(read(whole))[0]
    layers = list(match(graph, graph).layers)
    samples = np.concatenate([source.data.calibration.x, held.x])
    job = Job(
        "ranges", str(whole), RUNTIME, kernels=KERNELS,
        pack=str(write_pack(work / "ranges.npz", samples, None)), preprocess=Preprocess(channels=samples.shape[-1]),
        tensors=tuple(layer.float_index for layer in layers),
        head=len(source.data.calibration), outputs=str(work / "ranges.npy"),
    )  # fmt: skip
    run = open_machine("local").run(job, deadline_s=source.recipe.target.deadline_s)
    return layers, np.load(work / "ranges.npy").astype(np.float64), from_plain(RangesResult, run).clipped


def facts_of(
    source: Source, held: Split, layers: list[Layer], reached: Array, clipped: list[float]
) -> CalibrationFacts:
    own = source.data.calibration
    count = len(own)
    # What the operator's mathematics bounds, or its input, tells nothing more of the samples.
    free = [place for place, layer in enumerate(layers) if layer.operator not in (*FIXED_RANGE, *SAME_SCALE)]
    reached, layers = reached[:, free], [layers[place] for place in free]
    ours, all_of_them = _widths(reached[:count]), _widths(reached)
    coverage = ours / np.maximum(all_of_them, np.finfo(np.float64).tiny)
    tensors = []
    for place, layer in enumerate(layers):
        low, high = _ends(reached[:count, place])
        held_low, held_high = _ends(reached[count:, place])
        used = min(1.0, (max(held_high, 0.0) - min(held_low, 0.0)) / ours[place]) if ours[place] else 1.0
        share = clipped[free[place]]
        tensors.append(
            Reach(layer.name, layer.operator, low, high, held_low, held_high, share, float(coverage[place]), used)
        )
    constant, duplicates = _useless(own.raw)
    counts, counted = _counts(source)
    return CalibrationFacts(
        count, len(held), float(np.quantile(coverage, 0.1)), _enough(reached[:count]), tensors,
        _outliers(reached[:count], layers), constant, duplicates, counts, counted, _doubt(source),
        _looks(source, tensors[0]),
    )  # fmt: skip


def _ends(reached: Array) -> tuple[float, float]:
    return float(reached[:, 0].min()), float(reached[:, 1].max())


def _widths(reached: Array) -> Array:
    """float64 [layers]: of the ranges, which always hold 0."""
    widths: Array = np.maximum(reached[..., 1].max(axis=0), 0.0) - np.minimum(reached[..., 0].min(axis=0), 0.0)
    return widths


def _enough(reached: Array) -> int | None:
    """The fewest samples from the front, up to a half, that reach ENOUGH of each range in nine of ten tensors; never
    less than the converter may be given."""
    from tflite_edge.tf.data.dataset import MIN_CALIBRATION

    whole = np.maximum(_widths(reached), np.finfo(np.float64).tiny)
    high = np.maximum(np.maximum.accumulate(reached[..., 1], axis=0), 0.0)
    low = np.minimum(np.minimum.accumulate(reached[..., 0], axis=0), 0.0)
    shares = np.quantile((high - low) / whole, 0.1, axis=1)
    first = max(MIN_CALIBRATION, int(np.argmax(shares >= ENOUGH)) + 1)
    return first if first <= len(reached) // 2 else None


def _outliers(reached: Array, layers: list[Layer]) -> list[Outlier]:
    """Samples that alone stretch a range, the worst first; each is taken out before the next is looked for."""
    left, found = list(range(len(reached))), list[Outlier]()
    while len(found) < max(1, len(reached) // 50):
        kept = reached[left]
        whole, without = _widths(kept), _widths_without(kept)
        stretch = whole / np.maximum(without, np.finfo(np.float64).tiny)  # [n, layers]
        stretch[:, whole == 0] = 1.0
        place, layer = np.unravel_index(int(stretch.argmax()), stretch.shape)
        if stretch[place, layer] < MOST_STRETCH:
            break
        found.append(Outlier(left.pop(int(place)), float(stretch[place, layer]), layers[int(layer)].name))
    return found


def _widths_without(reached: Array) -> Array:
    """float64 [n, layers]: the widths of the ranges without each sample."""
    ends = []
    for values, sign in ((reached[..., 1], 1.0), (reached[..., 0], -1.0)):
        first, second = -np.sort(-sign * values, axis=0)[:2]
        ends.append(np.maximum(np.where(sign * values == first, second, first), 0.0))
    widths: Array = ends[0] + ends[1]
    return widths


def _useless(raw: Array) -> tuple[list[int], list[int]]:
    """(samples of one value, samples that repeat an earlier one)."""
    seen: set[bytes] = set()
    constant, duplicates = [], []
    for number, sample in enumerate(raw):
        digest = hashlib.sha256(np.ascontiguousarray(sample).tobytes()).digest()
        if sample.min() == sample.max():
            constant.append(number)
        elif digest in seen:
            duplicates.append(number)
        seen.add(digest)
    return constant, duplicates


def _counts(source: Source) -> tuple[dict[str, int], str]:
    """(samples of each class by its name, how they were told), ({}, "") where there are no classes."""
    from tflite_edge.tf.source import predict

    data = source.data
    own, classes = data.calibration, data.pool.classes
    if data.task != "classification" or not classes:
        return {}, ""
    if own.y is not None and np.issubdtype(own.y.dtype, np.integer) and set(own.pool.classes) <= set(classes):
        names, counted = [own.pool.classes[number] for number in own.y], "labels"
    else:
        names, counted = [classes[number] for number in predict(source.model, own.x).argmax(axis=-1)], "answers"
    return {name: names.count(name) for name in classes}, counted


def _doubt(source: Source) -> Doubt | None:
    """Where a normalisation was named for images: whether another one is surely right more often."""
    from tflite_edge.tf.data.normalization import may_be_chance, trials
    from tflite_edge.tf.source import predict

    data, asked = source.data, source.recipe.data
    if asked.normalize == "auto" or not data.pool.are_images or data.task != "classification":
        return None
    samples = data.unseen_by_the_test()
    shape = tuple(source.model.input_shape[1:])
    tried = trials(data.pool, shape, replace(asked, normalize="auto"))
    tried = {asked.normalize: data.preprocess, **tried}
    right = {
        name: predict(source.model, normalize(samples.raw, one)).argmax(-1) == samples.y for name, one in tried.items()
    }
    best = max(right, key=lambda name: int(right[name].sum()))
    if right[best].sum() <= right[asked.normalize].sum() or may_be_chance(right[best], right[asked.normalize]):
        return None
    shares = " and ".join(f"with {name} on {right[name].mean():.1%}" for name in (best, asked.normalize))
    return Doubt(asked.normalize, best, f"the float model is right {shares} of {len(samples)} samples outside the test")


def _looks(source: Source, entry: Reach) -> str:
    """Which normalisation the representative samples seem to have, where it is not that of the data; else ""."""
    data = source.data
    if data.calibration.pool.are_images or not data.pool.are_images:
        return ""
    # Raw values lie in 0..255; each normalisation makes a range of its own of that.
    ranges = {}
    for name, (mean, std) in NORMALIZATIONS.items():
        ends = np.array([0.0, 255.0])[:, None] - np.array(mean)
        ranges[name] = float((ends / np.array(std)).min()), float((ends / np.array(std)).max())

    def distance(name: str) -> float:
        low, high = ranges[name]
        return max(abs(entry.low - low), abs(entry.high - high)) / (high - low)

    fed = data.preprocess.mean, data.preprocess.std
    right = next((name for name, one in NORMALIZATIONS.items() if one == fed), "")
    nearest = min(ranges, key=distance)
    if not right or nearest == right or distance(nearest) > 0.25 or distance(right) <= 2 * distance(nearest):
        return ""
    return f"values normalised {nearest}" if nearest != "none" else "raw values of 0..255"
