"""Learning on the board: the head that is trained, what the harness is to do with it, and what came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import List, Optional, Tuple

from tflite_edge.records.errors import RecipeError

LEARNERS = ("adam", "sgd")  # sgd: with momentum 0.9
SIGNATURES = ("infer", "restore", "save", "settings", "train")  # what every trainable file has
TRAINABLE = ("float32", "dynamic", "int8")  # modes of the backbone; the head is always float
SPARE_BIAS = -60.0  # of a class that nobody has shown yet: its probability is 0 in float32


@dataclass(frozen=True)
class HeadPlan:
    """The trainable head of `convert --trainable`: softmax regression that begins as the model's own last layer.

    hidden: units of a second layer beside it (ReLU), whose output weights begin at 0; 0 leaves it out.
    spare_classes: outputs without a class yet. batch: samples of a training step.
    learning_rate: what the file proposes; every step is given one.
    """

    hidden: int = 0
    spare_classes: int = 0
    optimizer: str = "adam"
    learning_rate: float = 0.002
    batch: int = 16

    def __post_init__(self) -> None:
        if self.optimizer not in LEARNERS:
            raise RecipeError(f"unknown optimizer {self.optimizer!r} in [head]", do="one of " + ", ".join(LEARNERS))
        if self.hidden < 0 or self.spare_classes < 0 or self.batch < 1 or not 0 < self.learning_rate < math.inf:
            raise RecipeError("[head] takes hidden and spare_classes >= 0, batch >= 1 and learning_rate > 0")


@dataclass(frozen=True)
class Lesson:
    """How a trainable model learns from the pack of its job. Paths are the target's.

    features: the file that turns samples into features, where the model holds only the head.
    test: a pack that is held out; without one, `held_out` of each class of the job's pack is.
    head: learn on from these weights. fresh: forget what the head knows first (the proof that it can learn).
    out: where the learnt head goes. checkpoint: where the state is kept after every epoch, to go on after a kill.
    learning_rate: the file's own where None. labels: names of the classes by number, to be kept with the head.
    """

    features: Optional[str] = None
    test: Optional[str] = None
    head: Optional[str] = None
    out: Optional[str] = None
    checkpoint: Optional[str] = None
    epochs: int = 20
    learning_rate: Optional[float] = None
    held_out: float = 0.2
    fresh: bool = False
    seed: int = 7
    labels: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.epochs < 0 or not 0 < self.held_out < 1 or self.seed < 0:
            raise RecipeError("a lesson takes epochs >= 0, seed >= 0 and held_out between 0 and 1")
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise RecipeError(f"learning_rate must be above 0, not {self.learning_rate:g}")


@dataclass(frozen=True)
class HeadFacts:
    """What a file of saved weights says of itself.

    model_sha256: of the trainable file, and of its feature extractor where it is another one.
    classes: class numbers that it was shown, the model's own included. samples: that it has learnt from, in all.
    since_average: samples that it has learnt from since it came out of an average, which are its weight in the next.
    top1: on the samples that were held out; None where none were. labels: names of the outputs by number, where known.
    """

    model_sha256: str
    classes: Tuple[int, ...]
    samples: int = 0
    epochs: int = 0
    top1: Optional[float] = None
    labels: Tuple[str, ...] = ()
    since_average: int = 0


@dataclass(frozen=True)
class Epoch:
    """loss: mean of the training steps. held_out_loss, top1: afterwards, on the samples that were held out."""

    loss: float
    held_out_loss: float
    top1: float


@dataclass(frozen=True)
class Progress:
    """How far a lesson has come: what its checkpoint holds beside the weights.

    lesson: a hash of model, data and settings; another lesson does not go on from here. best: the epoch whose weights
    are kept, 0 for those it began with. start: before the first epoch.
    """

    lesson: str
    start: Epoch
    epochs: List[Epoch] = field(default_factory=list)
    best: int = 0
