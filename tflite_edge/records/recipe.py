"""The recipe: everything that decides what comes out. TOML in; the resolved recipe goes into the manifest."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Callable, Dict, Optional, Tuple

from tflite_edge.records.conversion import SCHEMES, Conversion
from tflite_edge.records.errors import RecipeError, UsageError
from tflite_edge.records.job import RUNTIMES
from tflite_edge.records.learning import TRAINABLE, HeadPlan
from tflite_edge.records.plain import from_plain, nearest, to_plain
from tflite_edge.records.preprocess import NORMALIZATIONS
from tflite_edge.records.repair import Repair
from tflite_edge.records.step import Step, parse_steps, steps_of, with_teachers
from tflite_edge.records.verdict import Gates

NAMED_DATA = ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100")
WEIGHTS = ("train", "imagenet", "random")
TASKS = ("auto", "anomaly")
OPTIMIZERS = ("adam", "sgd")  # sgd: with Nesterov momentum 0.9
SCHEDULES = ("cosine", "constant")


@dataclass(frozen=True)
class ModelSource:
    """A zoo model by `name`, or the user's own `file` (.h5, tf_keras .keras, SavedModel folder).

    input: [height, width, channels], by default the zoo's size with the channels of the data; alpha: width
    multiplier. Both only for zoo models, except that `input` also fills the dimensions that a file leaves open.
    """

    name: str = ""
    file: str = ""
    input: Optional[Tuple[int, ...]] = None
    alpha: Optional[float] = None
    weights: str = "train"
    allow_code: bool = False

    def __post_init__(self) -> None:
        if bool(self.name) == bool(self.file):
            raise RecipeError(
                "[model] needs either a zoo name or a file", do='name = "mobilenet", or file = "my_model.h5"'
            )
        if self.weights not in WEIGHTS:
            raise RecipeError(f"unknown weights {self.weights!r}", do=nearest(self.weights, WEIGHTS))
        if self.alpha is not None and not 0 < self.alpha <= 4:
            raise RecipeError(f"alpha must be in (0, 4], not {self.alpha}")
        if self.input is not None and (not self.input or min(self.input) < 1):
            raise RecipeError(f"input must be positive sizes, such as [96, 96, 3], not {list(self.input)}")


@dataclass(frozen=True)
class DataSource:
    """`source`: one of NAMED_DATA, an image folder or an .npz; a zoo model takes digits without one.

    task: "auto", what the labels say: integers are classes, floats are targets; or "anomaly": labels
        are 0 (normal) and 1, and the model answers its own input, the worse the stranger it is.
    normalize: a key of NORMALIZATIONS, or "auto": the zoo model's own, else what the model proves to
        have been trained with. test and calibration: shares of the pool where the source has no split
        of its own. calibration_samples: size of the representative dataset, stratified by class.
    representative: "", drawn from `source`; else a dataset of its own for the converter, as `source` is written. Images
        get the same preprocessing; other values beside images are what the model takes.
    """

    source: str = ""
    task: str = "auto"
    normalize: str = "auto"
    fit: str = "stretch"
    test: float = 0.2
    calibration: float = 0.1
    calibration_samples: int = 200
    representative: str = ""
    seed: int = 7

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise RecipeError(f"unknown task {self.task!r}", do=nearest(self.task, TASKS))
        if self.normalize not in ("auto", *NORMALIZATIONS):
            raise RecipeError(
                f"unknown normalize {self.normalize!r}", do=nearest(self.normalize, ("auto", *NORMALIZATIONS))
            )
        if not (0 < self.test < 1 and 0 < self.calibration < 1 and self.test + self.calibration < 1):
            raise RecipeError(
                "test and calibration must be shares in (0, 1) that leave something to train on",
                evidence=f"test = {self.test}, calibration = {self.calibration}",
            )
        if self.calibration_samples < 1:
            raise RecipeError(
                f"calibration_samples must be at least 1, not {self.calibration_samples}",
                do="100 to 500 images, a few of every class, are usual; without any the converter makes a float model",
            )


@dataclass(frozen=True)
class Training:
    """How a zoo model without weights is trained: warm-up and a schedule, small affine augmentation.

    optimizer: a key of OPTIMIZERS. schedule: one of SCHEDULES, what follows a warm-up over a tenth of the steps.
    augment: strength; 1.0 is up to 8.6 degrees, 10 % zoom and an eighth of the image of shift. None, which [tune] has:
    0.5, or as much less as the model that is tuned asks for (tf/optimize/altered.py).
    mirror: half of the images are turned left to right: photos, not digits or letters.
    patience: epochs without a better loss on a held-out tenth of the training samples after which it stops
    and goes back to the best; 0 is off.
    """

    epochs: int = 20
    batch: int = 32
    learning_rate: float = 0.02
    optimizer: str = "adam"
    schedule: str = "cosine"
    augment: Optional[float] = 0.5
    mirror: bool = False
    patience: int = 0
    seed: int = 7

    def __post_init__(self) -> None:
        for key, value, known in (("optimizer", self.optimizer, OPTIMIZERS), ("schedule", self.schedule, SCHEDULES)):
            if value not in known:
                raise RecipeError(f"unknown {key} {value!r}", do=nearest(value, known))
        if (
            min(self.epochs, self.batch) < 1
            or not 0 < self.learning_rate < math.inf
            or not (0 <= self.augment < math.inf if self.augment is not None else isinstance(self, Tuning))
            or self.patience < 0
        ):
            raise RecipeError(
                "[train] and [tune] take epochs, batch and learning_rate > 0, augment and patience >= 0",
                evidence=", ".join(
                    f"{key} = {getattr(self, key)}"
                    for key in ("epochs", "batch", "learning_rate", "augment", "patience")
                ),
                do="leave a key out for its default",
            )


@dataclass(frozen=True)
class Tuning(Training):
    """The same for the fine-tuning of every optimisation step; a step's own epochs and learning_rate go before."""

    epochs: int = 8
    learning_rate: float = 0.002
    augment: Optional[float] = None


