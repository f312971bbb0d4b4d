"""FC autoencoder: MLPerf Tiny's anomaly detector (mlcommons/tiny, anomaly_detection; arXiv:2106.07597)."""

from __future__ import annotations

from typing import Any

WIDTHS = (128, 128, 128, 128, 8, 128, 128, 128, 128)


def build(shape: tuple[int, ...]) -> Any:
    """Answers its own input as well as 8 numbers can hold it. [640]: five frames of 128 mel bands in the reference."""
    import tf_keras

    layers = tf_keras.layers
    inputs = tf_keras.Input(shape)
    x = inputs
    for width in WIDTHS:
        x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(width)(x)))
    return tf_keras.Model(inputs, layers.Dense(shape[0], name="reconstruction")(x), name="autoencoder")
