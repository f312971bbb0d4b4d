"""Operators and `keras.ops` calls of a Keras 3 graph as tf_keras layers.

Arithmetic, activations, reshaping and pooling become layers that TF-MOT and the steps of this tool know;
anything else is kept as it is inside of a `KerasOp` layer.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import tf_keras

layers = tf_keras.layers
Name = Callable[[str], str]


TENSOR = "<tensor>"  # where a KerasOp's tensors go among its operands


@tf_keras.utils.register_keras_serializable("tflite_edge")
class KerasOp(tf_keras.layers.Layer):
    """A Keras 3 operation without weights, run as Keras 3 runs it on TensorFlow.

    operands: what the operation is called with, TENSOR for each tensor. Constants are part of the layer, because
    tf_keras loses those of a call when it clones or saves a model; the layer is called on its tensors alone.
    """

    def __init__(self, operation: Any, operands: Any, **kwargs: Any) -> None:
        import keras

        super().__init__(**kwargs)
        self.supports_masking = True
        read = keras.saving.deserialize_keras_object
        self._operation = read(operation) if isinstance(operation, dict) else operation
        self._operands = json.dumps(keras.saving.serialize_keras_object(operands))  # tf_keras would wrap a list

    def call(self, inputs: Any) -> Any:
        import keras
        import tensorflow as tf

        operands = keras.saving.deserialize_keras_object(json.loads(self._operands))
        return self._operation.call(*_filled(operands, iter(tf.nest.flatten(inputs))))

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """Operators of Keras 3 drop masks."""

    def get_config(self) -> dict[str, Any]:
        import keras

        operation = keras.saving.serialize_keras_object(self._operation)
        return {**super().get_config(), "operation": operation, "operands": json.loads(self._operands)}


def _filled(operands: Any, tensors: Iterator[Any]) -> Any:
    """The operands with the next of the tensors in each place that is one's; an index must be a tuple again."""
    if isinstance(operands, list):
        return tuple(_filled(item, tensors) for item in operands)
    return next(tensors) if isinstance(operands, str) and operands == TENSOR else operands


def name_modules(config: Any) -> bool:
    """Write into an .h5 file's config where its operators come from; whether there were any.

    Keras 3 saves operators to .h5 by their class name alone, takes them for layers when it loads the file, and
    fails. Layers have a dtype in their config, operators have none.
    """
    if isinstance(config, list):
        return sum(map(name_modules, config)) > 0
    if not isinstance(config, dict):
        return False
    found = sum(map(name_modules, config.values())) > 0
    inner = config.get("config")
    if "inbound_nodes" in config and "module" not in config and isinstance(inner, dict) and "dtype" not in inner:
        module = _module_of(str(config.get("class_name", "")))
        if module is not None:
            config |= {"module": module, "registered_name": config["class_name"]}
            return True
    return found


def _module_of(kind: str) -> str | None:
    """The module of Keras 3 that defines the operator, for its own loader."""
    from keras.src import ops

    for module in (ops.numpy, ops.nn, ops.core, ops.math, ops.image, ops.linalg):
        if inspect.isclass(getattr(module, kind, None)):
            return str(module.__name__)
    return None


def rebuild_operation(operation: Any, args: Sequence[Any], kwargs: dict[str, Any], name: Name) -> Any:
    """What `operation(*args, **kwargs)` gives, of tf_keras tensors. name: gives free names."""
    kind = type(operation).__name__
    wanted = name(operation.name)
    given = [*args, *kwargs.values()]
    if kind in PAIRS and len(given) == 2:
        made = _pair(kind, given[0], given[1], wanted)
        if made is not None:
            return made
    if kind in SINGLE and len(given) == 1 and _is_float(given[0]):
        made = SINGLE[kind](operation, given[0], wanted)
        if made is not None:
            return made
    bound = inspect.signature(operation.call).bind(*args, **kwargs)
    bound.apply_defaults()
    tensors: list[Any] = []
    operands = _parted(list(bound.args), tensors)
    return KerasOp(operation, operands, name=wanted)(tensors[0] if len(tensors) == 1 else tensors)