@dataclass(frozen=True)
class Convert:
    """The flatbuffers to make: `quantize` names modes; `io` is the edge type of the int8 one.

    bake, flex, sparse: as in Conversion. trainable: each mode that is in TRAINABLE also with a head that learns.
    per_tensor: the int8 file has one scale for each kernel, for accelerators that know no others; costs accuracy.
    repair: an int8 file that loses more than `max_drop` is made again, rung by rung of a ladder, until one does not.
    quantizer: one of QUANTIZERS, for every mode but float32.
    """

    quantize: Tuple[str, ...] = ("float32", "float16", "int8")
    io: str = "int8"
    bake: bool = False
    flex: bool = False
    sparse: bool = False
    trainable: bool = False
    per_tensor: bool = False
    repair: bool = False
    quantizer: str = "converter"

    def __post_init__(self) -> None:
        for mode in self.quantize:
            if mode not in SCHEMES:
                raise RecipeError(f"unknown quantisation {mode!r}", do=nearest(mode, SCHEMES))
        if not self.quantize:
            raise RecipeError("quantize is empty", do="one or more of " + ", ".join(SCHEMES))
        if len(set(self.quantize)) != len(self.quantize):
            raise RecipeError(f"quantize names a mode twice: {', '.join(self.quantize)}")
        if self.trainable and not set(self.quantize) & set(TRAINABLE):
            raise RecipeError(
                "trainable needs a backbone in one of " + ", ".join(TRAINABLE),
                evidence=f"quantize: {', '.join(self.quantize)}",
                do='quantize = ["float32"]',
            )
        self.conversions()

    def conversions(self, original: bool = False) -> Tuple[Conversion, ...]:
        """One for each mode; with `original`, the model as it came goes first, stored whole, to compare with: in float,
        and in plain int8 where int8 is asked for."""

        def one(mode: str, original: bool = False) -> Conversion:
            io = self.io if mode == "int8" else "float32"
            sparse = self.sparse and not original
            per_tensor = self.per_tensor and mode == "int8"
            quantizer = "converter" if mode == "float32" else self.quantizer
            return Conversion(
                mode,
                io=io,
                bake=self.bake,
                flex=self.flex,
                original=original,
                sparse=sparse,
                per_tensor=per_tensor,
                quantizer=quantizer,
            )

        modes = [one(mode) for mode in self.quantize]
        first = [one(mode, True) for mode in ("float32", "int8") if mode in ("float32", *self.quantize)]
        taught = [mode for mode in self.quantize if self.trainable and mode in TRAINABLE]
        learning = [replace(one(mode), sparse=False, trainable=True) for mode in taught]
        return (*(first if original else ()), *modes, *learning)


PROVEN_ON = (*RUNTIMES, "tflite-micro")  # the last by its table alone


