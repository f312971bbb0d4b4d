"""What an emulated board tells of a model's speed: instructions that were counted, and a latency that is predicted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Optional

from tflite_edge.records.job import CountResult


@dataclass(frozen=True)
class Prediction:
    """The latency of one configuration, computed from counts by coefficients that were fitted to published figures.

    predicted_s, low_s, high_s: None where it is outside of the fit, and `why` says in what. low_s to high_s: as far
    off as the fit was from nine in ten of its models, each left out in turn. extrapolated: the model is smaller than
    all of them, and the band is 0 to the most that the smallest of them may take. source: of the published figures.
    counted: how many instructions it rests on.
    """

    board: str
    runtime: str
    kernels: str
    threads: int
    predicted_s: Optional[float]
    low_s: Optional[float]
    high_s: Optional[float]
    source: str
    why: str
    counted: Optional[int] = None
    extrapolated: bool = False


@dataclass(frozen=True)
class OperatorCost:
    """One operator's instructions: what the model cut short after it takes more than the one cut short before it.

    index: its place; -1 is the call of a model without operators. tensor: name of its first output.
    """

    index: int
    operator: str
    tensor: str
    instructions: int
    share: float


@dataclass(frozen=True)
class Estimate:
    """count: of the runtime that was asked for; None where nothing could be counted, and `why` says why.

    predictions: of the configuration that was asked for, then of the one that was fitted where that is another.
    operators: of the count, where asked for.
    """

    board: str
    count: Optional[CountResult]
    predictions: List[Prediction]
    operators: List[OperatorCost] = field(default_factory=list)
    why: str = ""

    @property
    def predicted(self) -> Optional[Prediction]:
        """The first that is no refusal."""
        return next((one for one in self.predictions if one.predicted_s is not None), None)
