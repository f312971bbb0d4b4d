"""The space of recipes, all of it: what is varied, how coarsely, where a search begins, and what is left out and why.

Values are few and coarse on purpose: trials that begin alike then share their trained weights and finished steps in
the cache (`artifact.cached`), and a difference smaller than what the test samples can tell is not worth a trial.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tflite_edge.records.conversion import NEVER_SPARSE
from tflite_edge.records.recipe import Recipe
from tflite_edge.records.search import MEASURED, PREDICTED, Budget

Point = dict[str, Any]  # axis -> value

WIDTHS = (1.0, 0.75, 0.5)  # of the recipe's own width
SIZES = (1.0, 0.75, 0.5)  # of its input's height and width, in steps of 8
CHANNELS = (0.0, 0.25, 0.5, 0.75)  # share of filters that are removed
SPARSITIES = (0.0, 0.5, 0.8)
CLUSTERS = (0, 32, 16)
SCHEMES = ("int8", "int8+qat", "int16x8", "dynamic", "float16")
FITTED = ("int8", "int8+qat", "float32")  # of which a latency can be predicted (targets/emulator/fit.py)
THREADS = (1, 2, 4)
SHORT = 4  # the first fine-tuning of a trial has a quarter of the epochs

# name -> what differs from the recipe's own model in plain int8. Known to do well (docs/log.md, benchmarks/RESULTS.md).
PRESETS: dict[str, Point] = {
    "plain int8": {},
    "trained int8": {"scheme": "int8+qat"},
    "prune, cluster, QAT": {"prune": 0.5, "cluster": 16, "scheme": "int8+qat"},
    "half the channels, taught": {"channels": 0.5, "distill": True, "scheme": "int8+qat"},
    "half the width": {"alpha": 0.5, "scheme": "int8"},
    "half the width, taught": {"alpha": 0.5, "distill": True, "scheme": "int8+qat"},
    "channels, prune, cluster, QAT": {
        "channels": 0.5, "distill": True, "prune": 0.5, "cluster": 16, "scheme": "int8+qat",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """values: from the recipe's own, the largest, to the smallest. ordered: neighbours are alike."""

    name: str
    values: tuple[Any, ...]
    ordered: bool = True

    @property
    def words(self) -> str:
        return ", ".join(_word(value) for value in self.values)


