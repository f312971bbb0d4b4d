"""What a Raspberry Pi 4 takes for an instruction: coefficients fitted to published latencies of real boards.

`pi4-latency.json` is written by scripts/fit_latency.py, which says how; it holds the coefficients, how far off they
are from models that they were not fitted to, and the published figures with their source.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tflite_edge.flatbuffer.graph import graphs
from tflite_edge.flatbuffer.reader import read
from tflite_edge.flatbuffer.schema import TYPE_BITS
from tflite_edge.records.estimate import Prediction
from tflite_edge.records.plain import from_plain

DATA = Path(__file__).with_name("pi4-latency.json")

# Classes that cost about the same. fma and vector are one: an int8 model has a handful of fma, and by themselves they
# were given hundreds of nanoseconds each, standing for something else.
GROUPS: dict[str, tuple[str, ...]] = {
    "scalar": ("alu", "branch"),
    "memory": ("load", "store"),
    "vector_memory": ("vector_load", "vector_store"),
    "int_mac": ("int_mac", "dot"),
    "vector": ("fma", "vector"),
}
# What instructions do not tell: bytes that pass the caches, and what four threads need to be started and awaited.
WEIGHTS, TENSORS, OPERATORS = "weights", "tensors", "operators"
TERMS = (*GROUPS, WEIGHTS, TENSORS, OPERATORS)


@dataclass(frozen=True)
class Workload:
    """What a latency is computed from. classes: instructions of an inference. weight_bytes: of all constants that
    operators read; tensor_bytes: of what they read and write besides; operators: how many run."""

    classes: Mapping[str, int]
    weight_bytes: int
    tensor_bytes: int
    operators: int

    def terms(self) -> dict[str, float]:
        """Millions of instructions in each of GROUPS, megabytes of weights and of tensors, operators."""
        grouped = {name: sum(self.classes.get(one, 0) for one in classes) / 1e6 for name, classes in GROUPS.items()}
        return {
            **grouped,
            WEIGHTS: self.weight_bytes / 1e6,
            TENSORS: self.tensor_bytes / 1e6,
            OPERATORS: self.operators,
        }


def workload(model: str | Path, classes: Mapping[str, int]) -> Workload:
    """The model's part of a Workload, from its first subgraph. Raises ModelError."""
    operators = graphs(read(model))[0].operators
    weights = {tensor.data: len(tensor.data) for one in operators for tensor in one.inputs if tensor.constant}
    moved = [tensor for one in operators for tensor in (*one.inputs, *one.outputs) if not tensor.constant]
    tensor_bytes = sum(tensor.elements * TYPE_BITS.get(tensor.dtype, 0) // 8 for tensor in moved)
    return Workload(classes, sum(weights.values()), tensor_bytes, len(operators))


@dataclass(frozen=True)
class Errors:
    """Relative errors, each model predicted by a fit without it (one_out) or without its family (family_out).

    band: what nine in ten of one_out and of family_out keep to. spearman: of one_out's order with the published one's.
    macs_*: the same of the best line through multiply-accumulates.
    """

    models: int
    fitted_mean: float
    one_out_mean: float
    one_out_most: float
    family_out_mean: float
    family_out_most: float
    spearman: float
    band: float
    macs_one_out_mean: float
    macs_family_out_mean: float


@dataclass(frozen=True)
class FittedModel:
    """One published figure beside its prediction without it. kind: "float" or "int8"."""

    model: str
    kind: str
    family: str
    published_s: float
    one_out_s: float
    family_out_s: float
    instructions: int
    macs: int


@dataclass(frozen=True)
class Fit:
    """coefficients: kind -> term -> seconds for a million instructions, a megabyte, an operator."""

    board: str
    runtime: str
    version: str
    kernels: str
    threads: int
    source: str
    measured: str
    coefficients: dict[str, dict[str, float]]
    errors: list[Errors]
    models: list[FittedModel]
    schema: int = 1

    def predict(self, work: Workload, kind: str) -> Prediction:
        """Of a file of one of the kinds in `coefficients`.

        The errors are known between the smallest and the largest model that was fitted, give or take the band. Above it
        is refused: nothing bounds it. Below, the smallest model bounds it: the band is 0 to the most of that one.
        """
        coefficients, off = self.coefficients[kind], self.errors_of(kind).band
        predicted = sum(coefficients[term] * value for term, value in work.terms().items())
        counted = sum(work.classes.values())
        why = f"from {counted / 1e6:.1f} M instructions by {self.measured}"
        low, high = predicted / (1 + off), predicted / (1 - off)
        published = [model.published_s for model in self.models if model.kind == kind]
        least, most = min(published), max(published)
        if low > most:
            return self.refused(
                f"it would be {1e3 * predicted:.0f} ms, above the largest fitted model ({1e3 * most:.0f} ms)"
            )
        below = high < least
        if below:
            why += f", extrapolated: below the smallest fitted model ({1e3 * least:.2f} ms)"
            low, high = 0.0, least / (1 - off)
        return replace(
            self.refused(why), predicted_s=predicted, low_s=low, high_s=high, counted=counted, extrapolated=below
        )

    def refused(self, why: str) -> Prediction:
        """No prediction of the configuration that was fitted."""
        return Prediction(self.board, self.runtime, self.kernels, self.threads, None, None, None, self.source, why)

    def errors_of(self, kind: str) -> Errors:
        return self.errors[list(self.coefficients).index(kind)]


@functools.cache
def load_fit() -> Fit:
    return from_plain(Fit, json.loads(DATA.read_text(encoding="utf-8")))


def kind_of(scheme: str) -> str:
    """The kind in `Fit.coefficients` that a scheme of `flatbuffer.inspect` belongs to, or the scheme itself."""
    return "int8" if scheme == "static-wi8ai8" else scheme
