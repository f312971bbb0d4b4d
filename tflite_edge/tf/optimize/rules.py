"""What each kind of layer does to the channels (the last axis) of its input: one rule, one function.

A rule takes a Call, notes which weights own a slice for each channel and returns the labels of the output's
last axis, or None where it does not know; then all channels that the layer touches stay. Unknown kinds of
layers have no rule: LSTM, attention, LayerNormalization, softmax and whatever mixes or counts its channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tflite_edge.tf.optimize.groups import Trace


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Activations that treat each value by itself. hard_swish is a name in files of newer Keras versions.
ELEMENTWISE = _names(
    "linear relu relu6 leaky_relu elu selu gelu swish silu mish sigmoid hard_sigmoid hard_swish tanh softplus softsign "
    "exponential"
)
# The same as operators: `x * y` and `tf.nn.relu6(x)` in a functional model become TFOpLambda layers.
OPERATORS = _names(
    "__operators__.add __operators__.subtract __operators__.multiply __operators__.truediv __operators__.neg "
    "math.add math.subtract math.multiply math.divide math.truediv math.divide_no_nan math.maximum math.minimum "
    "math.negative math.sigmoid math.tanh math.softplus math.exp math.abs math.square math.sqrt identity clip_by_value "
    "nn.relu nn.relu6 nn.leaky_relu nn.elu nn.selu nn.gelu nn.silu nn.swish nn.sigmoid nn.tanh nn.softplus"
)
TRANSPOSED = ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")


class Call:
    """One call of a layer. labels: int64 [channels] of each input tensor.

    kind: the class name for Keras's own layers, the operator's name for operators, else "".
    is_plain: whether there is one output and the last axis of every tensor is of known size and holds channels.
    """

    def __init__(self, trace: Trace, node: Any, labels: list[np.ndarray]) -> None:
        import tensorflow as tf

        self.trace, self.layer, self.node, self.labels = trace, node.layer, node, labels
        self.inputs: list[Any] = node.keras_inputs
        self.outputs: list[Any] = tf.nest.flatten(node.outputs)
        own = type(self.layer).__module__.startswith("tf_keras.")
        self.kind = type(self.layer).__name__ if own else ""
        shapes = [tensor.shape for tensor in (*self.inputs, *self.outputs)]
        self.is_plain = (
            len(self.outputs) == 1
            and all(shape.rank is not None and shape.rank >= 2 and shape[-1] for shape in shapes)
            and getattr(self.layer, "data_format", "channels_last") in (None, "channels_last")
        )

    def cut(self, weight: Any, axis: int, labels: np.ndarray, role: str) -> None:
        self.trace.cut(self.layer, weight, axis, labels, role)

    def makes(self, count: int) -> np.ndarray:
        """The labels of `count` channels that the layer makes by itself."""
        return self.activated(self.trace.makes(self.layer, count))

    def activated(self, labels: np.ndarray) -> np.ndarray:
        """The labels again, which stay if the layer's activation does not treat each value by itself."""
        if not _is_elementwise(self.layer.activation):
            self.trace.block(labels, f"the activation of {self.layer.name} mixes its channels")
        return labels

    def resize(self, key: str, labels: np.ndarray, before: tuple[int, ...] | None = None) -> None:
        self.trace.resize(self.layer, key, labels, before)


def _is_elementwise(activation: Any) -> bool:
    """Keras's and TensorFlow's own functions only: a stranger's `relu` may do anything."""
    own = str(getattr(activation, "__module__", "")).split(".")[0] in ("tf_keras", "keras", "tensorflow")
    return activation is None or (own and getattr(activation, "__name__", "") in ELEMENTWISE)


def _same(call: Call) -> np.ndarray:
    return call.labels[0]


def _dense(call: Call) -> np.ndarray:
    layer, made = call.layer, call.makes(call.layer.units)
    call.resize("units", made)
    call.cut(layer.kernel, 0, call.labels[0], "read")
    call.cut(layer.kernel, 1, made, "filter")
    call.cut(layer.bias, 0, made, "along")
    return made


