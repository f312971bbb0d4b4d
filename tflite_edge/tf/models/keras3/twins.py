"""The tf_keras layer that does what a Keras 3 layer does: same class name, translated configuration.

An argument that tf_keras does not know is left out only where it has its default; else the layer is refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import tf_keras

from tflite_edge.records.errors import ModelError

EXPORT = "model.export('folder'), then convert that SavedModel folder: it can be converted, not optimised"
# Keras 3 activation -> tf_keras activation of the same mathematics.
PLAIN_ACTIVATIONS = {name: name for name in (
    "linear", "relu", "softmax", "elu", "selu", "softplus", "softsign", "gelu", "tanh", "sigmoid", "exponential",
    "mish",
)} | {"silu": "swish"}  # fmt: skip
# Without effect on answers: where random numbers start, and which kernels a GPU takes.
WITHOUT_EFFECT = ("seed", "use_cudnn", "flash_attention", "autocast", "activity_regularizer")
RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}}
# Arguments that hold layers, and the attributes where these are found.
INNER = {
    "Bidirectional": {"layer": "forward_layer", "backward_layer": "backward_layer"},
    "TimeDistributed": {"layer": "layer"},
    "RNN": {"cell": "cell"},
    "StackedRNNCells": {"cells": "cells"},
}

Pairs = list[tuple[Any, Any]]


@tf_keras.utils.register_keras_serializable("tflite_edge")
def hard_sigmoid(x: Any) -> Any:
    """relu6(x + 3) / 6, what Keras 3 means by the name; Keras 2 means clip(0.2 x + 0.5, 0, 1)."""
    import tensorflow as tf

    return tf.nn.relu6(x + 3.0) * (1.0 / 6.0)


def twin(layer: Any, name: str, pairs: Pairs, nested: Callable[[Any], Any]) -> Any:
    """An unbuilt tf_keras layer; it and the layer whose weights it needs are added to `pairs`.

    nested: rebuilds a whole model that is inside of a wrapper. Raises ModelError where there is no twin.
    """
    made = _construct(layer, name, nested)
    made.trainable = layer.trainable
    if type(layer).__name__ != "Normalization" and not is_graph(getattr(layer, "layer", None)):
        pairs.append((layer, made))
    return made


def is_graph(operation: Any) -> bool:
    """Whether it is made of other operations: a model, or a keras.Function."""
    return hasattr(operation, "_nodes_by_depth") or hasattr(operation, "_functional")


def is_recurrent(layer: Any) -> bool:
    """Its activations are at work inside of a loop over time, where no layer can be put."""
    import keras

    return isinstance(layer, keras.layers.RNN) or type(layer).__name__.endswith("Cell")


def activation_name(layer: Any) -> str | None:
    """Keras 3's name of the layer's activation; "" for a function that Keras does not name, None for none."""
    import keras

    function = getattr(layer, "activation", None)
    if function is None:
        return None
    serialized = keras.activations.serialize(function)
    return serialized if isinstance(serialized, str) else ""


def refuse_policy(layer: Any) -> None:
    """float32 and whole numbers only: half floats and quantised weights have no twin that TF-MOT takes."""
    policy = getattr(getattr(layer, "dtype_policy", None), "name", "float32")
    if (policy != "float32" and not policy.startswith(("int", "uint", "bool"))) or "_from_" in policy:
        raise ModelError(
            f"layer {layer.name} ({type(layer).__name__}) computes in {policy}; only float32 models can be rebuilt",
            evidence=f"its dtype policy is {policy}",
            do='keras.config.set_dtype_policy("float32"), build the model again, set_weights, save',
        )


def _construct(layer: Any, name: str, nested: Callable[[Any], Any]) -> Any:
    refuse_policy(layer)
    kind, cls = type(layer).__name__, _class_of(layer)
    if kind == "Lambda":
        return cls(layer.function, arguments=layer.arguments, name=name)
    if kind == "Normalization":
        shape = layer._mean_and_var_shape  # noqa: SLF001 - one value for each kept axis, as tf_keras takes them
        mean, variance = (np.reshape(value, shape).tolist() for value in (layer.mean, layer.variance))
        return cls(axis=layer.axis, mean=mean, variance=variance, invert=layer.invert, name=name)
    try:
        return cls(**_translated(layer, cls, nested) | {"name": name, "dtype": layer.dtype_policy.name})
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"layer {layer.name} ({kind}) cannot be rebuilt in tf_keras",
            evidence=f"{type(error).__name__}: {str(error)[:400]}",
            do=f"build it otherwise, or {EXPORT}",
        ) from error


def _translated(layer: Any, cls: Any, nested: Callable[[Any], Any]) -> dict[str, Any]:
    """The configuration in the arguments of `cls`. Initializers are left out, because weights are copied."""
    kind, known, own = type(layer).__name__, arguments(cls), arguments(type(layer))
    inner = INNER.get(kind, {})
    if issubclass(cls, tf_keras.layers.RNN):
        known |= {"zero_output_for_mask": False}  # taken out of **kwargs there
    kept: dict[str, Any] = {}
    for key, value in layer.get_config().items():
        new = RENAMED.get(kind, {}).get(key, key)
        if key in inner or key.endswith("_initializer"):
            continue
        if key in ("activation", "recurrent_activation"):
            kept[new] = _activation(layer, key)
        elif new in known:
            kept[new] = value
        elif not _harmless(key, value, own.get(key)):
            raise ModelError(
                f"layer {layer.name} ({kind}) has {key} = {value!r}, which tf_keras does not know",
                evidence="the argument came with Keras 3",
                do=f"build the layer without {key}, or {EXPORT}",
            )
    return kept | {key: _inner_twin(getattr(layer, name), nested) for key, name in inner.items()}


def _class_of(layer: Any) -> Any:
    kind, module = type(layer).__name__, type(layer).__module__
    cls = getattr(tf_keras.layers, kind, None)
    if module.startswith("keras.src.layers.") and inspect.isclass(cls):
        return cls
    own = module.startswith("keras.")
    raise ModelError(
        f"layer {layer.name} ({kind}) has no twin in tf_keras",
        evidence=f"{kind} came with Keras 3" if own else f"a custom layer, from {module}",
        do=f"build the model of layers that both know, or {EXPORT}",
    )


def arguments(cls: Any) -> dict[str, Any]:
    """The constructor's arguments with their defaults, also those that **kwargs pass on to base classes."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        given = inspect.signature(base.__init__).parameters.values()
        for argument in given:
            if argument.kind not in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL):
                found.setdefault(argument.name, argument.default)
        if not any(argument.kind == argument.VAR_KEYWORD for argument in given):
            break
    return found


