"""`bundle.json`: what a board must know to run one model: its file, how to feed it, what its answers mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Tuple

from tflite_edge.records.errors import BundleError
from tflite_edge.records.job import RUNTIMES
from tflite_edge.records.preprocess import Preprocess

SCHEMA = 1
CARD, SMOKE = "bundle.json", "smoke.npz"
DELEGATES = ("edgetpu",)
EDGETPU_OP = "edgetpu-custom-op"  # what edgetpu_compiler leaves of the operators that it takes
TASKS = ("classification", "regression", "anomaly", "agreement")


@dataclass(frozen=True)
class Card:
    """One bundle. model, labels, preprocess, task: as the manifest had them.

    runtime: the one the expected answer of the smoke test is for; threads: of its interpreter.
    board: what the bundle was packed for. machine, python: what its wheels are built for, such as ("3.11",).
    features, features_sha256: of a head that learns, the file that computes what it takes.
    trainable: the model can learn (`classify learn`). spare: so many labels at the end are of outputs without a class.
    tolerance: largest difference of an output to the expected one, in units of the output.
    delegate: a key of DELEGATES, "" without an accelerator; compiled: the model's file for it, which may yet have to be
    put beside the model; compiled_sha256: "" where it was not known when the bundle was packed.
    """

    name: str
    version: str
    model: str
    model_sha256: str
    runtime: str
    board: str
    machine: str
    python: Tuple[str, ...]
    task: str
    labels: List[str]
    preprocess: Preprocess
    threads: int = 1
    tolerance: float = 0.0
    delegate: str = ""
    compiled: str = ""
    compiled_sha256: str = ""
    trainable: bool = False
    spare: int = 0
    features: str = ""
    features_sha256: str = ""
    notes: List[str] = field(default_factory=list)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise BundleError(f"a bundle of schema {self.schema} meets a runner of schema {SCHEMA}")
        if self.runtime not in RUNTIMES:
            raise BundleError(f"unknown runtime {self.runtime!r}", do="one of " + ", ".join(RUNTIMES))
        if self.task not in TASKS:
            raise BundleError(f"unknown task {self.task!r}", do="one of " + ", ".join(TASKS))
        if self.delegate and self.delegate not in DELEGATES:
            raise BundleError(f"unknown delegate {self.delegate!r}", do="one of " + ", ".join(DELEGATES))
        if not 0 <= self.spare <= len(self.labels):
            raise BundleError(f"{len(self.labels)} labels cannot have {self.spare} spare ones")
