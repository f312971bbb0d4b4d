"""Every step of the recipe on one source, each made once and then found in the cache."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tflite_edge import __version__
from tflite_edge.artifact import cache_folder, cached, key_of
from tflite_edge.records.errors import ModelError
from tflite_edge.records.event import Listener, silent
from tflite_edge.records.manifest import Effect, StepRecord
from tflite_edge.records.plain import from_plain, to_plain
from tflite_edge.records.recipe import ModelSource
from tflite_edge.records.step import Distill, Step
from tflite_edge.tf.fit import Teacher
from tflite_edge.tf.models import load, zoo
from tflite_edge.tf.optimize import altered, distill
from tflite_edge.tf.optimize.cost import macs
from tflite_edge.tf.optimize.effect import measure
from tflite_edge.tf.optimize.tuner import Rehearsal, Tuner
from tflite_edge.tf.quiet import quiet
from tflite_edge.tf.source import Source, open_untrained, predict

MAKERS = ("tensorflow", "tf-keras", "tensorflow-model-optimization")  # whose versions a result depends on
DIVERGED = "the training diverged: a smaller learning_rate for this step, or in [tune]"


def optimize(source: Source, listen: Listener, *, rehearsed: bool = False) -> Source:
    """The source with all steps of its recipe applied, or itself where there are none.

    rehearsed: whether the steps have been rehearsed on this model already.
    What cannot work is refused before anything is trained. Raises ModelError, RecipeError or DataError.
    """
    if not source.recipe.steps:
        return source
    chain = _Chain(source, listen, rehearsed)
    for step in source.recipe.steps:
        chain.take(step)
    return chain.result()


def rehearse(source: Source, steps: Sequence[Step], teacher: Teacher | None = None) -> None:
    """All `steps` on the source's model, without training: what cannot work is refused before hours are spent.

    The model may have any weights. teacher: the one that was called in before `steps`. Raises ModelError,
    RecipeError or DataError.
    """
    model = source.model
    with quiet():
        for step in steps:
            if isinstance(step, Distill):
                teacher = _fit(step, open_teacher(step, source), source)
            rehearsal = Rehearsal(step.name, source.data, source.recipe.tune, silent, Path(), teacher)
            model = apply(step)(model, step, rehearsal)


def open_teacher(step: Distill, source: Source) -> Source:
    """The teacher, not yet trained where it is a zoo model, and how it sees the student's data.

    What `normalize` says is the student's: a teacher's own is found, as far as there are classes to find it by.
    """
    recipe, shape = source.recipe, tuple(source.model.input_shape[1:])
    data = replace(recipe.data, normalize="auto") if source.data.task == "classification" else recipe.data
    if step.teacher in zoo.ZOO:
        asked = ModelSource(name=step.teacher, input=shape)
    else:
        asked = ModelSource(file=step.teacher, allow_code=recipe.model.allow_code)
    return open_untrained(replace(recipe, model=asked, data=data, optimize=()), silent, source.data.pool)


def _fit(step: Distill, teacher: Source, source: Source) -> Teacher:
    return distill.teacher(step, teacher.model, teacher.data.preprocess, source.model, source.data.preprocess)


def apply(step: Step) -> Callable[[Any, Any, Tuner], Any]:
    """What applies a step; loads TensorFlow."""
    found: Callable[[Any, Any, Tuner], Any] = import_module(f"tflite_edge.tf.optimize.{step.name}").apply
    return found


def _settings(step: Step) -> Any:
    """What the result depends on: of a teacher its fingerprint, which is in the key already, not where it lies."""
    return to_plain(replace(step, teacher="-") if isinstance(step, Distill) else step)


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

    def __init__(self, source: Source, listen: Listener, rehearsed: bool) -> None:
        self.source, self.recipe, self.listen = source, source.recipe, listen
        self.model, self.quantized, self.tune = source.model, None, source.recipe.tune
        self.key = source.fingerprint
        self.teacher: Teacher | None = None
        self.why = dict(source.why)
        self.done: list[StepRecord] = []
        self.rehearsed = rehearsed
        self._alter_no_more_than_known(source)

    def take(self, step: Step) -> None:
        """Apply one step, or find it done. The first one that is not done has all others rehearsed."""
        with quiet():
            if isinstance(step, Distill):
                self._call_teacher(step)
            data = self.source.data
            self.key = key_of(
                self.key, step.name, _settings(step), to_plain(self.tune), data.pool.sha256,
                to_plain(replace(self.recipe.data, source="-")), to_plain(data.preprocess), *map(version, MAKERS),
                __version__,
            )  # fmt: skip
            folder = cached("optimize", self.key, lambda folder: self._make(step, folder))
            made = self._reopen(step, folder)
        if step.name == "qat":
            self.quantized = made
        else:
            self.model = made
        record = from_plain(StepRecord, json.loads((folder / "effect.json").read_text()))
        self.done.append(replace(record, settings=_settings(step)))  # another run's teacher lay elsewhere

    def _make(self, step: Step, folder: Path) -> None:
        self._rehearse()
        backup = cache_folder() / "backup" / self.key
        tune = Tuner(step.name, self.source.data, self.tune, self.listen, backup, self.teacher)
        made = apply(step)(self.model, step, tune)
        load.refuse_nan(f"the model after {step.name}", made, DIVERGED)
        if step.name == "qat":
            made.save_weights(folder / "model.h5")
        else:
            made.save(folder / "model.h5")
        record = StepRecord(step.name, to_plain(step), self._effect(self.model), self._effect(made), tune.spared)
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
        """All steps that are left, once; a teacher that is called in already is known to fit."""
        left = [s for s in self.recipe.steps[len(self.done) :] if not (isinstance(s, Distill) and self.teacher)]
        if not self.rehearsed:
            rehearse(replace(self.source, model=self.model), left, self.teacher)
        self.rehearsed = True

    def _effect(self, model: Any) -> Effect:
        effect, test = measure(model), self.source.data.test
        effect = replace(effect, macs=_macs(model))
        if self.source.data.task != "classification" or test.y is None:
            return effect
        return replace(effect, top1=float(np.mean(predict(model, test.x).argmax(-1) == test.y)))

    def _call_teacher(self, step: Distill) -> None:
        """Open the teacher, trained first where it is a zoo model, and let it teach from here on."""
        opened = open_teacher(step, self.source)
        if opened.must_be_trained:
            self._rehearse()
        opened = opened.trained(self.listen)
        self.teacher = _fit(step, opened, self.source)
        self._alter_no_more_than_known(opened)
        self.key = key_of(self.key, opened.fingerprint)
        reasons = "; ".join(f"{key} {why}" for key, why in opened.why.items())
        self.why["teacher"] = f"{opened.recipe.name}, SHA-256 {opened.fingerprint[:12]}; {reasons}"

    def _alter_no_more_than_known(self, asked: Source) -> None:
        """Where the recipe leaves it open: what the model or a teacher cannot tell any more teaches nothing."""
        if self.recipe.tune.augment is None:
            strength, why = altered.strength(asked)
            known = self.tune.augment
            if known is None or strength < known:
                self.tune = replace(self.tune, augment=strength)
                said = why if known is None else f"{self.why['augment']}; from distill on {why}"
                self.why |= {"augment": said} if why else {}

    def result(self) -> Source:
        return replace(
            self.source,
            model=self.model,
            quantized=self.quantized,
            fingerprint=self.key,
            why=self.why,
            original=self.source,
            steps=tuple(self.done),
        )
