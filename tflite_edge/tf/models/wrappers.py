"""TF-MOT's wrappers in files: named for what they are, and taken off where they have done their work.

| in the file                     | what it is                       | what becomes of it                     |
|---------------------------------|----------------------------------|----------------------------------------|
| PruneLowMagnitude               | pruned, or on the way to it      | float, the zeros stay                  |
| ClusterWeights                  | clustered, or on the way to it   | float, the shared weights stay         |
| QuantizeAnnotate                | annotated, never quantised       | float                                  |
| QuantizeWrapperV2, QuantizeLayer| trained quantised (QAT)          | kept: its ranges become those of int8  |
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

PRUNED = frozenset({"PruneLowMagnitude"})
CLUSTERED = frozenset({"ClusterWeights", "ClusterWeightsMHA"})
ANNOTATED = frozenset({"QuantizeAnnotate"})
QUANTIZED = frozenset({"QuantizeWrapper", "QuantizeWrapperV2", "QuantizeLayer", "QuantizeAwareActivation"})
KINDS = PRUNED | CLUSTERED | ANNOTATED | QUANTIZED


def is_quantized(model: Any) -> bool:
    """Whether the model has been through quantisation-aware training (annotated alone is not)."""
    return bool(_kinds(model) & QUANTIZED)


@contextlib.contextmanager
def scope() -> Iterator[None]:
    """In here tf_keras knows TF-MOT's classes."""
    from tensorflow_model_optimization.python.core.clustering.keras.cluster import cluster_scope
    from tensorflow_model_optimization.python.core.quantization.keras.quantize import quantize_scope
    from tensorflow_model_optimization.python.core.sparsity.keras.prune import prune_scope

    with prune_scope(), cluster_scope(), quantize_scope():
        yield


def unwrap(model: Any) -> tuple[Any, tuple[str, ...]]:
    """The model as later steps can take it, and notes of what it was. `model` is not to be used after it."""
    found, notes = _kinds(model), []
    if found & PRUNED:
        from tensorflow_model_optimization.python.core.sparsity.keras.prune import strip_pruning

        model = strip_pruning(model)
        notes.append(f"pruned with TF-MOT: wrappers taken off, {_zeros(model):.0%} of the kernels' weights are zero")
    if found & CLUSTERED:
        from tensorflow_model_optimization.python.core.clustering.keras.cluster import strip_clustering

        model = strip_clustering(model)
        notes.append("clustered with TF-MOT: wrappers taken off, the weights stay shared")
    if found & QUANTIZED:
        notes.append("trained quantised with TF-MOT (QAT): int8 takes its ranges from the training")
        return model, tuple(notes)
    if found & ANNOTATED:
        model = _strip_annotations(model)
        notes.append("annotated for QAT with TF-MOT, but never quantised: a plain float model")
    return _fresh(model), tuple(notes)


def _kinds(model: Any) -> set[str]:
    """Class names of all layers, also of those inside of models and wrappers."""
    found: set[str] = set()
    for layer in getattr(model, "_flatten_layers", list)():
        found.add(type(layer).__name__)
    return found


def _strip_annotations(model: Any) -> Any:
    import tf_keras

    def inner(layer: Any) -> Any:
        if isinstance(layer, tf_keras.Model):
            return _strip_annotations(layer)
        bare = layer.layer if type(layer).__name__ in ANNOTATED else layer
        copy = type(bare).from_config(bare.get_config())
        copy.trainable = bare.trainable
        return copy

    stripped = tf_keras.models.clone_model(model, clone_function=inner)
    stripped.set_weights(model.get_weights())
    return stripped


def _fresh(model: Any) -> Any:
    """A clone with weights: stripped layers keep stale nodes, which stop batch norms from being folded."""
    import tf_keras

    clone = tf_keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return clone


def _zeros(model: Any) -> float:
    """The share of zeros in all kernels."""
    import numpy as np

    kernels = [weight.numpy() for weight in model.weights if len(weight.shape) > 1]
    return float(sum((k == 0).sum() for k in kernels) / max(1, sum(np.size(k) for k in kernels)))