@dataclass(frozen=True)
class Space:
    """left_out: axis -> why it is not searched. recipe: the base, resolved; teacher: whom students learn from."""

    recipe: Recipe
    axes: tuple[Axis, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    teacher: str = ""

    @property
    def words(self) -> dict[str, str]:
        return {axis.name: axis.words for axis in self.axes} | {
            name: f"not searched: {why}" for name, why in self.left_out.items()
        }

    @property
    def largest(self) -> Point:
        """The recipe's own model in plain int8."""
        return {axis.name: axis.values[0] for axis in self.axes}

    @property
    def smallest(self) -> Point:
        """What no other point has fewer bytes or operations than, without trained quantisation."""
        return {axis.name: axis.values[-1] if axis.ordered else axis.values[0] for axis in self.axes}

    def all(self) -> Iterator[Point]:
        """Every point, neighbours after each other."""
        for values in itertools.product(*(axis.values for axis in self.axes)):
            yield dict(zip((axis.name for axis in self.axes), values, strict=True))

    def presets(self) -> dict[str, Point]:
        """Those of PRESETS that lie in the space: width is relative there, and absolute here."""
        found: dict[str, Point] = {}
        for name, differs in PRESETS.items():
            point = self.largest | differs
            if "alpha" in differs and "alpha" in self.largest:
                point["alpha"] = _width(self.largest["alpha"], differs["alpha"])
            if all(self._has(axis, value) for axis, value in point.items()) and point not in found.values():
                found[name] = point
        return found

    def _has(self, name: str, value: Any) -> bool:
        return any(axis.name == name and value in axis.values for axis in self.axes)

    def changes(self, point: Point, epochs: int | None = None) -> dict[str, Any]:
        """The point as {"table.key": value} over the recipe. epochs: of every fine-tuning; None: the recipe's."""
        changes: dict[str, Any] = {}
        if "alpha" in point:
            changes["model.alpha"] = point["alpha"]
        if "input" in point:
            changes["model.input"] = list(point["input"])
        if "threads" in point:
            changes["target.threads"] = point["threads"]
        mode, _, trained = point["scheme"].partition("+")
        changes["optimize"] = [
            {"step": step, **settings}
            for step, settings, wanted in (
                ("distill", {"teacher": self.teacher}, point.get("distill")),
                ("channels", {"fraction": point.get("channels")}, point.get("channels")),
                ("prune", {"sparsity": point.get("prune")}, point.get("prune")),
                ("cluster", {"clusters": point.get("cluster")}, point.get("cluster")),
                ("qat", {}, trained),
            )
            if wanted
        ]
        changes["convert.quantize"] = [mode]
        if epochs is not None and changes["optimize"]:
            changes["tune.epochs"] = epochs
        return changes

    def rungs(self, point: Point) -> tuple[int, ...]:
        """Epochs of the fine-tunings that the point gets in turn: short, then the recipe's; (0,) without any."""
        full = self.recipe.tune.epochs
        if not self.changes(point)["optimize"]:
            return (0,)
        short = max(1, full // SHORT)
        return (short, full) if short < full else (full,)


def space_of(recipe: Recipe, budget: Budget, *, images: bool, width: float | None = None, smallest: int = 0) -> Space:
    """What can be varied of `recipe`, whose model is resolved.

    images: the data can have any size. width: the zoo's own of this model, None where it has none; smallest: the least
    height and width that its architecture takes. Both are of zoo models only.
    """
    axes: list[Axis] = []
    left_out: dict[str, str] = {}

    def take(name: str, values: tuple[Any, ...], why_not: str = "", *, ordered: bool = True) -> None:
        values = tuple(dict.fromkeys(values))
        if why_not or len(values) < 2:
            left_out[name] = why_not or f"only {_word(values[0])} is possible"
        else:
            axes.append(Axis(name, values, ordered))

    model = recipe.model
    own = (
        f"{recipe.name} is a file of your own, and has the shape that it has"
        if model.file
        else "ImageNet's weights are of one shape"
        if model.weights == "imagenet"
        else ""
    )
    alpha = model.alpha or width
    no_width = own or ("" if alpha else f"{recipe.name} has no width multiplier")
    take("alpha", tuple(_width(alpha or 1.0, share) for share in WIDTHS), no_width)
    shape = model.input or ()
    square = len(shape) == 3 and shape[0] == shape[1]
    no_size = own or ("" if images and square else "its input is no square image")
    take("input", tuple(_sized(shape, share, smallest) for share in SIZES), no_size)

    steps = "task anomaly takes no optimisation steps" if recipe.data.task == "anomaly" else ""
    untaught = steps or (
        f"the teacher would be narrower than the student: {recipe.name} of the zoo has alpha {width:g}"
        if model.name and width and (model.alpha or width) > width
        else ""
    )
    take("channels", CHANNELS, steps)
    take("distill", (False, True), untaught, ordered=False)
    smaller = budget.compressed or recipe.convert.sparse
    dense = "" if smaller else "zeros make no file smaller that is neither gzipped (--compressed) nor sparse"
    take("prune", SPARSITIES, steps or dense)
    shared = "" if budget.compressed else "shared values make no file smaller that is not gzipped (--compressed)"
    take("cluster", CLUSTERS, steps or shared)
    untrained = "" if steps else _no_training(recipe)
    if untrained:
        left_out["int8+qat"] = untrained
    take("scheme", _schemes(recipe, budget, steps or untrained), ordered=False)
    timed = {MEASURED: "", PREDICTED: "the prediction is for 4 threads", "": "no latency is a goal"}[
        budget.latency_kind
    ]
    take("threads", (recipe.target.threads, *THREADS), timed, ordered=False)
    return Space(recipe, tuple(axes), left_out, model.file or model.name)


def _no_training(recipe: Recipe) -> str:
    """Why the recipe's int8 file cannot be trained in 8 bits, "" if it can."""
    if recipe.convert.per_tensor:
        return "qat and per_tensor do not go together"
    return "qat and the litert quantizer do not go together" if recipe.convert.quantizer == "litert" else ""


def _schemes(recipe: Recipe, budget: Budget, no_training: str) -> tuple[str, ...]:
    """Quantisation modes, with and without training in 8 bits. Of the sizes of float, float16 is the smaller one."""
    known: tuple[str, ...] = FITTED if budget.latency_kind == PREDICTED else SCHEMES
    if no_training:
        known = tuple(scheme for scheme in known if "+" not in scheme)
    return tuple(scheme for scheme in known if not (recipe.convert.sparse and scheme in NEVER_SPARSE))


def _width(alpha: float, share: float) -> float:
    return round(alpha * share, 4)


def _sized(shape: tuple[int, ...], share: float, smallest: int) -> tuple[int, ...]:
    """The shape with its height and width scaled, in steps of 8 and not below the smallest; [] stays []."""
    if share == 1.0 or len(shape) != 3:
        return tuple(shape)
    side = max(int(shape[0] * share) // 8 * 8, min(-(-smallest // 8) * 8, shape[0]))
    return (side, side, shape[2])


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return "x".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
