"""Run a model and its quantised twin on the same samples and compare their tensors, one pair at a time.

Nothing of a sample is kept once its sums are taken, so the memory is that of two interpreters.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from tflite_edge.harness.pack import check_images, load_pack
from tflite_edge.harness.preprocess import Array, dequantize, encoder
from tflite_edge.harness.runtime import Chosen, choose, describe, open_interpreter, refusals
from tflite_edge.records.errors import ModelError
from tflite_edge.records.job import Job, LayersResult, LayerStats
from tflite_edge.records.preprocess import Preprocess


def layers(job: Job) -> LayersResult:
    """Compare every pair of tensors of the job over its pack. Raises ModelError, MissingError or DataError."""
    assert job.pack is not None
    assert job.against is not None  # Job refuses layers without them
    pack, chosen = load_pack(job.pack), choose(job.runtime)
    readers = [Reader(path, chosen, job, pack.x) for path in (job.model, job.against)]
    pairs = [(Sums(*readers[1].quantization(pair[1])), pair) for pair in job.pairs]
    shapes = {tuple(reader.answer["shape"]) for reader in readers}
    classes = len(shapes) == 1 and all(len(shape) == 2 and shape[0] == 1 < shape[1] for shape in shapes)
    agreed: Optional[int] = 0 if classes else None
    began = perf_counter()
    for image in pack.x:
        for reader in readers:
            reader.run(image)
        for total, pair in pairs:
            one, other = readers[0].values(pair[0]), readers[1].values(pair[1])
            if one.shape != other.shape:
                raise ModelError(
                    "the two models are not of the same network",
                    evidence=f"tensor {pair[0]} is {list(one.shape)} and tensor {pair[1]} is {list(other.shape)}",
                )
            total.add(one, other)
        if agreed is not None:
            # Stored values grow with real ones: the largest stands in the same place.
            best = [int(reader.values(reader.answer["index"]).argmax()) for reader in readers]
            agreed += best[0] == best[1]
    for total, pair in pairs:
        if not np.isfinite([total.signal, total.noise]).all():
            raise ModelError(
                f"{job.model} and {job.against} give NaN or infinite values",
                evidence=f"in tensor {pair[0]} or {pair[1]}",
                do="check the preprocessing and the float model",
            )
    return LayersResult(
        runtime=describe(chosen),
        kernels=job.kernels,
        samples=len(pack.x),
        seconds=perf_counter() - began,
        agreement=None if agreed is None else agreed / len(pack.x),
        stats=[total.stats() for total, _ in pairs],
    )


class Reader:
    """One interpreter whose tensors can all be read."""

    def __init__(self, path: str, chosen: Chosen, job: Job, images: Array) -> None:
        self.path, self.chosen = path, chosen
        self.interpreter = open_interpreter(path, chosen, job.threads, job.kernels, keep_tensors=True)
        details = self.interpreter.get_input_details()
        check_images(images, details, job.pack or "")
        self.source: Dict[str, Any] = details[0]
        self.answer: Dict[str, Any] = self.interpreter.get_output_details()[0]
        record = job.preprocess or Preprocess()
        self.encode: Callable[[Array], Array] = encoder(
            images.dtype, record, self.source["dtype"], *self.source["quantization"]
        )
        self.details = {detail["index"]: detail for detail in self.interpreter.get_tensor_details()}

    def quantization(self, index: int) -> Tuple[float, int, Any]:
        """(scale, zero point, type) of a tensor; scale 0.0 means not quantised."""
        if index not in self.details:
            raise ModelError(f"{self.path} has no tensor {index}", evidence=f"it has {len(self.details)}")
        scale, zero_point = self.details[index]["quantization"]
        return float(scale), int(zero_point), np.dtype(self.details[index]["dtype"])

    def run(self, image: Array) -> None:
        with refusals(self.path, self.chosen):
            self.interpreter.set_tensor(self.source["index"], self.encode(image)[np.newaxis])
            self.interpreter.invoke()

    def values(self, index: int) -> Array:
        """The tensor as it is stored."""
        with refusals(self.path, self.chosen):
            found: Array = self.interpreter.get_tensor(index)
        return found


class Sums:
    """What is kept of one pair: sums, extremes and counts (see LayerStats)."""

    def __init__(self, scale: float, zero_point: int, dtype: Any) -> None:
        self.scale, self.zero_point = scale, zero_point
        self.quantized = scale != 0.0 and dtype.kind in "iu"
        self.limits: Tuple[int, ...] = ()
        if self.quantized:
            self.limits = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
            half = scale / 2
            self.lowest = (self.limits[0] - zero_point) * scale - half
            self.highest = (self.limits[1] - zero_point) * scale + half
        self.signal = self.noise = self.dot = self.power = self.difference = 0.0
        self.low, self.high = np.inf, -np.inf
        self.used: List[int] = []
        self.count = self.clipped = self.samples = self.clipped_samples = 0

    def add(self, stored_float: Array, stored: Array) -> None:
        """One sample: the float tensor and its twin, as stored, of one shape."""
        f = stored_float.astype(np.float64).ravel()
        q = dequantize(stored, self.scale if self.quantized else 0.0, self.zero_point).astype(np.float64).ravel()
        error = f - q
        self.signal += float(f @ f)
        self.noise += float(error @ error)
        self.dot += float(f @ q)
        self.power += float(q @ q)
        self.difference = max(self.difference, float(np.abs(error).max(initial=0.0)))
        self.low, self.high = min(self.low, float(f.min(initial=np.inf))), max(self.high, float(f.max(initial=-np.inf)))
        self.count += f.size
        self.samples += 1
        if self.quantized and stored.size:
            ends = [int(stored.min()), int(stored.max()), *self.used]
            self.used = [min(ends), max(ends)]
            outside = int(np.count_nonzero((f < self.lowest) | (f > self.highest)))
            self.clipped += outside
            self.clipped_samples += outside > 0

    def stats(self) -> LayerStats:
        lengths = (self.signal * self.power) ** 0.5
        return LayerStats(
            signal=self.signal,
            noise=self.noise,
            cosine=self.dot / lengths if lengths else None,
            max_difference=self.difference,
            scale=self.scale if self.quantized else 0.0,
            low=self.low if self.count else 0.0,
            high=self.high if self.count else 0.0,
            used_low=self.used[0] if self.used else None,
            used_high=self.used[1] if self.used else None,
            limits=self.limits,
            clipped=self.clipped / max(1, self.count),
            clipped_samples=self.clipped_samples / max(1, self.samples),
        )
