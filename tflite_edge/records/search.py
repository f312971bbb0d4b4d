"""`search.json`: what a search over recipes was asked, what it tried, and what it recommends."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from tflite_edge.records.errors import UsageError
from tflite_edge.records.recipe import Recipe

SCHEMA = 1
FILE = "search.json"
COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
STATES = (COMPLETE, PRUNED, FAILED)
MEASURED, PREDICTED = "measured", "predicted"


@dataclass(frozen=True)
class Budget:
    """What the model must keep to. None: no limit.

    max_bytes: of the file, or with `compressed` of the gzipped file. latency_on: where max_latency_s holds: a board's
    name such as "pi4" (predicted), "local" or "ssh://USER@HOST" (measured); "" where latency is no goal.
    max_drop: points of top-1 below the float model of the recipe as it came, at its full width (anomaly: points of AUC;
    regression: percent of error growth).
    """

    max_bytes: Optional[int] = None
    max_latency_s: Optional[float] = None
    latency_on: str = ""
    max_drop: Optional[float] = None
    compressed: bool = False

    def __post_init__(self) -> None:
        for key in ("max_latency_s", "max_drop"):
            if getattr(self, key) in (math.inf, -math.inf) or getattr(self, key) != getattr(self, key):
                raise UsageError(f"{key} must be a number, not {getattr(self, key)}", do="leave it away for no limit")
        for key in ("max_bytes", "max_latency_s"):
            value = getattr(self, key)
            if value is not None and not value > 0:
                raise UsageError(f"{key} must be above zero, not {value}", do="leave it away for no limit")
        if self.max_drop is not None and not self.max_drop >= 0:
            raise UsageError(f"max_drop must be 0 points or more, not {self.max_drop:g}")
        if self.max_latency_s is not None and not self.latency_on:
            raise UsageError("a latency is of a machine", do="10ms@pi4, 10ms@local or 10ms@ssh://USER@HOST")

    @property
    def places(self) -> Tuple[str, ...]:
        """Where a latency counts: one board, or several that are alike."""
        return tuple(filter(None, self.latency_on.split(",")))

    @property
    def latency_kind(self) -> str:
        """measured: on this machine or over SSH; predicted: of an emulated board; "": no goal."""
        if not self.latency_on:
            return ""
        return MEASURED if self.latency_on == "local" or self.latency_on.startswith("ssh:") else PREDICTED

    @property
    def objectives(self) -> Tuple[str, ...]:
        """The fields of Trial that are to be small. A latency where one is a goal only: noise would widen the front."""
        size = "gzip_bytes" if self.compressed else "bytes"
        return ("drop", size, *(("latency_s",) if self.latency_on else ()))

    def broken(self, trial: Trial) -> Tuple[str, ...]:
        """The limits that the trial does not keep, each in a few words; what is unknown keeps none."""
        size = trial.size(self.compressed)
        limits = (
            ("bytes", size, self.max_bytes, 1.0),
            ("latency ms", trial.latency_s, self.max_latency_s, 1e3),
            ("drop", trial.drop, self.max_drop, 1.0),
        )
        return tuple(
            f"{name} unknown" if value is None else f"{name} {scale * value:,.6g} above {scale * limit:,.6g}"
            for name, value, limit, scale in limits
            if limit is not None and (value is None or value > limit)
        )


@dataclass(frozen=True)
class Trial:
    """One recipe, made by the whole pipeline and judged on the exported file.

    origin: "reference" (the float model that the drops are against), a preset's name, or "sampled".
    point: the coordinates in the space, readable: {"alpha": 0.125, "channels": 0.5}; changes: the same as
    {"table.key": value} over the study's recipe, what makes the trial again.
    state: complete; pruned: stopped after its short fine-tuning, its numbers are of that; failed: `why` says of what.
    top1: of the exported file (anomaly: AUC; regression: minus the mean absolute error); None where it failed.
    drop: against the reference, on the same samples; drop_ci: half of the 95 % interval, of paired answers where the
    float model is the reference itself, else of two shares.
    latency_kind: measured, or predicted from counted instructions; latency_on: where. Unknown: None, and `why`.
    energy_mj: of one inference above the idle machine, where there is a meter. file: relative to the folder of
    search.json, "" where it was not kept. sha256: of the file, kept or not. seconds: spent on it, all its trainings.
    epochs: of each fine-tuning; 0 where there is none.
    feasible: keeps every limit of the budget. front: none that is feasible (where none is: none at all) dominates it.
    """

    number: int
    changes: Dict[str, Any]
    state: str
    drop: Optional[float] = None
    drop_ci: Optional[float] = None
    bytes: Optional[int] = None
    gzip_bytes: Optional[int] = None
    latency_s: Optional[float] = None
    latency_kind: str = ""
    latency_on: str = ""
    energy_mj: Optional[float] = None
    file: str = ""
    scheme: str = ""
    sha256: str = ""
    seconds: float = 0.0
    why: str = ""
    feasible: bool = False
    front: bool = False
    origin: str = "sampled"
    point: Dict[str, Any] = field(default_factory=dict)
    top1: Optional[float] = None
    epochs: int = 0

    @property
    def counts(self) -> bool:
        """One of --trials: neither the float model nor the probe, which the search makes for itself."""
        return self.origin not in ("reference", "probe")

    def size(self, compressed: bool) -> Optional[int]:
        """The bytes that count."""
        return self.gzip_bytes if compressed else self.bytes


@dataclass(frozen=True)
class Study:
    """A search: what was asked and all trials in their order.

    recipe: the base, resolved; paths in it are relative to the folder of search.json. space: axis -> its values in
    words, and of an axis that is not searched, why not. objectives: names of the fields of Trial that were minimised.
    best: number of the recommended trial; None where none keeps the budget. why: why that one, or which limit stands in
    the way and what comes nearest. nearest: number of the trial that comes nearest, where best is None.
    versions: of Python and packages. seconds: of all runs of this search together. complete: False while it runs.
    """

    name: str
    recipe: Recipe
    budget: Budget
    space: Dict[str, str]
    trials: List[Trial]
    best: Optional[int]
    why: str
    seconds: float
    versions: Dict[str, str]
    seed: int
    objectives: List[str] = field(default_factory=list)
    nearest: Optional[int] = None
    reference_top1: Optional[float] = None
    cache_hits: Dict[str, int] = field(default_factory=dict)
    complete: bool = True
    schema: int = SCHEMA

    @property
    def tried(self) -> List[Trial]:
        """Those of --trials."""
        return [trial for trial in self.trials if trial.counts]

    def trial(self, number: Optional[int]) -> Optional[Trial]:
        return next((trial for trial in self.trials if trial.number == number), None)

    @property
    def front(self) -> List[Trial]:
        """The Pareto front, smallest file first."""
        found = [trial for trial in self.trials if trial.front]
        return sorted(found, key=lambda trial: trial.size(self.budget.compressed) or 0)