def _parted(operands: Any, tensors: list[Any]) -> Any:
    """The operands with TENSOR in the place of each tensor, which is put into `tensors`."""
    if _is_tensor(operands):
        tensors.append(operands)
        return TENSOR
    if isinstance(operands, (list, tuple)):
        return type(operands)(_parted(item, tensors) for item in operands)
    return operands


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "_keras_history")


def _is_float(value: Any) -> bool:
    return _is_tensor(value) and value.dtype.name == "float32"


# --- two operands

# operator -> layer for two tensors; (scale, offset) for tensor and number; the same for number and tensor
_Affine = Callable[[Any], tuple[Any, Any]]
_TIMES: tuple[Any, _Affine, _Affine] = (layers.Multiply, lambda c: (c, 0 * c), lambda c: (c, 0 * c))
_OVER: tuple[Any, _Affine | None, _Affine | None] = (None, lambda c: (1 / c, 0 * c), None)
_ONE = np.float32(1)
PAIRS: dict[str, tuple[Any, _Affine | None, _Affine | None]] = {
    "Add": (layers.Add, lambda c: (_ONE, c), lambda c: (_ONE, c)),
    "Subtract": (layers.Subtract, lambda c: (_ONE, -c), lambda c: (-_ONE, c)),
    "Multiply": _TIMES,
    "Divide": _OVER,
    "TrueDivide": _OVER,
    "Maximum": (layers.Maximum, None, None),
    "Minimum": (layers.Minimum, None, None),
}


def _pair(kind: str, one: Any, other: Any, name: str) -> Any:
    """Two tensors in a merging layer, a tensor and a constant in Rescaling; None where these do other things."""
    merge, right, left = PAIRS[kind]
    if _is_float(one) and _is_float(other):
        # Merging layers put missing axes behind the batch, NumPy's rule in front of it.
        same_rank = len(one.shape) == len(other.shape)
        return merge(name=name)([one, other]) if merge is not None and same_rank else None
    tensor, constant, rule = (one, other, right) if _is_float(one) else (other, one, left)
    number = _constant(constant, tensor)
    if rule is None or number is None or (kind in ("Divide", "TrueDivide") and not np.all(number)):
        return None
    scale, offset = (value.tolist() for value in rule(number))
    return layers.Rescaling(scale, offset, name=name)(tensor)


def _constant(value: Any, tensor: Any) -> Any:
    """float32 of one element, or of one for each channel of `tensor`; else None."""
    if not _is_float(tensor) or _is_tensor(value):
        return None
    array = np.asarray(value, np.float32)
    if array.size == 1 and array.ndim <= len(tensor.shape):
        return array.reshape(())
    return array if array.shape == (tensor.shape[-1],) else None


# --- one operand


def _layer(make: Callable[[Any, str], Any]) -> Callable[[Any, Any, str], Any]:
    return lambda operation, x, name: make(operation, name)(x)


def _named(activation: str, _operation: Any, name: str) -> Any:
    return layers.Activation(activation, name=name)


def _hard_sigmoid(_operation: Any, x: Any, name: str) -> Any:
    """relu6(x + 3) / 6 in layers (Keras 2's layer of that name computes clip(0.2 x + 0.5, 0, 1))."""
    shifted = layers.Rescaling(1.0, 3.0, name=f"{name}_shift")(x)
    return layers.Rescaling(1 / 6, name=name)(layers.ReLU(6.0, name=f"{name}_relu6")(shifted))


def _hard_silu(operation: Any, x: Any, name: str) -> Any:
    return layers.Multiply(name=name)([x, _hard_sigmoid(operation, x, f"{name}_gate")])


def _softmax(operation: Any, x: Any, name: str) -> Any:
    axis = getattr(operation, "axis", -1)
    return None if axis is None else layers.Softmax(axis=axis, name=name)(x)