def _conv(call: Call) -> np.ndarray:
    """Kernel [..., in / groups, out]."""
    layer, read, groups = call.layer, call.labels[0], call.layer.groups
    if groups == len(read) > 1:  # a depthwise convolution by another name
        made = call.activated(np.repeat(read, layer.filters // groups))
        call.resize("groups", read)
    else:
        # Every group must lose as many channels as the others: the first of each are tied, the second of each, ...
        by_group = read.reshape(groups, -1)
        call.trace.tie(np.tile(by_group[0], groups), read)
        made = np.tile(call.makes(layer.filters // groups), groups)
        call.cut(layer.kernel, -2, by_group[0], "read")
    call.resize("filters", made)
    call.cut(layer.kernel, -1, made, "filter")
    call.cut(layer.bias, 0, made, "along")
    return made


def _conv_transpose(call: Call) -> np.ndarray:
    """Kernel [..., out, in]."""
    layer, made = call.layer, call.makes(call.layer.filters)
    call.resize("filters", made)
    call.cut(layer.kernel, -1, call.labels[0], "read")
    call.cut(layer.kernel, -2, made, "filter")
    call.cut(layer.bias, 0, made, "along")
    return made


def _depthwise(call: Call) -> np.ndarray:
    """Kernel [..., in, multiplier]; output channel c * multiplier + k comes from input channel c."""
    layer, read = call.layer, call.labels[0]
    made = call.activated(np.repeat(read, layer.depth_multiplier))
    call.cut(layer.depthwise_kernel, -2, read, "filter")
    call.cut(layer.bias, 0, made, "along")
    return made


def _separable(call: Call) -> np.ndarray:
    layer, read, made = call.layer, call.labels[0], call.makes(call.layer.filters)
    call.resize("filters", made)
    call.cut(layer.depthwise_kernel, -2, read, "filter")
    call.cut(layer.pointwise_kernel, -2, np.repeat(read, layer.depth_multiplier), "read")
    call.cut(layer.pointwise_kernel, -1, made, "filter")
    call.cut(layer.bias, 0, made, "along")
    return made


def _batch_norm(call: Call) -> np.ndarray | None:
    layer, last = call.layer, call.inputs[0].shape.rank - 1
    axis = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    if [one % (last + 1) for one in axis] != [last] or getattr(layer, "renorm", False):
        return None
    call.cut(layer.gamma, 0, call.labels[0], "scale")
    for weight in (layer.beta, layer.moving_mean, layer.moving_variance):
        call.cut(weight, 0, call.labels[0], "along")
    return call.labels[0]


def _prelu(call: Call) -> np.ndarray | None:
    if call.layer.alpha.shape[-1] != len(call.labels[0]):
        return None
    call.cut(call.layer.alpha, -1, call.labels[0], "along")
    return call.labels[0]


def _activation(call: Call) -> np.ndarray:
    return call.activated(call.labels[0])


def _elementwise(call: Call) -> np.ndarray:
    """All inputs have the same channels, but for those with one channel, which is stretched over all."""
    widest = max(call.labels, key=len)
    for labels in call.labels:
        if len(labels) == len(widest):
            call.trace.tie(widest, labels)
        else:
            call.trace.block(labels, f"{call.layer.name} stretches it over all channels")
    return widest


def _operator(call: Call) -> np.ndarray | None:
    """x + y, x * 0.5, tf.nn.relu6(x): known operators, whose other arguments are numbers."""
    if getattr(call.layer, "symbol", None) not in OPERATORS:
        return None
    tensors = {id(tensor) for tensor in call.inputs}
    others = [
        value
        for value in (*call.node.call_args, *call.node.call_kwargs.values())  # a list is an array of a loaded model
        if id(value) not in tensors and value is not None and not isinstance(value, str)
    ]
    return _elementwise(call) if all(np.size(value) == 1 for value in others) else None


def _concatenate(call: Call) -> np.ndarray:
    rank = call.inputs[0].shape.rank
    return np.concatenate(call.labels) if call.layer.axis % rank == rank - 1 else _elementwise(call)


def _flatten(call: Call) -> np.ndarray | None:
    return _rows(call, call.outputs[0].shape[-1])


def _reshape(call: Call) -> np.ndarray | None:
    target = tuple(call.layer.target_shape)
    labels = _rows(call, call.outputs[0].shape[-1])
    if labels is not None and target[-1] != -1:
        call.resize("target_shape", labels, target[:-1])
    return labels


def _rows(call: Call, width: int) -> np.ndarray | None:
    """The labels of all values of a sample, in order, laid out in rows of `width`: all rows must be alike."""
    labels, places = call.labels[0], call.inputs[0].shape[1:-1]
    if width == len(labels):
        return labels
    if None in places:
        return None
    rows = np.tile(labels, math.prod(places)).reshape(-1, width)
    call.trace.tie(np.tile(rows[0], len(rows)), rows.ravel())
    return rows[0]


def _permute(call: Call) -> np.ndarray | None:
    return call.labels[0] if call.layer.dims[-1] == len(call.layer.dims) else None


def _every(names: str, rule: Callable[[Call], np.ndarray | None]) -> dict[str, Callable[[Call], np.ndarray | None]]:
    return dict.fromkeys(names.split(), rule)


RULES: dict[str, Callable[[Call], np.ndarray | None]] = {
    **_every("Dense", _dense),
    **_every("Conv1D Conv2D Conv3D", _conv),
    **_every(" ".join(TRANSPOSED), _conv_transpose),
    **_every("DepthwiseConv1D DepthwiseConv2D", _depthwise),
    **_every("SeparableConv1D SeparableConv2D", _separable),
    **_every("BatchNormalization SyncBatchNormalization", _batch_norm),
    **_every("PReLU", _prelu),
    **_every("Activation", _activation),
    **_every("ReLU LeakyReLU ELU ThresholdedReLU", _same),
    **_every("Add Subtract Multiply Average Maximum Minimum", _elementwise),
    **_every("Concatenate", _concatenate),
    **_every("TFOpLambda", _operator),
    **_every("Flatten", _flatten),
    **_every("Reshape", _reshape),
    **_every("Permute", _permute),
    **_every("MaxPooling1D MaxPooling2D MaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D", _same),
    **_every("GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D", _same),
    **_every("GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D", _same),
    **_every("ZeroPadding1D ZeroPadding2D ZeroPadding3D Cropping1D Cropping2D Cropping3D", _same),
    **_every("UpSampling1D UpSampling2D UpSampling3D RepeatVector", _same),
    **_every("Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianNoise GaussianDropout", _same),
}
