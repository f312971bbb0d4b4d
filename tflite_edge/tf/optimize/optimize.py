"""Every step of the recipe on one source, each made once and then found in the cache."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tflite_edge import __version__
from tflite_edge.artifact import cache_folder, cached, key_of
from tflite_edge.records.errors import ModelError
from tflite_edge.records.event import Listener, silent
from tflite_edge.records.manifest import Effect, StepRecord
from tflite_edge.records.plain import from_plain, to_plain
from tflite_edge.records.recipe import ModelSource, Recipe
from tflite_edge.records.step import Distill, Step
from tflite_edge.tf.fit import Teacher
from tflite_edge.tf.models import zoo
from tflite_edge.tf.optimize import distill
from tflite_edge.tf.optimize.cost import macs
from tflite_edge.tf.optimize.effect import measure
from tflite_edge.tf.optimize.tuner import Rehearsal, Tuner
from tflite_edge.tf.quiet import quiet
from tflite_edge.tf.source import Source, open_model, predict, tensorflow_version


def optimize(source: Source, recipe: Recipe, listen: Listener) -> Source:
    """The source with all steps of the recipe applied, or itself where there are none.

    What cannot work is refused before anything is trained. Raises ModelError, RecipeError or DataError.
    """
    if not recipe.steps:
        return source
    chain = _Chain(source, recipe, listen)
    for step in recipe.steps:
        chain.take(step)
    return chain.result()


def apply(step: Step) -> Callable[[Any, Any, Tuner], Any]:
    """What applies a step; loads TensorFlow."""
    found: Callable[[Any, Any, Tuner], Any] = import_module(f"tflite_edge.tf.optimize.{step.name}").apply
    return found


def _macs(model: Any) -> int | None:
    """None of a model whose layers hide in wrappers, or whose sizes are open."""
    if any(hasattr(layer, "layer") for layer in model.layers):
        return None
    try:
        return macs(model)
    except ModelError:
        return None


class _Chain:
    """The model on its way through the steps, with a key that names all it has been through."""

    def __init__(self, source: Source, recipe: Recipe, listen: Listener) -> None:
        self.source, self.recipe, self.listen = source, recipe, listen
        self.model, self.quantized = source.model, None
        self.key = source.fingerprint
        self.teacher: Teacher | None = None
        self.done: list[StepRecord] = []
        self.rehearsed = False

    def take(self, step: Step) -> None:
        """Apply one step, or find it done. The first one that is not done has all others rehearsed."""
        with quiet():
            if isinstance(step, Distill):
                self._call_teacher(step)
            data = self.source.data
            self.key = key_of(
                self.key, step.name, to_plain(step), to_plain(self.recipe.tune), data.train.sha256,
                to_plain(data.preprocess), tensorflow_version(), __version__,
            )  # fmt: skip
            folder = cached("optimize", self.key, lambda folder: self._make(step, folder))
            made = self._reopen(step, folder)
        if step.name == "qat":
            self.quantized = made
        else:
            self.model = made
        self.done.append(from_plain(StepRecord, json.loads((folder / "effect.json").read_text())))

    def _make(self, step: Step, folder: Path) -> None:
        self._rehearse()
        backup = cache_folder() / "backup" / self.key
        tune = Tuner(step.name, self.source.data, self.recipe.tune, self.listen, backup, self.teacher)
        made = apply(step)(self.model, step, tune)
        if step.name == "qat":
            made.save_weights(folder / "model.h5")
        else:
            made.save(folder / "model.h5")
        record = StepRecord(step.name, to_plain(step), self._effect(self.model), self._effect(made))
        (folder / "effect.json").write_text(json.dumps(to_plain(record)))
        shutil.rmtree(backup, ignore_errors=True)

    def _reopen(self, step: Step, folder: Path) -> Any:
        """The step's model from the cache. Of trained quantisation that is weights only: no file holds quantisers."""
        import tf_keras

        if step.name != "qat":
            return tf_keras.models.load_model(folder / "model.h5", compile=False)
        from tflite_edge.tf.optimize.qat import skeleton

        made = skeleton(self.model)
        made.load_weights(folder / "model.h5")
        return made

    def _rehearse(self) -> None:
        """All steps that are left, once, without training: what cannot work is refused before hours are spent."""
        if self.rehearsed:
            return
        self.rehearsed, model = True, self.model
        for step in self.recipe.steps[len(self.done) :]:
            if not isinstance(step, Distill):
                model = apply(step)(
                    model, step, Rehearsal(step.name, self.source.data, self.recipe.tune, silent, Path())
                )

    def _effect(self, model: Any) -> Effect:
        effect, test = measure(model), self.source.data.test
        effect = replace(effect, macs=_macs(model))
        if self.source.data.task != "classification" or test.y is None:
            return effect
        return replace(effect, top1=float(np.mean(predict(model, test.x).argmax(-1) == test.y)))

    def _call_teacher(self, step: Distill) -> None:
        """Open the teacher, trained first where it is a zoo model, and let it teach from here on."""
        shape = tuple(self.model.input_shape[1:])
        asked = (
            ModelSource(name=step.teacher, input=shape) if step.teacher in zoo.ZOO else ModelSource(file=step.teacher)
        )
        opened = open_model(replace(self.recipe, model=asked, optimize=()), self.listen)
        self.teacher = distill.teacher(
            step, opened.model, opened.data.preprocess, self.model, self.source.data.preprocess
        )
        self.key = key_of(self.key, opened.fingerprint)

    def result(self) -> Source:
        return replace(
            self.source,
            model=self.model,
            quantized=self.quantized,
            fingerprint=self.key,
            original=self.source,
            steps=tuple(self.done),
        )
