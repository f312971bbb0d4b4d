"""Model and data together: what the rest of the pipeline starts from."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tflite_edge import __version__
from tflite_edge.artifact import cache_folder, cached, is_cached, key_of, sha256
from tflite_edge.harness.preprocess import normalize
from tflite_edge.records.conversion import Conversion
from tflite_edge.records.errors import DataError, ModelError, RecipeError
from tflite_edge.records.event import Event, Listener
from tflite_edge.records.manifest import Provenance, StepRecord
from tflite_edge.records.plain import nearest, to_plain
from tflite_edge.records.recipe import ModelSource, Recipe
from tflite_edge.records.step import Distill
from tflite_edge.tf.convert import litert
from tflite_edge.tf.data import normalization
from tflite_edge.tf.data.dataset import Dataset, Split, split
from tflite_edge.tf.data.packs import write_pack
from tflite_edge.tf.data.sources import Pool, open_source, refuse_other_classes
from tflite_edge.tf.models import load, train, zoo
from tflite_edge.tf.quiet import quiet


class Packs(NamedTuple):
    """The test samples, and one of them: to time a model, the others would only fill the memory.

    lessons: some of the training samples, for what is to show that it learns; else None.
    """

    test: Path
    one: Path
    lessons: Path | None = None


@dataclass
class Source:
    """A float model and its data. recipe: with what the data decided; why: automatic choices.

    fingerprint: SHA-256 of weights and structure. pending: what the trained weights of a zoo model are kept under,
    until it has them.
    After optimisation: quantized is the model with trained quantisation, original the source as it came.
    """

    recipe: Recipe
    model: Any
    data: Dataset
    fingerprint: str
    why: dict[str, str] = field(default_factory=dict)
    pending: str = ""
    quantized: Any = None
    original: Source | None = None
    steps: tuple[StepRecord, ...] = ()

    @property
    def must_be_trained(self) -> bool:
        return bool(self.pending) and not is_cached("weights", self.pending)

    def trained(self, listen: Listener) -> Source:
        """Itself with the weights it is to have: trained once, then found."""
        if not self.pending:
            return self

        def make(folder: Path) -> None:
            backup = cache_folder() / "backup" / self.pending
            train.train(self.model, self.data, self.recipe.train, listen, backup)
            load.refuse_nan(
                self.recipe.model.name, self.model, "its training diverged: a smaller [train] learning_rate"
            )
            self.model.save_weights(folder / "weights.h5")
            shutil.rmtree(backup, ignore_errors=True)

        self.model.load_weights(cached("weights", self.pending, make) / "weights.h5")
        return replace(self, pending="", fingerprint=_fingerprint(self.recipe.model, self.model))

    def behind(self, conversion: Conversion) -> Source:
        """The source whose `model` that flatbuffer is made of: after trained quantisation only int8 is.

        A trainable one is not: its int8 backbone ends before the last layer, where nothing was trained in 8 bits.
        """
        if conversion.original and self.original is not None:
            return self.original
        if conversion.mode == "int8" and self.quantized is not None and not conversion.trainable:
            return replace(self, model=self.quantized, fingerprint=key_of(self.fingerprint, "quantized"))
        return self

    def calibrated_with(self, calibration: Split) -> Source:
        """The same with another representative dataset, for what is made of it from here on."""
        original = self.original.calibrated_with(calibration) if self.original else None
        return replace(self, data=replace(self.data, calibration=calibration), original=original)

    def reference(self) -> np.ndarray:
        """float32 [n, K]: the Keras model's answers on the test samples."""
        test = self.data.test
        key = key_of(self.fingerprint, test.sha256, to_plain(self.data.preprocess), tensorflow_version())

        def make(folder: Path) -> None:
            np.save(folder / "reference.npy", predict(self.model, test.x))

        return np.load(cached("reference", key, make) / "reference.npy")

    def write_packs(self, folder: Path, conversion: Conversion, most: int | None = None) -> Packs:
        """The packs that prove a conversion, in `folder`: with all test samples, or `most` of them."""
        return Packs(
            self.write_pack(folder / "test.npz", conversion, most),
            self.write_pack(folder / "one.npz", conversion, most=1),
            self._write_lessons(folder / "lessons.npz") if conversion.trainable else None,
        )

    def _write_lessons(self, path: Path, most: int = 256) -> Path:
        """Training samples with their labels, evenly spread. Raises DataError where the data have no classes."""
        if self.data.task != "classification":
            raise DataError(
                f"a trainable head tells classes, and {self.data.pool.name} is data for {self.data.task}",
                do="leave --trainable out, or give integer labels",
            )
        wanted = self.data.train.wanted
        spread = np.linspace(0, len(wanted) - 1, min(most, len(wanted))).round().astype(int)
        some = Split(self.data.pool, wanted[spread], self.data.preprocess)
        return write_pack(path, some.raw, some.y)

    def write_pack(self, path: Path, conversion: Conversion | None = None, most: int | None = None) -> Path:
        """The test samples as .npz with labels and Keras's answers, or `most` of them, class by class.

        reference: the model behind the conversion; baseline: the float model as it came.
        """
        test = self.data.test
        reference = (self.behind(conversion) if conversion else self).reference()
        chosen = test.spread(most)
        y = None if test.y is None else test.y[chosen]
        baseline = None if self.original is None else self.original.reference()[chosen]
        return write_pack(path, test.raw[chosen], y, reference[chosen], baseline, anomaly=self.data.anomaly)

    def provenance(self) -> Provenance:
        data, y = self.data, self.data.test.y
        float_answers = (self.original or self).reference()
        right = None if y is None or data.task != "classification" else float((float_answers.argmax(-1) == y).mean())
        return Provenance(
            model=self.recipe.name,
            model_sha256=self.fingerprint,
            parameters=int((self.original or self).model.count_params()),
            data=data.pool.name,
            data_sha256=data.pool.sha256,
            calibration_sha256=data.calibration.sha256,
            samples={"train": len(data.train.wanted), "calibration": len(data.calibration), "test": len(data.test)},
            task=data.task,
            keras_top1=right,
            labels=list(data.pool.classes),
            why=self.why,
            notes=list(dict.fromkeys([*data.notes, *data.pool.notes])),
            steps=list(self.steps),
        )


