"""ResNet8: MLPerf Tiny's image classifier (mlcommons/tiny, image_classification; arXiv:2106.07597)."""

from __future__ import annotations

from typing import Any


def build(shape: tuple[int, ...], classes: int) -> Any:
    """Three stacks of one residual block, 16, 32 and 64 filters; takes raw values 0..255 as the reference does."""
    import tf_keras

    layers = tf_keras.layers

    def conv(x: Any, filters: int, kernel: int, stride: int = 1) -> Any:
        return layers.Conv2D(filters, kernel, stride, "same", kernel_initializer="he_normal")(x)

    def normalized(x: Any) -> Any:
        return layers.BatchNormalization()(x)

    inputs = tf_keras.Input(shape)
    x = layers.ReLU()(normalized(conv(inputs, 16, 3)))
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        y = layers.ReLU()(normalized(conv(x, filters, 3, stride)))
        y = normalized(conv(y, filters, 3))
        if stride != 1:
            x = conv(x, filters, 1, stride)  # the shortcut's projection has no batch norm in the reference
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(x.shape[1:3])(x))
    x = layers.Dense(classes, activation="softmax", kernel_initializer="he_normal", name="probabilities")(x)
    return tf_keras.Model(inputs, x, name="resnet8")
