"""`manifest.json`: what was made, from what, how, and what was measured. It is enough to make it again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional

from tflite_edge.records.job import BenchResult, ScoreResult
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import Recipe
from tflite_edge.records.verdict import Finding

SCHEMA = 1


@dataclass(frozen=True)
class Variant:
    """One flatbuffer: what was asked (`mode`), what the bytes are (`scheme`), and how it did on the target.

    baked: the input takes raw values, so the preprocessing's arithmetic is not to be done again.
    drop, drop_ci: points of top-1 below the float Keras model and half of the 95 % interval (anomaly:
        points of AUC, without an interval).
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
    score: Optional[ScoreResult] = None
    bench: Optional[BenchResult] = None


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


@dataclass(frozen=True)
class Manifest:
    """complete is False while variants are still being made. seconds: wall time by step."""

    name: str
    tool: Dict[str, str]
    versions: Dict[str, str]
    host: Dict[str, str]
    argv: List[str]
    created: str
    recipe: Recipe
    preprocess: Preprocess
    source: Provenance
    models: List[Variant]
    verdict: str
    complete: bool
    seconds: Dict[str, float]
    schema: int = SCHEMA
