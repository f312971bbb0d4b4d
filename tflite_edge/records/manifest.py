"""`manifest.json`: what was made, from what, how, and what was measured. It is enough to make it again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, Dict, List, Optional, Sequence, Tuple

from tflite_edge.records.estimate import Estimate
from tflite_edge.records.job import BenchResult, LearnResult, ScoreResult
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import Recipe
from tflite_edge.records.repair import Ladder
from tflite_edge.records.verdict import Finding

SCHEMA = 1


# Rounding to int8 alone makes a few zeros in a hundred, and leaves up to 255 values.
SPARSE, CLUSTERED = 0.2, 64


def half_at(values: Sequence[Tuple[float, int]]) -> float:
    """Of (value, weights) pairs the least value up to which at least half of all weights lie; 0 of none."""
    seen, total = 0, sum(weights for _, weights in values)
    for value, weights in sorted(values):
        seen += weights
        if 2 * seen >= total:
            return value
    return 0.0


@dataclass(frozen=True)
class Compression:
    """Of all kernels of a flatbuffer together, read from its bytes. sparsity: share of zeros.

    half_sparsity: at least half of the weights lie in kernels with this share of zeros or more; half_unique,
    half_unique_per_channel: in kernels with at most so many different values, or so many in any channel.
    """

    sparsity: float
    half_sparsity: float
    half_unique: int
    half_unique_per_channel: int

    @property
    def suffix(self) -> str:
        """`-s50-c16` in a file's name: only what stands out from a plain int8 file."""
        sparse = f"-s{round(100 * self.half_sparsity)}" if self.half_sparsity >= SPARSE else ""
        return sparse + (f"-c{self.half_unique}" if self.half_unique <= CLUSTERED else "")


@dataclass(frozen=True)
class Variant:
    """One flatbuffer: what was asked (`mode`), what the bytes are (`scheme`), and how it did on the target.

    baked: the input takes raw values, so the preprocessing's arithmetic is not to be done again.
    original: of the model as it came, before the steps of the optimisation; made to compare with, without a verdict.
    sparse_tensors: kernels that are stored without their zeros.
    bench: None on an emulated board, where estimate stands instead.
    why: the converter's settings that the target's runtime asked for. proof: how it is known that the file loads there.
    features: of a trainable head without a backbone, the file that computes its features; `bytes` counts both.
    learning: the proof that a trainable file learns, from a head that knows nothing; `score`: of the file as it comes.
    quantizer: one of QUANTIZERS.
    drop, drop_ci: points of top-1 below the float Keras model and half of the 95 % interval (anomaly:
        points of AUC, without an interval).
    repair: of an int8 file that missed a gate of accuracy, what was tried.
    """

    mode: str
    file: str
    scheme: str
    baked: bool
    sha256: str
    bytes: int
    gzip_bytes: int
    verdict: str
    findings: List[Finding] = field(default_factory=list)
    drop: Optional[float] = None
    drop_ci: Optional[float] = None
    compression: Optional[Compression] = None
    original: bool = False
    sparse_tensors: int = 0
    score: Optional[ScoreResult] = None
    bench: Optional[BenchResult] = None
    estimate: Optional[Estimate] = None
    why: str = ""
    proof: str = ""
    features: str = ""
    features_sha256: str = ""
    learning: Optional[LearnResult] = None
    repair: Optional[Ladder] = None
    quantizer: str = "converter"


@dataclass(frozen=True)
class LayerEffect:
    """One kernel. sparsity: share of zeros. unique_*: different values, zero included; channel: of the most varied."""

    layer: str
    kind: str
    weights: int
    sparsity: float
    unique_per_tensor: int
    unique_per_channel: int


@dataclass(frozen=True)
class Effect:
    """What a Keras model holds. parameters: all weights, quantisers' own not counted. sparsity: of all kernels.

    macs: multiply-accumulates of one sample. top1: on the test samples. None where it was not measured.
    """

    parameters: int
    sparsity: float
    layers: Tuple[LayerEffect, ...]
    macs: Optional[int] = None
    top1: Optional[float] = None

    @property
    def half_unique(self) -> int:
        """Half of the weights lie in kernels with at most so many different values."""
        return int(half_at([(layer.unique_per_tensor, layer.weights) for layer in self.layers]))


@dataclass(frozen=True)
class StepRecord:
    """One optimisation step: its settings, and the Keras model before and after it, on the test samples.

    spared: layer -> why the step left it alone.
    """

    name: str
    settings: Dict[str, Any]
    before: Effect
    after: Effect
    spared: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Provenance:
    """Where model and data come from. Hashes are SHA-256; `why` holds the reasons of automatic choices."""

    model: str
    model_sha256: str
    parameters: int
    data: str
    data_sha256: str
    calibration_sha256: str
    samples: Dict[str, int]
    task: str
    keras_top1: Optional[float]
    labels: List[str]
    why: Dict[str, str] = field(default_factory=dict)
    notes: List[str] = field(default_factory=list)
    steps: List[StepRecord] = field(default_factory=list)


@dataclass(frozen=True)
class Manifest:
    """complete is False while variants are still being made. seconds: wall time by step.

    realised: what the optimisation came to, in sentences (records/realised.py); none without steps.
    """

    name: str
    tool: Dict[str, str]
    versions: Dict[str, str]
    host: Dict[str, str]
    argv: List[str]
    created: str
    recipe: Recipe
    preprocess: Preprocess
    source: Provenance
    samples_sha256: str
    models: List[Variant]
    verdict: str
    complete: bool
    seconds: Dict[str, float]
    realised: List[str] = field(default_factory=list)
    schema: int = SCHEMA

    def without_secrets(self) -> Manifest:
        """Without what tells of the machine and the person: command line, host, folders."""
        recipe = self.recipe.with_paths(lambda path: PurePath(path).name)
        source = self.source
        source = replace(source, model=PurePath(source.model).name, data=PurePath(source.data).name)
        return replace(self, argv=[], host={}, recipe=recipe, source=source)