def _gelu(operation: Any, x: Any, name: str) -> Any:
    return None if operation.approximate else layers.Activation("gelu", name=name)(x)


def _relu(operation: Any, x: Any, name: str) -> Any:
    """keras.ops.relu has no settings; keras.activations.relu has them under the same name."""
    settings = ("max_value", "negative_slope", "threshold")
    given = {key: getattr(operation, key) for key in settings if getattr(operation, key, None) is not None}
    return layers.ReLU(**given, name=name)(x)


def _reshape(_operation: Any, x: Any, name: str) -> Any:
    return _reshaped(x, _operation.newshape[1:], name) if _operation.newshape[0] in (-1, x.shape[0]) else None


def _reshaped(x: Any, shape: Sequence[int | None], name: str) -> Any:
    """The samples in another shape of known size, at most one axis open."""
    if None in shape or list(shape).count(-1) > 1 or (-1 in shape and None in x.shape[1:]):
        return None
    return layers.Reshape(tuple(shape), name=name)(x)


def _expand_dims(operation: Any, x: Any, name: str) -> Any:
    axis = operation.axis
    if not isinstance(axis, int) or axis % (len(x.shape) + 1) == 0:
        return None
    shape = list(x.shape)
    shape.insert(axis % (len(x.shape) + 1), 1)
    return _reshaped(x, shape[1:], name)


def _squeeze(operation: Any, x: Any, name: str) -> Any:
    axes = _axes(operation.axis, x)
    if axes is None or 0 in axes:
        return None
    return _reshaped(x, [size for axis, size in enumerate(x.shape) if axis not in axes][1:], name)


def _transpose(operation: Any, x: Any, name: str) -> Any:
    axes = _axes(operation.axes, x, ordered=True)
    return layers.Permute(axes[1:], name=name)(x) if axes and axes[0] == 0 else None


def _pooling(kinds: dict[int, Any]) -> Callable[[Any, Any, str], Any]:
    """A mean or maximum over all places of an image or a sequence."""

    def rebuild(operation: Any, x: Any, name: str) -> Any:
        rank = len(x.shape)
        if rank not in kinds or _axes(operation.axis, x) != tuple(range(1, rank - 1)):
            return None
        return kinds[rank](keepdims=bool(operation.keepdims), name=name)(x)

    return rebuild


def _axes(axes: Any, x: Any, *, ordered: bool = False) -> tuple[int, ...] | None:
    if axes is None:
        return None
    found = [axis % len(x.shape) for axis in ([axes] if isinstance(axes, int) else axes)]
    return tuple(found if ordered else sorted(found))


SINGLE: dict[str, Callable[[Any, Any, str], Any]] = {
    "Relu": _relu,
    "ReLU": _relu,
    "Relu6": _layer(lambda _, name: layers.ReLU(6.0, name=name)),
    "LeakyRelu": _layer(lambda op, name: layers.LeakyReLU(op.negative_slope, name=name)),
    "Elu": _layer(lambda op, name: layers.ELU(op.alpha, name=name)),
    "HardSigmoid": _hard_sigmoid,
    "HardSilu": _hard_silu,
    "Softmax": _softmax,
    "Gelu": _gelu,
    **{
        kind: _layer(partial(_named, own))
        for kind, own in {
            "Sigmoid": "sigmoid", "Tanh": "tanh", "Silu": "swish", "Selu": "selu", "Softplus": "softplus",
            "Softsign": "softsign", "Exp": "exponential",
        }.items()
    },
    "Negative": _layer(lambda _, name: layers.Rescaling(-1.0, name=name)),
    "Reshape": _reshape,
    "ExpandDims": _expand_dims,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Mean": _pooling({3: layers.GlobalAveragePooling1D, 4: layers.GlobalAveragePooling2D}),
    "Max": _pooling({3: layers.GlobalMaxPooling1D, 4: layers.GlobalMaxPooling2D}),
}  # fmt: skip
