"""The steps that make a model smaller, as the recipe's [[optimize]] tables name them.

    [[optimize]]
    step = "prune"
    sparsity = 0.5

Steps run in the order in which they are written. What one step reached, the later ones keep: clusters
leave zeros alone, and quantisation-aware training keeps zeros and clusters where they are.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from typing import Any, Callable, ClassVar, Dict, Optional, Sequence, Tuple, Type, Union

from tflite_edge.records.errors import RecipeError
from tflite_edge.records.plain import from_plain, nearest

CENTROIDS = ("linear", "density", "random", "kmeans++")  # how cluster centroids start
SCHEDULES = ("polynomial", "constant")
DEFAULT_SPARSITY = 0.5
IMPORTANCES = ("l1", "l2", "batch-norm")
# Names that are never paths: the keys of tf/models/zoo.py, which nothing here may import.
NAMED_MODELS = (
    "mobilenet", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "mobilenet_sparse", "squeezenet",
    "efficientnet_lite0", "efficientnet_b0", "resnet8", "resnet50", "nasnet_mobile", "ds_cnn", "autoencoder",
)  # fmt: skip


@dataclass(frozen=True)
class _Step:
    """epochs, learning_rate: of the fine-tuning; None takes [tune]'s."""

    name: ClassVar[str]
    epochs: Optional[int] = None
    learning_rate: Optional[float] = None

    def __post_init__(self) -> None:
        if (self.epochs is not None and self.epochs < 0) or (
            self.learning_rate is not None and not 0 < self.learning_rate < math.inf
        ):
            raise RecipeError(
                f"{self.name} takes epochs >= 0 and learning_rate > 0",
                evidence=f"epochs = {self.epochs}, learning_rate = {self.learning_rate}",
                do="leave both out for what [tune] says",
            )


@dataclass(frozen=True)
class _OnLayers(_Step):
    """layers: names or types such as "conv_*" or "Dense" (shell patterns); none means all that the step knows."""

    layers: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Prune(_OnLayers):
    """Weights of least magnitude become zero. sparsity: share of zeros in each pruned kernel; by default 0.5, or M/N.

    pattern: "unstructured", or "M:N", M zeros in every N weights along the input channels, such as "2:4",
    or "HxW", blocks of a Dense kernel. ends: also the first and the last layer, which are spared because
    they hold few weights and hurt most.
    """

    name: ClassVar[str] = "prune"
    sparsity: Optional[float] = None
    pattern: str = "unstructured"
    schedule: str = "polynomial"
    ends: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        share = DEFAULT_SPARSITY
        if self.pattern != "unstructured":
            m, n = self.numbers()
            if ":" in self.pattern:
                share = m / n
                if self.sparsity not in (None, share):
                    raise RecipeError(
                        f"pattern {self.pattern} and sparsity {self.sparsity:g} contradict each other",
                        evidence=f"{m} of every {n} weights are {share:.0%}",
                        do="leave sparsity out",
                    )
        if self.sparsity is not None:
            share = self.sparsity
        if not 0 < share < 1:
            raise RecipeError(f"sparsity must be in (0, 1), not {share:g}", do="0.5 is where most models lose nothing")
        if self.schedule not in SCHEDULES:
            raise RecipeError(f"unknown schedule {self.schedule!r}", do=nearest(self.schedule, SCHEDULES))
        object.__setattr__(self, "sparsity", share)

    def numbers(self) -> Tuple[int, int]:
        """(M, N) of "M:N" or (H, W) of "HxW"."""
        sign = ":" if ":" in self.pattern else "x"
        try:
            a, b = (int(word) for word in self.pattern.split(sign))
        except ValueError as error:
            raise RecipeError(f"unknown pattern {self.pattern!r}", do="unstructured, 2:4 or 1x4") from error
        if a < 1 or b < 1 or (sign == ":" and a >= b):
            raise RecipeError(f"pattern {self.pattern!r} keeps nothing or prunes nothing", do="2:4 is usual")
        return a, b


@dataclass(frozen=True)
class Channels(_OnLayers):
    """Whole filters and neurons are removed: a smaller model, not a mask.

    fraction: of the channels of each group, least important first; or until the model has at most `macs`,
    `parameters` or `bytes` (of int8 weights). rounds: the removal is spread over so many, tuned in between.
    """

    name: ClassVar[str] = "channels"
    fraction: Optional[float] = None
    macs: Optional[int] = None
    parameters: Optional[int] = None
    bytes: Optional[int] = None
    importance: str = "l2"
    rounds: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        goals = [goal for goal in (self.fraction, self.macs, self.parameters, self.bytes) if goal is not None]
        if len(goals) != 1 or not goals[0] > 0:
            raise RecipeError(
                "channels needs one goal: fraction, macs, parameters or bytes, above zero", do="fraction = 0.5"
            )
        if self.fraction is not None and self.fraction >= 1:
            raise RecipeError(f"fraction must be in (0, 1), not {self.fraction:g}", do="0.5 halves every group")
        if self.importance not in IMPORTANCES:
            raise RecipeError(f"unknown importance {self.importance!r}", do=nearest(self.importance, IMPORTANCES))
        if self.rounds < 1:
            raise RecipeError(f"rounds must be at least 1, not {self.rounds}", do="rounds = 1")


