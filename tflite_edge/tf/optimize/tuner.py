"""Fine-tuning as every step uses it: in place, resumable, with the teacher that a distillation has called in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tflite_edge.records.event import Listener
from tflite_edge.records.recipe import Training
from tflite_edge.tf.data.dataset import Dataset
from tflite_edge.tf.fit import Teacher, fit, rehearse, steps_per_epoch


@dataclass
class Tuner:
    """One step's fine-tuning. backup: a folder of the step's own, in which a killed run finds its epochs.

    spared: layer -> why the step left it alone.
    """

    name: str
    data: Dataset
    tuning: Training
    listen: Listener
    backup: Path
    teacher: Teacher | None = None
    spared: dict[str, str] = field(default_factory=dict)
    _fits: int = 0

    def __call__(
        self,
        model: Any,
        epochs: int | None = None,
        learning_rate: float | None = None,
        callbacks: Sequence[Any] = (),
    ) -> None:
        """Tune the tf_keras `model` in place; None takes the recipe's [tune], 0 epochs do nothing."""
        if epochs == 0:
            return
        self._fits += 1
        fit(
            model,
            self.data,
            self._training(epochs, learning_rate),
            self.listen,
            step=self.name,
            callbacks=callbacks,
            teacher=self.teacher,
            backup=self.backup / str(self._fits),
        )

    def spare(self, layers: Iterable[tuple[str, str]]) -> None:
        """Note (layer, why) of what the step leaves alone."""
        self.spared.update(layers)

    def steps(self, epochs: int | None = None) -> int:
        """Optimiser steps of a call with so many epochs: what pruning schedules count in."""
        return 0 if epochs == 0 else steps_per_epoch(self.data, self.tuning) * self._training(epochs, None).epochs

    def _training(self, epochs: int | None, learning_rate: float | None) -> Training:
        return replace(
            self.tuning,
            epochs=self.tuning.epochs if epochs is None else epochs,
            learning_rate=learning_rate or self.tuning.learning_rate,
        )


class Rehearsal(Tuner):
    """Trains nothing: shows whether a step can work at all."""

    def __call__(self, model: Any, epochs: int | None = None, *_: Any, **__: Any) -> None:
        if epochs != 0:
            rehearse(model, self.data, self.teacher)
