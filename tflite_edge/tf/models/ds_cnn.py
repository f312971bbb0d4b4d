"""DS-CNN: MLPerf Tiny's keyword spotter (mlcommons/tiny, keyword_spotting; Zhang et al. 2017, arXiv:1711.07128)."""

from __future__ import annotations

from typing import Any

FILTERS, BLOCKS = 64, 4


def build(shape: tuple[int, ...], classes: int) -> Any:
    """Takes MFCC features [time, coefficient, 1], 49 x 10 x 1 for one second in the reference."""
    import tf_keras

    layers = tf_keras.layers

    def normalized(x: Any) -> Any:
        return layers.ReLU()(layers.BatchNormalization()(x))

    inputs = tf_keras.Input(shape)
    x = normalized(layers.Conv2D(FILTERS, (10, 4), 2, "same")(inputs))
    x = layers.Dropout(0.2)(x)
    for _ in range(BLOCKS):
        x = normalized(layers.DepthwiseConv2D(3, padding="same")(x))
        x = normalized(layers.Conv2D(FILTERS, 1)(x))
    x = layers.Dropout(0.4)(x)
    x = layers.Flatten()(layers.AveragePooling2D(x.shape[1:3])(x))
    return tf_keras.Model(inputs, layers.Dense(classes, activation="softmax", name="probabilities")(x), name="ds_cnn")