def _harmless(key: str, value: Any, default: Any) -> bool:
    return (
        value is None
        or value is False  # a new feature, not in use
        or key in WITHOUT_EFFECT
        or (key == "data_format" and value == "channels_last")
        or (default is not inspect.Parameter.empty and value == default)
    )


def _activation(layer: Any, key: str) -> Any:
    """What tf_keras takes for an activation inside of `layer`; what it has none for, `bridge` puts behind."""
    import keras

    name = keras.activations.serialize(getattr(layer, key))
    if isinstance(name, str) and name in PLAIN_ACTIVATIONS:
        return PLAIN_ACTIVATIONS[name]
    if not is_recurrent(layer):
        return "linear"
    if name == "hard_sigmoid":
        return hard_sigmoid
    raise ModelError(
        f"layer {layer.name} ({type(layer).__name__}) has the {key} {name!r}, which tf_keras does not know",
        do=f"build it with one of {', '.join(PLAIN_ACTIVATIONS)}, or {EXPORT}",
    )


def _inner_twin(inner: Any, nested: Callable[[Any], Any]) -> Any:
    if isinstance(inner, (list, tuple)):
        return [_inner_twin(item, nested) for item in inner]
    if is_graph(inner):
        return nested(inner)
    name = activation_name(inner)
    if not is_recurrent(inner) and name not in (None, *PLAIN_ACTIVATIONS):
        raise ModelError(
            f"layer {inner.name} ({type(inner).__name__}) has the activation {name or inner.activation!r}, which "
            "tf_keras does not know, inside of another layer",
            do="put the activation into a layer of its own, behind",
        )
    return _construct(inner, inner.name, nested)