@dataclass(frozen=True)
class Target:
    """Where the harness runs (`on`, as `targets.open_machine` takes it), and with what.

    runtime: "auto", or a name of PROVEN_ON, also with a version: NAME==VERSION. Files are made so that they load there.
    deadline_s: the longest one harness process may take. samples: the most test samples that are scored, drawn class by
    class; 0: all of them, or as many as the machine says are worth the time (`Machine.samples`).
    """

    on: str = "local"
    runtime: str = "auto"
    threads: int = 1
    deadline_s: float = 600.0
    samples: int = 0

    def __post_init__(self) -> None:
        if self.runtime_name not in ("auto", *PROVEN_ON) or self.runtime.startswith("auto=="):
            known = ("auto", *PROVEN_ON)
            raise RecipeError(f"unknown runtime {self.runtime!r}", do=nearest(self.runtime_name, known))
        if self.threads < 1 or not self.deadline_s > 0 or self.samples < 0:
            raise RecipeError("[target] takes threads >= 1, deadline_s > 0 and samples >= 0")

    @property
    def runtime_name(self) -> str:
        return self.runtime.partition("==")[0].strip()

    @property
    def runtime_version(self) -> str:
        """As far as it is named: "2.14" is any 2.14; "" is any at all."""
        return self.runtime.partition("==")[2].strip()

    @property
    def harness_runtime(self) -> str:
        """What a Job takes: a runtime that no harness has is stood in for by what there is."""
        return self.runtime_name if self.runtime_name in RUNTIMES else "auto"


@dataclass(frozen=True)
class Recipe:
    """repair: how the int8 file is to be made, as a ladder found it; with it there is no ladder."""

    model: ModelSource
    data: DataSource = field(default_factory=DataSource)
    train: Training = field(default_factory=Training)
    optimize: Tuple[Dict[str, Any], ...] = ()
    tune: Tuning = field(default_factory=Tuning)
    convert: Convert = field(default_factory=Convert)
    head: HeadPlan = field(default_factory=HeadPlan)
    target: Target = field(default_factory=Target)
    gates: Gates = field(default_factory=Gates)
    repair: Optional[Repair] = None

    def __post_init__(self) -> None:
        if not self.data.source and self.model.file:
            raise RecipeError(
                f"which data is {self.model.file} for?",
                evidence="without data it can be neither calibrated nor proven",
                do="--data FOLDER, one folder of images per class, or --data FILE.npz with x and y",
            )
        if not self.data.source:
            object.__setattr__(self, "data", replace(self.data, source="digits"))
        if self.data.task == "anomaly" and self.convert.bake:
            raise RecipeError(
                "bake and task anomaly do not go together",
                evidence="the model rebuilds its normalised input, and baked it takes the raw one",
                do="bake = false",
            )
        if any(step.name == "qat" for step in self.steps) and "int8" not in self.convert.quantize:
            raise RecipeError(
                "qat trains for int8, and no int8 file is asked for",
                evidence=f"quantize: {', '.join(self.convert.quantize)}; these are made of the model before qat",
                do="add int8 to quantize, or --optimize none",
            )
        if self.convert.per_tensor and any(step.name == "qat" for step in self.steps):
            raise RecipeError(
                "qat and per_tensor do not go together",
                evidence="qat trains a scale for each channel of a convolution",
                do="per_tensor = false, or leave qat out",
            )
        if self.convert.quantizer == "litert" and any(step.name == "qat" for step in self.steps):
            raise RecipeError(
                "qat and the litert quantizer do not go together",
                evidence="the ranges that qat trains are in the Keras model; that quantizer starts from a float file",
                do='quantizer = "converter", or leave qat out',
            )
        self._check_repair()
        if self.convert.trainable and self.data.task == "anomaly":
            raise RecipeError("a trainable head tells classes, and task anomaly has none", do="trainable = false")
        if self.steps and self.data.task == "anomaly":
            raise RecipeError(
                "optimisation steps and task anomaly do not go together",
                evidence="what a step costs is measured in accuracy, and a model that rebuilds its input has none",
                do="--optimize none, or no [[optimize]] tables; int8 and float16 make it smaller as it is",
            )

    def _check_repair(self) -> None:
        repair = self.repair or Repair()
        if not repair.is_plain and self.convert.quantizer == "litert":
            raise RecipeError(
                "[repair] and the litert quantizer do not go together",
                evidence="it measures its ranges itself; a repaired file is made by TensorFlow's quantiser",
                do='quantizer = "converter", or leave [repair] out',
            )

        if repair.qat_epochs and self.convert.per_tensor:
            raise RecipeError(
                "qat_epochs in [repair] and per_tensor do not go together",
                evidence="training learns a scale for each channel of a convolution",
                do="per_tensor = false, or another repair",
            )
        if repair.qat_epochs and self.data.task == "anomaly":
            raise RecipeError(
                "qat_epochs in [repair] and task anomaly do not go together",
                evidence="what training costs is measured in accuracy, and a model that rebuilds its input has none",
                do="another repair",
            )

    @property
    def steps(self) -> Tuple[Step, ...]:
        return steps_of(self.optimize)

    @property
    def name(self) -> str:
        """What the outputs are called: the zoo name or the file's stem."""
        return self.model.name or os.path.splitext(os.path.basename(self.model.file.rstrip("/\\")))[0]

    def with_paths(self, moved: Callable[[str], str]) -> Recipe:
        """The recipe with each path in it `moved`: of the model, the data and the teacher."""
        model, data = self.model, self.data
        if model.file:
            model = replace(model, file=moved(model.file))
        if data.source not in NAMED_DATA:
            data = replace(data, source=moved(data.source))
        if data.representative and data.representative not in NAMED_DATA:
            data = replace(data, representative=moved(data.representative))
        return replace(self, model=model, data=data, optimize=with_teachers(self.optimize, moved))


