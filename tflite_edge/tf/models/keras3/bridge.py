"""A Keras 3 model's graph, replayed call by call in tf_keras, and the proof that both answer the same.

Nested models are inlined, which also cures TF-MOT's refusal of them. Nothing of Keras 3 but operators
without a layer (`KerasOp`) is left in the result.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tflite_edge.records.errors import ModelError
from tflite_edge.tf.models.keras3.operations import rebuild_operation
from tflite_edge.tf.models.keras3.proof import prove
from tflite_edge.tf.models.keras3.twins import (
    PLAIN_ACTIVATIONS,
    activation_name,
    is_graph,
    is_recurrent,
    refuse_policy,
    twin,
)
from tflite_edge.tf.quiet import quiet

# What these do, they do in training only; the answers are the same without them.
MIXING = ("AugMix", "CutMix", "MixUp", "RandAugment")


@dataclass(frozen=True)
class Bridged:
    """model: in tf_keras; difference: the largest one found, relative to the largest answer of its sample."""

    model: Any
    difference: float
    notes: tuple[str, ...] = ()


def bridge(model: Any) -> Bridged:
    """A built Keras 3 model (Sequential, functional, nested) in tf_keras; `model` is left as it is.

    Raises ModelError naming the layer that has no twin in tf_keras, or when the answers differ.
    """
    with quiet():
        import tf_keras

        graph = _graph_of(model)
        replay = _Replay()
        inputs = [replay.input(tensor) for tensor in graph.inputs]
        outputs = replay.run(graph, inputs)
        rebuilt = tf_keras.Model(inputs, outputs[0] if len(outputs) == 1 else outputs, name=_legal(model.name))
        replay.copy_weights()
        return Bridged(rebuilt, prove(model, graph, rebuilt), tuple(replay.notes))


def _graph_of(model: Any) -> Any:
    """The functional graph of a model; a Sequential keeps one inside."""
    refuse_policy(model)
    graph = model if hasattr(model, "_nodes_by_depth") else getattr(model, "_functional", None)
    if graph is None:
        raise ModelError(
            f"{model.name} is not a functional or sequential model of known input size",
            evidence=f"a {type(model).__name__} has no graph that could be rebuilt in tf_keras",
            do="build it as keras.Model(inputs, outputs), or model.export('folder') and convert that SavedModel",
        )
    return graph


class _Replay:
    """Twins by the id of their layer, and names, which must be unique once nested models are inlined."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._twins: dict[int, Any] = {}
        self._pairs: list[tuple[Any, Any]] = []
        self._taken: Counter[str] = Counter()

    def input(self, tensor: Any) -> Any:
        import tf_keras

        name = self.name(tensor._keras_history.operation.name)  # noqa: SLF001 - the input layer's own name
        return tf_keras.Input(tensor.shape[1:], batch_size=tensor.shape[0], dtype=tensor.dtype, name=name)

    def name(self, wanted: str) -> str:
        """`wanted`, or with a number where it is taken."""
        name = legal = _legal(wanted)
        while self._taken[name]:
            name = f"{legal}_{self._taken[legal]}"
            self._taken[legal] += 1
        self._taken[name] += 1
        return name

    def run(self, graph: Any, inputs: list[Any], training: bool | None = None) -> list[Any]:
        """tf_keras tensors for the outputs of `graph`. training: what an outer call asks of all layers inside."""
        tensors = {id(tensor): given for tensor, given in zip(graph.inputs, inputs, strict=True)}
        for node in _needed(graph):
            args, kwargs = node.arguments.fill_in(tensors)
            kwargs = _own_arguments(node, kwargs, training)
            for tensor, made in zip(node.outputs, _flat(self._call(node.operation, args, kwargs)), strict=True):
                tensors[id(tensor)] = made
        return [tensors[id(tensor)] for tensor in graph.outputs]

    def copy_weights(self) -> None:
        for layer, made in self._pairs:
            values = layer.get_weights()
            have, want = [value.shape for value in values], [tuple(weight.shape) for weight in made.weights]
            if have != want:
                raise ModelError(
                    f"layer {layer.name} ({type(layer).__name__}) holds other weights in Keras 3 than in tf_keras",
                    evidence=f"shapes {have} and {want}",
                    do="replace the layer, or model.export('folder') and convert that SavedModel",
                )
            made.set_weights(values)

    def _call(self, operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        import keras

        kind = type(operation).__name__
        if is_graph(operation):
            made = self.run(_graph_of(operation), keras.tree.flatten(args), kwargs.get("training"))
            return made[0] if len(made) == 1 else made
        if not isinstance(operation, keras.Layer):
            return self._guard(operation, lambda: rebuild_operation(operation, args, kwargs, self.name))
        if kind.startswith("Random") or kind in MIXING:
            return self._augmentation(operation, args[0])
        if kind == "Pipeline":
            (value,) = args
            for layer in operation.layers:
                value = self._call(layer, (value,), {})
            return value
        if kind == "SpectralNormalization":
            self._note(f"{operation.name} (SpectralNormalization) left out: it acts in training only")
            return self._call(operation.layer, args, kwargs)
        return self._layer(operation, args, kwargs)

    def _layer(self, layer: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """The twin's answer; an activation that Keras 2 does not have becomes layers behind it."""
        import keras

        foreign, name = None, activation_name(layer)
        if not is_recurrent(layer) and name not in (None, *PLAIN_ACTIVATIONS):
            # Some of keras.activations take no symbols; the operation of the same name does.
            foreign = getattr(keras.ops, name, layer.activation) if name else layer.activation
        if type(layer) is not keras.layers.Activation or foreign is None:
            made = self._twins.get(id(layer))
            if made is None:
                made = self._twins[id(layer)] = twin(layer, self.name(layer.name), self._pairs, self.nested)
            value = self._guard(layer, lambda: made(*args, **kwargs))
        else:
            value = args[0]
        if foreign is None:
            return value
        symbol = keras.KerasTensor(tuple(value.shape), dtype=value.dtype.name)
        return self.run(keras.Function(symbol, foreign(symbol)), [value])[0]

    def nested(self, model: Any) -> Any:
        """A model inside of a wrapper (TimeDistributed) as a model of its own."""
        import tf_keras

        graph = _graph_of(model)
        inputs = [self.input(tensor) for tensor in graph.inputs]
        return tf_keras.Model(inputs, self.run(graph, inputs), name=self.name(model.name))

    def _augmentation(self, layer: Any, value: Any) -> Any:
        kind = type(layer).__name__
        if kind == "RandomCrop" and tuple(value.shape[1:3]) != (layer.height, layer.width):
            raise ModelError(
                f"layer {layer.name} (RandomCrop) changes the size of its input when the model is used, too",
                evidence=f"{list(value.shape[1:3])} becomes {[layer.height, layer.width]}",
                do="crop in the data pipeline, or put CenterCrop or Resizing in its place",
            )
        self._note(f"{layer.name} ({kind}) left out: it augments in training only")
        return value

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    @staticmethod
    def _guard(operation: Any, call: Any) -> Any:
        import tensorflow as tf

        try:
            return call()
        except (TypeError, ValueError, tf.errors.OpError) as error:
            raise ModelError(
                f"{operation.name} ({type(operation).__name__}) cannot be rebuilt in tf_keras",
                evidence=f"{type(error).__name__}: {str(error)[:400]}",
                do="replace it, or model.export('folder') and convert that SavedModel",
            ) from error


def _needed(graph: Any) -> Iterator[Any]:
    """The calls that the outputs need, in an order in which they can be made.

    Keras 3 records the masks that it passes on by itself as arguments, with the operators that made them;
    tf_keras passes its own.
    """
    depths = graph._nodes_by_depth  # noqa: SLF001 - Keras tells a graph no other way
    needed, wanted = [], {id(tensor) for tensor in graph.outputs}
    inputs = {id(tensor) for tensor in graph.inputs}
    for depth in sorted(depths):
        for node in depths[depth]:
            made = {id(tensor) for tensor in node.outputs}
            if node.is_input or made <= inputs or not made & wanted:
                continue
            needed.append(node)
            passed = {id(mask) for mask in _passed_masks(node).values()}
            wanted |= {id(tensor) for tensor in node.input_tensors} - passed
    return reversed(needed)


def _passed_masks(node: Any) -> dict[str, Any]:
    """Mask arguments that are but the mask of the first input."""
    import keras

    masks = [getattr(tensor, "_keras_mask", None) for tensor in keras.tree.flatten(node.arguments.args)]
    given = {key: value for key, value in node.arguments.kwargs.items() if key == "mask" and value is not None}
    return {key: mask for key, mask in given.items() if any(mask is own for own in masks)}


def _own_arguments(node: Any, kwargs: dict[str, Any], training: bool | None) -> dict[str, Any]:
    """What the caller asked for: Keras 3 adds masks and the default of `training` (which would be baked in)."""
    passed = _passed_masks(node)
    kept = {key: value for key, value in kwargs.items() if key not in passed and value is not None}
    takes = inspect.signature(node.operation.call).parameters
    if "training" in takes:
        if "training" in kept and kept["training"] == takes["training"].default:
            del kept["training"]
        if training is not None:
            kept["training"] = training
    return kept


def _flat(outputs: Any) -> list[Any]:
    if isinstance(outputs, (list, tuple)):
        return [leaf for item in outputs for leaf in _flat(item)]
    return [outputs]


def _legal(name: str) -> str:
    """A name that TensorFlow takes as a scope."""
    name = re.sub(r"[^A-Za-z0-9_.\-]", "_", name)
    return name if re.match(r"[A-Za-z0-9.]", name) else f"layer{name}"
