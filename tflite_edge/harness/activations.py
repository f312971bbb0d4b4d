"""What each tensor of a float model holds over the samples of a pack: extremes, means and a histogram.

Two passes, so that the histogram's ends are known before anything is counted; no sample is kept.
"""

from __future__ import annotations

from time import perf_counter
from typing import Dict, List

import numpy as np

from tflite_edge.harness.layers import Reader
from tflite_edge.harness.pack import load_pack
from tflite_edge.harness.preprocess import Array
from tflite_edge.harness.runtime import choose, describe
from tflite_edge.records.errors import ModelError
from tflite_edge.records.job import ActivationsResult, Job

BINS = 2048


def activations(job: Job) -> ActivationsResult:
    """Write what `job.tensors` held into the .npz `job.outputs`. Raises ModelError, MissingError or DataError.

    For each tensor number N: `N.low`, `N.high`, `N.mean`, float32 [C], along the last axis (C is 1 for a single row);
    `N.ends`, float32 [2], the least and the greatest of all, and `N.counts`, int64 [BINS], how many values lie in each
    of so many equal bins between them.
    """
    assert job.pack is not None  # Job refuses activations without both
    assert job.outputs is not None
    pack, chosen = load_pack(job.pack), choose(job.runtime)
    reader = Reader(job.model, chosen, job, pack.x)
    began = perf_counter()
    held = {index: Held() for index in job.tensors}
    for add in ("see", "count"):
        for image in pack.x:
            reader.run(image)
            for index, one in held.items():
                getattr(one, add)(reader.values(index))
    for index, one in held.items():
        if not np.isfinite(one.ends()).all():
            raise ModelError(
                f"{job.model} gives NaN or infinite values", evidence=f"in tensor {index}", do="check the float model"
            )
    with open(job.outputs, "wb") as stream:
        np.savez(stream, **{f"{n}.{key}": array for n, one in held.items() for key, array in one.arrays().items()})
    return ActivationsResult(describe(chosen), len(pack.x), perf_counter() - began, len(held))


class Held:
    """One tensor over all samples."""

    def __init__(self) -> None:
        self.samples = 0
        self.low: List[Array] = []
        self.high: List[Array] = []
        self.total: List[Array] = []
        self.counts = np.zeros(BINS, np.int64)

    def see(self, values: Array) -> None:
        """First pass: the extremes and the mean of each channel, [..., C]."""
        rows = values.reshape(-1, values.shape[-1] if values.ndim else 1).astype(np.float64)
        self.low = [np.minimum.reduce([rows.min(0), *self.low])]
        self.high = [np.maximum.reduce([rows.max(0), *self.high])]
        self.total = [np.add.reduce([rows.mean(0), *self.total])]
        self.samples += 1

    def count(self, values: Array) -> None:
        """Second pass: one more sample in the histogram."""
        low, high = self.ends()
        if not high > low:
            self.counts[0] += values.size
            return
        places = (values.ravel() - np.float32(low)) * np.float32(BINS / (high - low))
        self.counts += np.bincount(np.clip(places.astype(np.int64), 0, BINS - 1), minlength=BINS)

    def ends(self) -> Array:
        found: Array = np.array([self.low[0].min(), self.high[0].max()])
        return found

    def arrays(self) -> Dict[str, Array]:
        return {
            "low": self.low[0].astype(np.float32),
            "high": self.high[0].astype(np.float32),
            "mean": (self.total[0] / self.samples).astype(np.float32),
            "ends": self.ends().astype(np.float32),
            "counts": self.counts,
        }