@dataclass(frozen=True)
class Cluster(_OnLayers):
    """Weight sharing: each kernel holds at most `clusters` different values.

    per_channel: so many for each output channel of a Conv2D, the unit of int8 quantisation. ends: as in Prune.
    """

    name: ClassVar[str] = "cluster"
    clusters: int = 16
    centroids: str = "kmeans++"
    per_channel: bool = False
    ends: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clusters < 2:
            raise RecipeError(f"clusters must be at least 2, not {self.clusters}", do="16 is usual")
        if self.centroids not in CENTROIDS:
            raise RecipeError(f"unknown centroids {self.centroids!r}", do=nearest(self.centroids, CENTROIDS))


@dataclass(frozen=True)
class Qat(_Step):
    """Quantisation-aware training, 8 bits, of the whole model; keeps the zeros and clusters of earlier steps."""

    name: ClassVar[str] = "qat"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs == 0:
            raise RecipeError(
                "qat needs at least one epoch", evidence="it learns the ranges of activations", do="epochs = 1"
            )


@dataclass(frozen=True)
class Distill(_Step):
    """The model learns from a teacher, a zoo name or a model file, in this step and in all that follow.

    temperature: of the soft targets; alpha: their weight in the loss, the labels have the rest.
    features: weight of matching the last feature map through a learnt 1x1 projection; 0 is off.
    """

    name: ClassVar[str] = "distill"
    teacher: str = ""
    temperature: float = 4.0
    alpha: float = 0.7
    features: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.teacher:
            raise RecipeError("distill needs a teacher", do='teacher = "teacher.h5", or a zoo name')
        if not (0 < self.temperature < math.inf and 0 < self.alpha <= 1 and 0 <= self.features < math.inf):
            raise RecipeError(
                "distill takes temperature > 0, alpha in (0, 1] and features >= 0",
                evidence=f"temperature = {self.temperature}, alpha = {self.alpha}, features = {self.features}",
                do="leave them out for 4.0, 0.7 and 0.0",
            )


Step = Union[Prune, Channels, Cluster, Qat, Distill]
STEPS: Dict[str, Type[Any]] = {step.name: step for step in (Prune, Channels, Cluster, Qat, Distill)}
# What `--optimize prune=0.5` sets.
MAIN = {"prune": "sparsity", "channels": "fraction", "cluster": "clusters", "distill": "teacher"}
# A later one keeps what the earlier ones reached, not the other way round.
RANK = {"distill": 0, "channels": 0, "prune": 1, "cluster": 2, "qat": 3}


def steps_of(tables: Sequence[Dict[str, Any]]) -> Tuple[Step, ...]:
    """The [[optimize]] tables as steps, in an order that can work. Raises RecipeError."""
    steps = tuple(_step(number, table) for number, table in enumerate(tables, 1))
    names = [step.name for step in steps]
    for name in set(names):
        if names.count(name) > 1:
            raise RecipeError(f"[[optimize]] has {name} twice", do="one is enough: give it the values of the last")
    ranked = sorted(names, key=lambda name: RANK[name])
    if ranked != names:
        raise RecipeError(
            f"[[optimize]] cannot run {', '.join(names)} in this order",
            evidence="each keeps what those before it reached and undoes what those after it would",
            do="order them " + ", ".join(ranked),
        )
    return steps


def _step(number: int, table: Dict[str, Any]) -> Step:
    values = dict(table)
    name = values.pop("step", None)
    if not isinstance(name, str) or name not in STEPS:
        raise RecipeError(f"[[optimize]] table {number} has no known step: {name!r}", do=nearest(str(name), STEPS))
    step: Step = from_plain(STEPS[name], values, f"optimize.{name}")
    return step


def with_teachers(tables: Sequence[Dict[str, Any]], moved: Callable[[str], str]) -> Tuple[Dict[str, Any], ...]:
    """The [[optimize]] tables with every teacher's path `moved`; names of the zoo stay, whatever lies beside them.

    A path has a suffix or a slash, or it is there; anything else is a name of the zoo, misspelt.
    """

    def place(teacher: str) -> str:
        if teacher in NAMED_MODELS:
            return teacher
        is_path = (
            os.path.splitext(teacher)[1] or os.sep in teacher or any(map(os.path.exists, (teacher, moved(teacher))))
        )
        return moved(teacher) if is_path else teacher

    return tuple({**table, "teacher": place(table["teacher"])} if "teacher" in table else table for table in tables)


def parse_steps(text: str) -> Tuple[Dict[str, Any], ...]:
    """`prune=0.5,cluster=16,qat` as [[optimize]] tables; `none` as no table. Raises RecipeError."""
    if text.strip() == "none":
        return ()
    return tuple(_parsed(word, text) for word in text.split(","))


def _parsed(word: str, text: str) -> Dict[str, Any]:
    name, sign, value = (part.strip() for part in word.partition("="))
    if not name:
        raise RecipeError(
            f"a step has no name in {text!r}", do=f"steps with commas in between: {', '.join(STEPS)}; or none"
        )
    if name not in STEPS:
        raise RecipeError(f"unknown step {name!r}", do=nearest(name, STEPS))
    if sign and name not in MAIN:
        raise RecipeError(f"{name} takes no value", evidence=f"got {word.strip()!r}", do=name)
    if sign and not value:
        raise RecipeError(f"{name}= has no value", do=f"{name}={MAIN[name].upper()}")
    return {"step": name, **({MAIN[name]: _number(value)} if sign else {})}


def _number(text: str) -> Any:
    """An int or a float where the text is one: a teacher's name stays text."""
    if re.fullmatch(r"-?[0-9]+", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)(e-?[0-9]+)?", text) else text