def refuse_unknown(recipe: Recipe) -> None:
    """What can be refused at once, before a folder is made or TensorFlow loaded. Raises RecipeError,
    ModelError, or MissingError for a quantizer that is not installed."""
    if recipe.model.name:
        zoo.input_shape(recipe.model)
    else:
        _refuse_missing("model", recipe.model.file)
    if recipe.convert.quantizer == "litert":
        litert.require()
    for step in recipe.steps:
        if isinstance(step, Distill) and step.teacher not in zoo.ZOO:
            _refuse_missing("teacher", step.teacher)
        elif isinstance(step, Distill) and zoo.entry(step.teacher).task != "classification":
            raise RecipeError(
                f"{step.teacher} cannot teach classes", do="a classifier of the zoo, or a model file, as the teacher"
            )


def _refuse_missing(what: str, file: str) -> None:
    if not Path(file).exists():
        raise ModelError(
            f"no {what} file {file}",
            do="give a zoo name (`tflite-edge models`) or a model file"
            if Path(file).suffix
            else nearest(file, zoo.ZOO),
        )


def open_model(recipe: Recipe, listen: Listener) -> Source:
    """The recipe's model, trained when it is a zoo model without weights, and its data."""
    return open_untrained(recipe, listen).trained(listen)


def open_untrained(recipe: Recipe, listen: Listener, pool: Pool | None = None) -> Source:
    """The recipe's model and its data, from `pool` where they are read already; a zoo model may still be `pending`."""
    if pool is None:
        listen(Event("load", recipe.data.source))
        pool = open_source(recipe.data.source)
    with quiet():
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
    return _from_zoo(recipe, pool) if recipe.model.name else _from_file(recipe, pool)


def predict(model: Any, x: np.ndarray, batch: int = 128) -> np.ndarray:
    """float32 [n, ...]: the Keras model's answers."""
    with quiet():
        return np.concatenate([np.asarray(model(x[i : i + batch], training=False)) for i in range(0, len(x), batch)])