def read_recipe(path: str) -> Recipe:
    """Read a recipe (.toml), or the resolved recipe out of a manifest (.json).

    Relative paths in it are relative to the recipe. Raises RecipeError.
    """
    try:
        with open(path, "rb") as stream:
            values = _parse(path, stream.read())
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}", evidence=str(error)) from error
    recipe = from_plain(Recipe, values)
    folder = os.path.dirname(os.path.abspath(path))
    return recipe.with_paths(lambda path: os.path.normpath(os.path.join(folder, path)))


def _parse(path: str, text: bytes) -> Dict[str, Any]:
    if path.endswith(".json"):
        import json

        try:
            return dict(json.loads(text)["recipe"])
        except (ValueError, KeyError, TypeError) as error:
            raise RecipeError(f"{path} is not a manifest of tflite-edge", evidence=repr(error)) from error
    tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        return dict(tomllib.loads(text.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid TOML", evidence=str(error)) from error


def recipe_for(source: str, changes: Optional[Dict[str, Any]] = None) -> Recipe:
    """The recipe behind `source`: a recipe (.toml), a manifest (.json), a model file or a zoo name.

    changes: {"table.key": value} laid over it, "optimize" as it is typed or as tables; None values are skipped.
    "gates.max_drop" switches on "convert.repair" unless that is given as well; either leaves out what an earlier ladder
    came to ([repair]), which was for another drop.
    Raises RecipeError for what is written in the recipe, UsageError for the changes.
    """
    given = {path: _text(value) for path, value in (changes or {}).items() if value is not None}
    if source.endswith((".toml", ".json")):
        recipe = read_recipe(source)
    elif os.path.exists(source) or os.path.splitext(source)[1] or os.sep in source:
        recipe = Recipe(ModelSource(file=source), DataSource(given.get("data.source", "")))
    else:
        recipe = Recipe(ModelSource(name=source))
    if "gates.max_drop" in given:  # who names what may be lost wants a file that keeps to it
        given.setdefault("convert.repair", True)
    if "convert.repair" in given:
        recipe = replace(recipe, repair=None)
    try:
        recipe = with_changes(recipe, given)
    except RecipeError as error:  # what was typed, not what was written in the recipe
        raise UsageError(error.what, evidence=error.evidence, do=error.do) from error
    if given.get("convert.io") and "int8" not in recipe.convert.quantize:
        raise UsageError("--io is the input and output type of the int8 model, and none is asked for")
    return recipe


def with_changes(recipe: Recipe, changes: Dict[str, Any]) -> Recipe:
    """The recipe with {"table.key": value} laid over it, all at once: judged as a whole, in whatever order.

    Raises RecipeError.
    """
    return from_plain(Recipe, _changed(to_plain(recipe), changes))


def _changed(values: Dict[str, Any], changes: Dict[str, Any]) -> Dict[str, Any]:
    for path, value in changes.items():
        table, _, key = path.partition(".")
        if path == "optimize":
            values[path] = parse_steps(value) if isinstance(value, str) else value
        elif key and isinstance(values.setdefault(table, {}), dict):
            values[table][key] = value
        else:
            raise RecipeError(f"{path!r} cannot be changed", do='"table.key", such as "train.epochs", or "optimize"')
    return values


def _text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value
