"""Magnitude pruning with TF-MOT: the smallest weights of each kernel become zero while the model is tuned."""

from __future__ import annotations

from typing import Any

import tensorflow_model_optimization as tfmot
import tf_keras

from tflite_edge.records.step import Prune
from tflite_edge.tf.optimize.choose import choose, kernel_of, refuse_untrainable
from tflite_edge.tf.optimize.graph import build, fresh
from tflite_edge.tf.optimize.rewrite import flat

# The last part of the training has full sparsity, so that what is left can recover (Zhu and Gupta 2017).
RISE = 0.7
UPDATES = 50  # how often masks are chosen anew during the rise: each is a sort of all weights


def apply(model: Any, step: Prune, tune: Any) -> Any:
    """A fresh model whose chosen kernels hold `step.sparsity` zeros; `model` stays as it is.

    Raises RecipeError when no layer can be pruned, ModelError for models that are wrapped already.
    """
    refuse_untrainable(model, "prune")
    plain = build(flat(model))
    choice = choose(plain, step, lambda layer: _unfit(layer, step))
    tune.spare(choice.spared)
    chosen = choice.names
    steps = tune.steps(step.epochs)
    settings = {"pruning_schedule": _schedule(step, steps), **_pattern(step)}

    def wrapped(layer: Any) -> Any:
        return tfmot.sparsity.keras.prune_low_magnitude(layer, **settings) if layer.name in chosen else layer

    sparse = tf_keras.models.clone_model(plain, clone_function=wrapped)
    tune(sparse, step.epochs, step.learning_rate, callbacks=(tfmot.sparsity.keras.UpdatePruningStep(),))
    _settle(sparse)
    return fresh(tfmot.sparsity.keras.strip_pruning(sparse))


def _unfit(layer: Any, step: Prune) -> str:
    kernel = kernel_of(layer)
    if "x" in step.pattern and len(kernel.shape) != 2:
        return "blocks are cut from Dense kernels only"
    if "x" in step.pattern and any(size <= block for size, block in zip(kernel.shape, step.numbers(), strict=True)):
        return f"a kernel of {kernel.shape[0]} x {kernel.shape[1]} has no two blocks of {step.pattern} along each axis"
    if ":" in step.pattern:
        _, n = step.numbers()
        if len(kernel.shape) not in (2, 4):
            return f"{step.pattern} needs a kernel of 2 or 4 axes"
        if kernel.shape[-2] < n:
            return f"{kernel.shape[-2]} input channels are fewer than {n}"
    return ""


def _pattern(step: Prune) -> dict[str, Any]:
    if ":" in step.pattern:
        return {"sparsity_m_by_n": step.numbers()}
    return {} if step.pattern == "unstructured" else {"block_size": step.numbers()}


def _schedule(step: Prune, steps: int) -> Any:
    """steps: optimizer steps of the whole tuning."""
    end = max(2, int(steps * RISE))
    often = max(1, end // UPDATES)
    if step.schedule == "constant":
        return tfmot.sparsity.keras.ConstantSparsity(step.sparsity, 0, frequency=often)
    return tfmot.sparsity.keras.PolynomialDecay(0.0, step.sparsity, 0, end - end % often, frequency=often)


def _settle(sparse: Any) -> None:
    """Full sparsity, also where early stopping, or no epoch at all, ended the schedule before its time."""
    for layer in sparse.layers:
        if not hasattr(layer, "pruning_obj"):
            continue
        schedule = layer.pruning_schedule
        if layer.pruning_obj._sparsity_m_by_n:  # noqa: SLF001 - chosen at step 1 and at no other
            reached = bool(layer.pruning_step >= 1)
            layer.pruning_step.assign(1)
        else:
            end = getattr(schedule, "end_step", -1)
            reached = bool(layer.pruning_step >= end >= 0)
            layer.pruning_step.assign(max(end, 0))
        if not reached:
            layer.pruning_obj.conditional_mask_update()
        layer.pruning_obj.weight_mask_op()