def _from_zoo(recipe: Recipe, pool: Pool) -> Source:
    source = zoo.resolve(recipe.model, pool.channels)
    recipe, shape = replace(recipe, model=source), zoo.input_shape(source)
    if recipe.data.normalize == "auto":
        name, why = zoo.entry(source.name).normalize, f"what {source.name} of the zoo is trained with"
    else:
        name, why = recipe.data.normalize, "named in the recipe"
    preprocess = normalization.preprocess(pool, shape, recipe.data, name)
    data = split(pool, recipe.data, preprocess)
    classes = len(pool.classes)
    _refuse_other_task(source.name, data)
    with quiet():
        import tf_keras

        tf_keras.utils.set_random_seed(recipe.train.seed)
        model = zoo.build(source, classes)
    reasons = {"normalize": f"{name}: {why}"}
    if source.weights == "train" or (source.weights == "imagenet" and classes != 1000):
        key = key_of(
            to_plain(source), classes, pool.sha256, to_plain(replace(recipe.data, representative="")),
            to_plain(recipe.train), to_plain(preprocess),
            tensorflow_version(), __version__,
        )  # fmt: skip
        return Source(recipe, model, data, "", reasons, pending=key)
    return Source(recipe, model, data, _fingerprint(source, model), reasons)


def _from_file(recipe: Recipe, pool: Pool) -> Source:
    path = Path(recipe.model.file)
    loaded = load.read(path, allow_code=recipe.model.allow_code, input_shape=recipe.model.input)
    model = loaded.model
    shape = tuple(model.input_shape[1:])
    asked = (
        replace(recipe.data, normalize="none") if _rescales(model) and recipe.data.normalize == "auto" else recipe.data
    )
    trials = normalization.trials(pool, shape, asked)
    data = split(pool, recipe.data, next(iter(trials.values())))
    _refuse_mismatch(path, model, data)
    if len(trials) > 1:
        samples = data.unseen_by_the_test()
        name, why = normalization.choose(samples, trials, lambda trial: predict(model, normalize(samples.raw, trial)))
        data = split(pool, recipe.data, trials[name])
    else:
        (name,) = trials
        why = "the model rescales its input itself" if asked != recipe.data else "as asked, or the data are not images"
    fingerprint = key_of(sha256(path), list(shape))
    reasons = {"normalize": f"{name}: {why}"} | ({"model": "; ".join(loaded.notes)} if loaded.notes else {})
    return Source(recipe, model, data, fingerprint, reasons)


def _refuse_other_task(name: str, data: Dataset) -> None:
    task = zoo.entry(name).task
    if data.task == task:
        return
    if task == "anomaly":
        raise DataError(
            f"{name} learns to rebuild its input, not to tell classes",
            evidence=f"{data.pool.name} is data for {data.task}",
            do='[data] task = "anomaly" (--task anomaly), and labels: 0 for normal, 1 for anomalous samples',
        )
    raise DataError(
        f"{name} is a classifier, and {data.pool.name} is data for {data.task}",
        do="give x and integer y, one per class",
    )


def _refuse_mismatch(path: Path, model: Any, data: Dataset) -> None:
    outputs, y = tuple(model.output_shape[1:]), data.pool.y
    if y is None:
        return
    if data.task == "anomaly":
        if outputs != tuple(model.input_shape[1:]):
            raise DataError(
                f"{path} answers {list(outputs)}, not its input of {list(model.input_shape[1:])}",
                do="task anomaly is for models that rebuild their input",
            )
    elif data.task == "regression":
        if outputs not in (tuple(y.shape[1:]), (*y.shape[1:], 1)):
            raise DataError(f"the targets have shape {list(y.shape[1:])}, but {path} answers {list(outputs)}")
    elif outputs == (1,) and int(y.max()) == 1:
        raise ModelError(
            f"{path} answers one number for two classes",
            evidence="a class is told by the largest of the outputs, one for each class",
            do='Dense(2, "softmax") in the place of its last layer, with the columns [0, w] as the kernel and [0, b] '
            "as the bias: the second output is the sigmoid",
        )
    elif len(outputs) != 1 or int(y.max()) >= outputs[0]:
        raise ModelError(
            f"{path} does not answer for these classes",
            evidence=f"its output is {list(outputs)}; {data.pool.name} has classes up to number {int(y.max())}",
            do="data with the classes the model was trained for, in the same order (folders: alphabetical)",
        )
    else:
        refuse_other_classes(data.pool, outputs[0], str(path))


def _rescales(model: Any) -> bool:
    kinds = [type(layer).__name__ for layer in model.layers[:4]]
    return "Rescaling" in kinds or "Normalization" in kinds


def _fingerprint(source: ModelSource, model: Any) -> str:
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return key_of(source.name, list(source.input or ()), source.alpha, digest.hexdigest())


def tensorflow_version() -> str:
    from importlib.metadata import version

    return version("tensorflow")
