"""PCQAT as TF-MOT's guide writes it: pcqat.py BASELINE OUT.tflite EPOCHS BATCH.

tensorflow_model_optimization/g3doc/guide/combine/pcqat_example.ipynb: constant 50 % sparsity, Adam at 1e-5 for pruning
and clustering (here 16 clusters, not 8), Adam as it is for the trained quantisation, the converter's defaults.
"""

import json
import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

LOSS = "sparse_categorical_crossentropy"


def main(baseline: Path, out: Path, epochs: int, batch: int) -> None:
    tf_keras.utils.set_random_seed(7)
    model = tf_keras.models.load_model(baseline / "model.h5", compile=False)
    preprocess = json.loads((baseline / "preprocess.json").read_text())
    with np.load(baseline / "train.npz") as arrays:
        x = ((arrays["x"] - np.float32(preprocess["mean"])) / np.float32(preprocess["std"])).astype(np.float32)
        y = arrays["y"]

    def fit(tuned, optimizer, *callbacks):
        tuned.compile(optimizer, LOSS, metrics=["accuracy"])
        tuned.fit(x, y, batch_size=batch, epochs=epochs, verbose=2, callbacks=list(callbacks))

    pruned = tfmot.sparsity.keras.prune_low_magnitude(
        model, pruning_schedule=tfmot.sparsity.keras.ConstantSparsity(0.5, begin_step=0, frequency=100)
    )
    fit(pruned, tf_keras.optimizers.Adam(1e-5), tfmot.sparsity.keras.UpdatePruningStep())
    stripped = tfmot.sparsity.keras.strip_pruning(pruned)

    from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster

    clustered = cluster.cluster_weights(
        stripped,
        number_of_clusters=16,
        cluster_centroids_init=tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS,
        preserve_sparsity=True,
    )
    fit(clustered, tf_keras.optimizers.Adam(1e-5))
    stripped = tfmot.clustering.keras.strip_clustering(clustered)

    annotated = tfmot.quantization.keras.quantize_annotate_model(stripped)
    scheme = tfmot.experimental.combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=True)
    quantized = tfmot.quantization.keras.quantize_apply(annotated, scheme)
    fit(quantized, "adam")

    converter = tf.lite.TFLiteConverter.from_keras_model(quantized)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    out.write_bytes(converter.convert())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
