"""A functional model built anew, layer by layer, with other configurations or other weights."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isfunction
from typing import Any

import numpy as np

from tflite_edge.records.errors import ModelError
from tflite_edge.tf.quiet import quiet

Config = Callable[[Any], dict[str, Any]]
Weights = Callable[[Any], list[np.ndarray]]


def same_config(layer: Any) -> dict[str, Any]:
    config: dict[str, Any] = layer.get_config()
    return config


def same_weights(layer: Any) -> list[np.ndarray]:
    weights: list[np.ndarray] = layer.get_weights()
    return weights


def rebuild(model: Any, config: Config = same_config, weights: Weights = same_weights) -> Any:
    """A new model that shares nothing with `model`; nested models are inlined, nothing is compiled.

    config, weights: what the new layer is made from, given the old one. Layer names are kept; where two
    nested models use the same name, the second layer is called MODEL/NAME.
    Raises ModelError for subclassed models, and for layers that cannot be made from their configuration.
    """
    if not is_graph(model):
        raise ModelError(
            f"{model.name} is not a graph of layers that could be rebuilt",
            evidence=f"{type(model).__name__}: a subclassed model, or a Sequential without an input size",
            do="build it as tf_keras.Model(inputs, outputs), or give the Sequential an Input",
        )
    with quiet():
        import tensorflow as tf
        import tf_keras

        copy = _Copy(config)
        inputs = [
            tf_keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)
            for tensor, name in zip(model.inputs, model.input_names, strict=True)
        ]
        copy.names.update(model.input_names)
        outputs = copy.replay(model, inputs, None)
        structure = model._nested_inputs  # noqa: SLF001 - the only way to keep a dict or a list of inputs
        copied = tf_keras.Model(tf.nest.pack_sequence_as(structure, inputs), outputs, name=model.name)
        for old, new in copy.layers.values():
            new.set_weights(weights(old))
            if hasattr(new, "finalize_state"):  # Normalization keeps what it computes from its weights
                new.finalize_state()
    return copied


def is_graph(layer: Any) -> bool:
    return bool(getattr(layer, "_is_graph_network", False))


def nodes(model: Any) -> list[Any]:
    """The calls of layers that make up the model's graph (Keras's Node), each after those it depends on."""
    by_depth = model._nodes_by_depth  # noqa: SLF001 - Keras has no public name for a model's graph
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]


class _Copy:
    """layers: id of an old layer -> (old, new), so that a layer used twice stays one layer."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.layers: dict[int, tuple[Any, Any]] = {}
        self.names: set[str] = set()

    def replay(self, model: Any, inputs: list[Any], training: bool | None) -> Any:
        """The model's graph on new tensors; training: what an outer call fixed, as `base(x, training=False)` does."""
        import tensorflow as tf

        known = {id(old): new for old, new in zip(model.inputs, inputs, strict=True)}
        for node in nodes(model):
            args, kwargs = tf.nest.map_structure(
                lambda value: known.get(id(value), value), (node.call_args, node.call_kwargs)
            )
            results = self._call(node.layer, model, args, kwargs, training)
            known.update(
                (id(old), new) for old, new in zip(tf.nest.flatten(node.outputs), tf.nest.flatten(results), strict=True)
            )
        return tf.nest.map_structure(lambda old: known[id(old)], model._nested_outputs)  # noqa: SLF001

    def _call(self, layer: Any, model: Any, args: Any, kwargs: dict[str, Any], training: bool | None) -> Any:
        if is_graph(layer):
            fixed = training if kwargs.get("training") is None else kwargs["training"]
            return self.replay(layer, layer._flatten_to_reference_inputs(args[0]), fixed)  # noqa: SLF001
        if training is not None and layer._expects_training_arg and kwargs.get("training") is None:  # noqa: SLF001
            kwargs = {**kwargs, "training": training}
        if id(layer) not in self.layers:
            self.layers[id(layer)] = (layer, self._make(layer, model))
        return self.layers[id(layer)][1](*args, **kwargs)

    def _make(self, layer: Any, model: Any) -> Any:
        import tf_keras

        try:
            config = self.config(layer)
            name = layer.name if layer.name not in self.names else f"{model.name}/{layer.name}"
            self.names.add(name)
            # An input size belongs to the layer's old place; the new layer takes it from what it is called on.
            config.pop("batch_input_shape", None)
            with tf_keras.utils.custom_object_scope(_functions(layer)):
                return type(layer).from_config({**config, "name": name})
        except (NotImplementedError, TypeError, ValueError) as error:
            raise ModelError(
                f"layer {layer.name!r} ({type(layer).__name__}) cannot be made again from its configuration",
                evidence=str(error),
                do="give the class a get_config that returns the arguments of its __init__",
            ) from error


def _functions(layer: Any) -> dict[str, Any]:
    """The user's own activation, which a configuration only names."""
    activation = getattr(layer, "activation", None)
    return {activation.__name__: activation} if isfunction(activation) else {}
