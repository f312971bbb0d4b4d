"""EfficientNet-B0 (Tan, Le 2019, arXiv:1905.11946) and its Lite0 (tensorflow/tpu, efficientnet/lite), for int8.

Keras's own B0 begins with Rescaling and Normalization, which TF-MOT refuses to quantise and which cost
an int8 file three operators: here the preprocessing record does that arithmetic. Layers are named as in
Keras, so that its ImageNet weights can be taken over. Stochastic depth is left out: it is a means for
trainings of hundreds of epochs and no part of the network that runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tflite_edge.records.preprocess import NORMALIZATIONS

Stage = tuple[int, int, int, int, int]
# (expansion, kernel, stride of the first, filters, repeats), paper's table 1; Lite0 has the same.
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM, HEAD, DROPOUT = 32, 1280, 0.2
SQUEEZE = 4  # squeeze-and-excitation has a quarter of the block's input channels


def b0(shape: tuple[int, ...], classes: int, *, weights: str | None, top: bool) -> Any:
    """Takes images normalised as "imagenet-torch". weights: None or "imagenet", Keras's own moved over."""
    model = _build(shape, classes, "efficientnet_b0", lite=False, top=top)
    if weights is not None:
        from tf_keras.applications import EfficientNetB0

        take_over(EfficientNetB0(include_top=top, weights=weights, input_shape=shape, classes=classes), model)
    return model


def lite0(shape: tuple[int, ...], classes: int) -> Any:
    """Without squeeze-and-excitation and with relu6 for swish, both for the sake of int8."""
    return lite_of(shape, classes, STAGES, "efficientnet_lite0")


def lite_of(shape: tuple[int, ...], classes: int, stages: Sequence[Stage], name: str) -> Any:
    """A wider or deeper Lite, which has the same stem and head. stages: as STAGES."""
    return _build(shape, classes, name, stages, lite=True, top=True)


def _build(
    shape: tuple[int, ...], classes: int, name: str, stages: Sequence[Stage] = STAGES, *, lite: bool, top: bool
) -> Any:
    import tf_keras

    layers = tf_keras.layers
    inputs = tf_keras.Input(shape)
    x = _activation(_conv(inputs, STEM, "stem_", 3, 2), "stem_activation", lite=lite)
    for number, (expansion, kernel, stride, filters, repeats) in enumerate(stages, 1):
        for repeat in range(repeats):
            prefix = f"block{number}{chr(97 + repeat)}_"
            x = _block(x, (expansion, kernel, 1 if repeat else stride, filters), prefix, lite=lite)
    x = _activation(_conv(x, HEAD, "top_"), "top_activation", lite=lite)
    if top:
        x = layers.Dropout(DROPOUT, name="top_dropout")(layers.GlobalAveragePooling2D(name="avg_pool")(x))
        x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return tf_keras.Model(inputs, x, name=name)


def _block(x: Any, stage: tuple[int, int, int, int], prefix: str, *, lite: bool) -> Any:
    """The inverted bottleneck. stage: (expansion, kernel, stride, filters)."""
    import tf_keras

    layers = tf_keras.layers
    (expansion, kernel, stride, filters), start, channels = stage, x, x.shape[-1]
    if expansion != 1:
        x = _activation(_conv(x, channels * expansion, f"{prefix}expand_"), f"{prefix}expand_activation", lite=lite)
    x = layers.DepthwiseConv2D(
        kernel, stride, "same", use_bias=False, depthwise_initializer=_initializer(), name=f"{prefix}dwconv"
    )(x)
    x = _activation(layers.BatchNormalization(name=f"{prefix}bn")(x), f"{prefix}activation", lite=lite)
    if not lite:
        scale = layers.GlobalAveragePooling2D(keepdims=True, name=f"{prefix}se_squeeze")(x)
        for name, width in (("reduce", channels // SQUEEZE), ("expand", x.shape[-1])):
            scale = layers.Conv2D(width, 1, kernel_initializer=_initializer(), name=f"{prefix}se_{name}")(scale)
            activation = "swish" if name == "reduce" else "sigmoid"
            scale = layers.Activation(activation, name=f"{prefix}se_{name}_activation")(scale)
        x = layers.Multiply(name=f"{prefix}se_excite")([x, scale])
    x = _conv(x, filters, f"{prefix}project_")
    return layers.Add(name=f"{prefix}add")([x, start]) if stride == 1 and channels == filters else x


def _conv(x: Any, filters: int, prefix: str, kernel: int = 1, stride: int = 1) -> Any:
    from tf_keras import layers

    x = layers.Conv2D(
        filters, kernel, stride, "same", use_bias=False, kernel_initializer=_initializer(), name=f"{prefix}conv"
    )(x)
    return layers.BatchNormalization(name=f"{prefix}bn")(x)


def _activation(x: Any, name: str, *, lite: bool) -> Any:
    from tf_keras import layers

    return (layers.ReLU(6.0, name=name) if lite else layers.Activation("swish", name=name))(x)


def _initializer() -> Any:
    """Variance by fan-out, as in the paper's code; one of its own per layer, or all would draw the same numbers."""
    from tf_keras.initializers import VarianceScaling

    return VarianceScaling(2.0, "fan_out", "truncated_normal")


def take_over(keras: Any, model: Any) -> None:
    """Give `model` the weights of Keras's EfficientNetB0, for input that is normalised as "imagenet-torch".

    Keras's front maps raw values to a * raw + b. That is ours times a factor per channel (which factor,
    its releases differ on: tensorflow/tensorflow#49930), and the stem's kernel takes the factor up.
    """
    import tf_keras

    front = tf_keras.Model(keras.input, keras.get_layer("stem_conv_pad").input)
    height, width, channels = keras.input_shape[1:]
    shift, white = (
        np.asarray(front(np.full((1, height, width, channels), value, np.float32)))[0, 0, 0] for value in (0.0, 255.0)
    )
    mean, std = (np.array(values) for values in NORMALIZATIONS["imagenet-torch"])
    slope = (white - shift) / 255
    assert np.allclose(slope * mean + shift, 0, atol=1e-2), "Keras's EfficientNetB0 has another mean"
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(keras.get_layer(layer.name).get_weights())
    stem = model.get_layer("stem_conv")
    stem.set_weights([stem.get_weights()[0] * (slope * std)[:, np.newaxis]])
