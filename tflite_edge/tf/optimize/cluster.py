"""Weight sharing with TF-MOT: each kernel gets along with a few values, which move while the model is tuned."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.clustering.keras.cluster_wrapper import ClusterWeights

from tflite_edge.records.step import Cluster
from tflite_edge.tf.optimize.affine import fold_dense
from tflite_edge.tf.optimize.choose import KERNELS, choose, kernel_of, refuse_untrainable
from tflite_edge.tf.optimize.effect import PRUNED
from tflite_edge.tf.optimize.graph import build, fresh
from tflite_edge.tf.optimize.rewrite import flat

Centroids = tfmot.clustering.keras.CentroidInitialization
CENTROIDS = {
    "linear": Centroids.LINEAR,
    "density": Centroids.DENSITY_BASED,
    "random": Centroids.RANDOM,
    "kmeans++": Centroids.KMEANS_PLUS_PLUS,
}


def apply(model: Any, step: Cluster, tune: Any) -> Any:
    """A fresh model whose chosen kernels hold at most `step.clusters` values, zero included.

    `model` stays as it is. Zeros of an earlier pruning stay: a kernel with at least PRUNED of them keeps them
    all. Raises RecipeError when no layer has more weights than clusters, ModelError for wrapped models.
    """
    refuse_untrainable(model, "cluster")
    graph = flat(model)
    fold_dense(graph)
    plain = build(graph)
    choice = choose(plain, step, lambda layer: _unfit(layer, step))
    tune.spare(choice.spared)
    chosen = choice.names

    def wrapped(layer: Any) -> Any:
        if layer.name not in chosen:
            return layer
        sparse = bool((kernel_of(layer).numpy() == 0).mean() >= PRUNED)
        return ClusterWeights(
            layer,
            number_of_clusters=step.clusters,
            cluster_centroids_init=CENTROIDS[step.centroids],
            preserve_sparsity=sparse,
            cluster_per_channel=_per_channel(layer, step),
        )

    shared = tf_keras.models.clone_model(plain, clone_function=wrapped)
    rest = [layer for layer in plain.layers if type(layer).__name__ in KERNELS and layer.name not in chosen]
    tune(shared, step.epochs, step.learning_rate, callbacks=(KeepZeros([kernel_of(layer) for layer in rest]),))
    return fresh(tfmot.clustering.keras.strip_clustering(shared))


class KeepZeros(tf_keras.callbacks.Callback):
    """Zeros of pruned kernels stay zero after every optimizer step: those of layers that are not clustered."""

    def __init__(self, kernels: list[Any]) -> None:
        super().__init__()
        masked = [(kernel, kernel.numpy() != 0) for kernel in kernels]
        self.masked = [(kernel, mask) for kernel, mask in masked if 1 - mask.mean() >= PRUNED]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras's signature
        for kernel, mask in self.masked:
            kernel.assign(kernel * mask)


def _per_channel(layer: Any, step: Cluster) -> bool:
    return step.per_channel and type(layer) is tf_keras.layers.Conv2D  # the only one for which TF-MOT can


def _unfit(layer: Any, step: Cluster) -> str:
    kernel = kernel_of(layer)
    room = int(np.prod(kernel.shape[:-1] if _per_channel(layer, step) else kernel.shape))
    if room <= step.clusters:
        return f"{room} weights{' a channel' if _per_channel(layer, step) else ''} cannot fill {step.clusters} clusters"
    return ""
