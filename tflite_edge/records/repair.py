"""The repair ladder: what can be done to an int8 file that loses too much, and what each rung came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Optional, Tuple

from tflite_edge.records.errors import RecipeError
from tflite_edge.records.plain import nearest

ADVICE = ("", "redraw", "more", "outliers", "clean")  # kinds of fixes that leave the preprocessing as it is
GOALS = ("", "weights", "activations")
RANGES = ("", "minmax", "mse", "99.99", "99.9")
RUNGS = ("calibration", "equalisation", "ranges", "quantizer", "sparing", "qat")
OTHERS = ("", "litert")  # quantisers beside the converter


@dataclass(frozen=True)
class Repair:
    """How an int8 file is made otherwise than by the plain converter. The defaults are the plain converter.

    advice: the fix of the calibration doctor (tflite_edge/calibration) whose representative dataset is taken.
    samples: of the training split, class by class, that activations are measured on; 0: the calibration samples.
    equalize: "weights" or "activations", whose channels are evened out between two layers; "" for neither.
    correct: biases take up what rounding the weights adds to each layer's mean.
    ranges: of activations: "minmax", all that was reached; "mse", what costs least; a percentile, such as "99.9", each
        end cut there; "" as the converter does it.
    spare: outputs of operators that stay in float.
    quantizer: "litert": LiteRT Quantizer's file, which takes none of the above; "" for the converter's.
    qat_epochs: of training with quantisation, which takes the place of all of the above; 0: none.
    """

    advice: str = ""
    samples: int = 0
    equalize: str = ""
    correct: bool = False
    ranges: str = ""
    spare: Tuple[str, ...] = ()
    quantizer: str = ""
    qat_epochs: int = 0

    def __post_init__(self) -> None:
        for key, value, known in (
            ("advice", self.advice, ADVICE),
            ("equalize", self.equalize, GOALS),
            ("ranges", self.ranges, RANGES),
            ("quantizer", self.quantizer, OTHERS),
        ):
            if value not in known:
                raise RecipeError(f"unknown {key} {value!r} in [repair]", do=nearest(value, known))
        if min(self.samples, self.qat_epochs) < 0:
            raise RecipeError("[repair] takes samples >= 0 and qat_epochs >= 0")
        if self.advice and self.samples:
            raise RecipeError("[repair] takes either samples or the advised ones", do="samples = 0")
        others = (self.advice, self.samples, self.equalize, self.correct, self.ranges, self.spare)
        for key, asked, why in (
            ("quantizer", bool(self.quantizer), "another quantiser takes no ranges and spares no operators"),
            ("qat_epochs", bool(self.qat_epochs), "training learns ranges and weights of its own"),
        ):
            if asked and any((*others, self.quantizer and self.qat_epochs)):
                raise RecipeError(
                    f"[repair] {key} goes with nothing else",
                    evidence=why,
                    do=f"leave the other keys of [repair] out, or {key}",
                )

    @property
    def is_plain(self) -> bool:
        return self == Repair()

    def __str__(self) -> str:
        words = [
            f"calibrated as advised ({self.advice})" if self.advice else "",
            f"{self.samples} samples" if self.samples else "",
            f"{self.equalize} evened out" if self.equalize else "",
            "biases corrected" if self.correct else "",
            f"ranges {self.ranges}{' %' if self.ranges[:1].isdigit() else ''}" if self.ranges else "",
            f"{len(self.spare)} in float" if self.spare else "",
            "LiteRT Quantizer" if self.quantizer else "",
            f"{self.qat_epochs} epochs" if self.qat_epochs else "",
        ]
        return ", ".join(filter(None, words)) or "the plain converter"


@dataclass(frozen=True)
class Rung:
    """One rung of the ladder. settings: of its best candidate; of those of earlier rungs it keeps what helped.

    name: of RUNGS; of the file it begins with "plain", or the quantiser's name where that was not the converter.
    tried: how many candidates were compared on the held-out samples. error: root mean square difference of the best
    one's answers to the float model's over their standard deviation, there; None where there is none: `why` says so.
    loss, loss_ci: on the test samples, what `max_drop` limits: points of top-1 below the float model and half of the
    95 % interval (regression: percent of error growth; anomaly: points of AUC). None where the file was not judged:
    `why` says so. latency: median time over that of the plain int8 file; None where nothing was timed.
    float_operators: that compute in float. seconds: wall time of this run; what an earlier one had done is found.
    """

    name: str
    settings: Repair
    seconds: float
    tried: int = 0
    error: Optional[float] = None
    loss: Optional[float] = None
    loss_ci: Optional[float] = None
    top1: Optional[float] = None
    bytes: Optional[int] = None
    latency: Optional[float] = None
    float_operators: Optional[int] = None
    why: str = ""


@dataclass(frozen=True)
class Ladder:
    """What became of an int8 file that missed a gate of accuracy.

    rungs: as far as the ladder was climbed, the plain file first. accepted: the name of the rung whose file was kept,
    and why. settings: what makes that file. held_out: samples of the training split on which candidates were compared,
    and where they are from. looks: how many files were judged on the test samples; each look is a chance to pass by
    luck, so the drop of a file that was accepted after several is a little better than it will be.
    """

    max_drop: float
    rungs: List[Rung]
    accepted: str
    why: str
    settings: Repair = field(default_factory=Repair)
    held_out: str = ""
    looks: int = 1
