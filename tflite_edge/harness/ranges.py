"""What every tensor of a float model reaches on each sample, and what a set of samples leaves out of the others."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from tflite_edge.harness.layers import Reader
from tflite_edge.harness.pack import load_pack
from tflite_edge.harness.preprocess import Array
from tflite_edge.harness.runtime import choose, describe
from tflite_edge.harness.score import save
from tflite_edge.records.errors import DataError, ModelError
from tflite_edge.records.job import Job, RangesResult

STEPS = 255  # between the least and the most that 8 bits hold


def ranges(job: Job) -> RangesResult:
    """Run the pack once. Raises ModelError, MissingError or DataError."""
    assert job.pack is not None
    assert job.outputs is not None  # Job refuses ranges without them
    pack, chosen = load_pack(job.pack), choose(job.runtime)
    if job.head > len(pack.x):
        raise DataError(f"the head has {job.head} samples and the pack {len(pack.x)}")
    reader = Reader(job.model, chosen, job, pack.x)
    for index in job.tensors:
        if reader.quantization(index)[2].kind != "f":
            raise ModelError(f"tensor {index} of {job.model} is not float", do="give the float file")
    reached = np.empty((len(pack.x), len(job.tensors), 2), np.float32)
    outside, values = np.zeros(len(job.tensors)), np.zeros(len(job.tensors))
    limits = np.empty((len(job.tensors), 2))
    began = perf_counter()
    for number, image in enumerate(pack.x):
        if number == job.head:
            limits = _limits(reached[: job.head])
        reader.run(image)
        for place, index in enumerate(job.tensors):
            found = reader.values(index)
            reached[number, place] = found.min(initial=np.inf), found.max(initial=-np.inf)
            if number >= job.head:
                low, high = limits[place]
                outside[place] += np.count_nonzero((found < low) | (found > high))
                values[place] += found.size
    if not np.isfinite(reached).all():
        raise ModelError(
            f"{job.model} gives NaN or infinite values, or tensors without any",
            do="check the preprocessing and the float model",
        )
    save(job.outputs, reached)
    return RangesResult(
        runtime=describe(chosen),
        kernels=job.kernels,
        samples=len(pack.x),
        seconds=perf_counter() - began,
        clipped=[float(share) for share in outside / np.maximum(values, 1)],
    )


def _limits(reached: Array) -> Array:
    """float64 [tensors, 2]: the range of each tensor and half a step more; reached: [n, tensors, 2].

    Zero is always in it, as in every quantised range (TFLite 8-bit quantization specification).
    """
    low = np.minimum(reached[..., 0].min(axis=0).astype(np.float64), 0.0)
    high = np.maximum(reached[..., 1].max(axis=0).astype(np.float64), 0.0)
    half = (high - low) / STEPS / 2
    limits: Array = np.stack([low - half, high + half], axis=1)
    return limits
