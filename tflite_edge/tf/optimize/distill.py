"""Knowledge distillation: the model learns a teacher's soft answers (Hinton et al. 2015, arXiv:1503.02531)."""

from __future__ import annotations

from typing import Any

import numpy as np

from tflite_edge.records.errors import ModelError
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.step import Distill
from tflite_edge.tf.fit import Teacher, last_map
from tflite_edge.tf.optimize.choose import refuse_untrainable
from tflite_edge.tf.optimize.graph import fresh
from tflite_edge.tf.optimize.tuner import Tuner


def apply(model: Any, step: Distill, tune: Tuner) -> Any:
    """A copy of the tf_keras `model`, tuned with `tune`, which already knows the teacher. Raises ModelError."""
    refuse_untrainable(model, "distill")
    student = fresh(model)
    tune(student, step.epochs, step.learning_rate)
    return student


def _flat(model: Any) -> Any:
    """The model, or a copy without nested ones: their maps are no part of the outer graph."""
    return fresh(model) if any(hasattr(layer, "layers") for layer in model.layers) else model


def teacher(step: Distill, model: Any, preprocess: Preprocess, student: Any, own: Preprocess) -> Teacher:
    """The teacher `model`, fed with what the student is fed. Raises ModelError when they do not fit each other.

    preprocess, own: how the teacher's and the student's input is normalised; both are affine in the raw
    values, so the one follows from the other.
    """
    for what, its, ours in (
        ("answers", model.output_shape[1:], student.output_shape[1:]),
        ("takes", model.input_shape[1:], student.input_shape[1:]),
    ):
        if tuple(its) != tuple(ours):
            raise ModelError(
                f"the teacher {step.teacher} does not fit the student",
                evidence=f"the teacher {what} {list(its)}, the student {list(ours)}",
                do="teacher and student need the same input size and the same classes",
            )
    if step.features:
        model = _flat(model)
        last_map(model), last_map(_flat(student))
    mean, std = (np.asarray(values, np.float32) for values in (own.mean, own.std))
    its_mean, its_std = (np.asarray(values, np.float32) for values in (preprocess.mean, preprocess.std))
    return Teacher(model, std / its_std, (mean - its_mean) / its_std, step.temperature, step.alpha, step.features)
