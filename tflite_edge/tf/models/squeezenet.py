"""SqueezeNet v1.1 (Iandola et al. 2016, arXiv:1602.07360; v1.1: forresti/SqueezeNet): no dense layer, no batch norm."""

from __future__ import annotations

from typing import Any

# (squeeze, expand) of the fire modules between one max pooling and the next.
FIRES = (((16, 64), (16, 64)), ((32, 128), (32, 128)), ((48, 192), (48, 192), (64, 256), (64, 256)))


def build(shape: tuple[int, ...], classes: int) -> Any:
    """Softmax over `classes`. He's initialiser stands in for the batch normalisation that is not there."""
    import tf_keras

    layers = tf_keras.layers

    def conv(x: Any, filters: int, kernel: int, name: str, **options: Any) -> Any:
        x = layers.Conv2D(filters, kernel, kernel_initializer="he_uniform", name=name, **options)(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    inputs = tf_keras.Input(shape)
    x = conv(inputs, 64, 3, "conv1", strides=2)
    number = 2
    for fires in FIRES:
        x = layers.MaxPooling2D(3, 2, name=f"pool{number}")(x)
        for squeeze, expand in fires:
            small = conv(x, squeeze, 1, f"fire{number}_squeeze")
            sides = [conv(small, expand, kernel, f"fire{number}_expand{kernel}", padding="same") for kernel in (1, 3)]
            x = layers.Concatenate(name=f"fire{number}")(sides)
            number += 1
    x = conv(layers.Dropout(0.5, name="dropout")(x), classes, 1, "conv10")
    x = layers.GlobalAveragePooling2D(name="pool10")(x)
    return tf_keras.Model(inputs, layers.Softmax(name="probabilities")(x), name="squeezenet")
