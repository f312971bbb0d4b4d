"""A functional Keras model as a flat list of layer calls, which can be edited and built anew.

Nested models are inlined. Everything is a copy: the model that was read is never touched, and building
gives layers that no other model knows (layers that went through TF-MOT's wrappers keep stale nodes, which
stop batch norms from being folded).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tflite_edge.records.errors import ModelError


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor between two calls. shape: with the batch axis first, None where open."""

    shape: tuple[int | None, ...]
    dtype: str = "float32"


@dataclass(eq=False)
class Call:
    """One call of a layer. `layer` is a template, copied when the graph is built; calls may share it.

    args, kwargs: as the layer gets them, tensors replaced by Values; outputs: its Values, flattened.
    """

    layer: Any
    args: Any
    kwargs: Any
    outputs: list[Value]

    @property
    def kind(self) -> str:
        return type(self.layer).__name__

    @property
    def inputs(self) -> list[Value]:
        return [value for value in _leaves((self.args, self.kwargs)) if isinstance(value, Value)]

    def reading(self, table: dict[Value, Value]) -> Call:
        """The same call with other inputs."""
        args, kwargs = _swap((self.args, self.kwargs), table)
        return Call(self.layer, args, kwargs, self.outputs)


@dataclass(eq=False)
class Graph:
    """Calls in an order in which they can be made. weights: of each template, as get_weights gives them."""

    name: str
    inputs: list[tuple[str, Value]]
    outputs: list[Value]
    calls: list[Call] = field(default_factory=list)
    weights: dict[Any, list[np.ndarray]] = field(default_factory=dict)

    def weights_of(self, call: Call) -> list[np.ndarray]:
        return self.weights.get(call.layer, [])

    def call(self, layer: Any, value: Any, output: Value, weights: list[np.ndarray] | None = None) -> Call:
        """A new call of a new template, to be put into `calls`."""
        if weights is not None:
            self.weights[layer] = weights
        return Call(layer, (value,), {}, [output])

    def producer(self, value: Value) -> Call | None:
        return next((call for call in self.calls if value in call.outputs), None)

    def consumers(self, value: Value) -> list[Call]:
        """The calls that take it; the model's end counts as none of them."""
        return [call for call in self.calls if value in call.inputs]

    def only_consumer(self, value: Value) -> Call | None:
        """The call that takes it when nothing else does."""
        found = self.consumers(value)
        return found[0] if len(found) == 1 and value not in self.outputs else None

    def shared(self, call: Call) -> bool:
        return sum(other.layer is call.layer for other in self.calls) > 1

    def replace(self, old: Call, new: list[Call]) -> None:
        """Put `new` in the place of `old`, whose outputs they must give."""
        at = self.calls.index(old)
        self.calls[at : at + 1] = new

    def chain(self, call: Call, new: list[Any]) -> None:
        """`new` layers, one behind the other, in the place of `call`; each keeps the shape of its output."""
        value, end, made = call.inputs[0], call.outputs[0], []
        for number, layer in enumerate(new, 1):
            output = end if number == len(new) else Value(end.shape)
            made.append(self.call(layer, value, output))
            value = output
        self.replace(call, made)

    def remove(self, call: Call) -> None:
        """Take out a call of one input and one output: whoever read the output reads the input."""
        (before,), (after,) = call.inputs, call.outputs
        self.calls.remove(call)
        for other in self.calls:
            other.args, other.kwargs = _swap((other.args, other.kwargs), {after: before})
        self.outputs = [before if value is after else value for value in self.outputs]


def read(model: Any) -> Graph:
    """The calls of a functional or sequential model, nested ones inlined, with copies of all layers and weights.

    Raises ModelError for subclassed models and for layers that cannot be copied.
    """
    _need_functional(model)
    inputs = [(_short(tensor.name), Value(tuple(tensor.shape), tensor.dtype.name)) for tensor in model.inputs]
    reader = _Reader(Graph(model.name, inputs, []))
    known = {id(tensor): value for tensor, (_, value) in zip(model.inputs, inputs, strict=True)}
    reader.graph.outputs = reader.take(model, known, training=None)
    return reader.graph


def build(graph: Graph) -> Any:
    """A fresh tf_keras model; names that clash (nested models may repeat them) get a number."""
    import tf_keras

    tensors: dict[Value, Any] = {}
    for name, value in graph.inputs:
        tensors[value] = tf_keras.Input(value.shape[1:], batch_size=value.shape[0], dtype=value.dtype, name=name)
    copies: dict[Any, Any] = {}
    taken = Counter(name for name, _ in graph.inputs)
    for call in graph.calls:
        layer = copies.get(call.layer)
        if layer is None:
            layer = copies[call.layer] = copy_layer(call.layer, _free(call.layer.name, taken))
        args, kwargs = _swap((call.args, call.kwargs), tensors)
        outputs = _leaves(layer(*args, **kwargs))
        tensors.update(zip(call.outputs, outputs, strict=True))
    for template, layer in copies.items():
        if template in graph.weights:
            layer.set_weights(graph.weights[template])
    return tf_keras.Model(
        [tensors[value] for _, value in graph.inputs], [tensors[value] for value in graph.outputs], name=graph.name
    )


def fresh(model: Any) -> Any:
    """A copy with weights that shares nothing with `model`; nested models are inlined. Raises ModelError."""
    return build(read(model))


def copy_layer(layer: Any, name: str | None = None) -> Any:
    """A new layer of the same configuration, not yet built. Raises ModelError where there is no get_config."""
    try:
        config = layer.get_config()
        copy = type(layer).from_config({**config, "name": name or layer.name})
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ModelError(
            f"layer {layer.name} ({type(layer).__name__}) cannot be copied",
            evidence=f"{type(error).__name__}: {str(error)[:300]}",
            do="give the layer a get_config() that returns every argument of its __init__",
        ) from error
    copy.trainable = layer.trainable
    return copy


class _Reader:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.templates: dict[int, Any] = {}

    def take(self, model: Any, known: dict[int, Value], training: bool | None) -> list[Value]:
        """Append the calls of `model`; `known`: its input tensors, by id. Returns the values of its outputs."""
        for depth in sorted(model._nodes_by_depth, reverse=True):  # noqa: SLF001 - Keras tells a graph no other way
            for node in model._nodes_by_depth[depth]:  # noqa: SLF001
                if not node.is_input:
                    self._take_node(node, known, training)
        return [known[id(tensor)] for tensor in model.outputs]

    def _take_node(self, node: Any, known: dict[int, Value], training: bool | None) -> None:
        import tf_keras

        args, kwargs = _swap((node.call_args, node.call_kwargs), _ById(known))
        if isinstance(node.layer, tf_keras.Model):
            _need_functional(node.layer)
            inner_training = kwargs.get("training") if kwargs.get("training") is not None else training
            values = [leaf for leaf in _leaves((args, kwargs)) if isinstance(leaf, Value)]
            inner = {id(tensor): value for tensor, value in zip(node.layer.inputs, values, strict=True)}
            outputs = self.take(node.layer, inner, inner_training)
        else:
            takes = "training" in node.layer._call_spec.arg_names  # noqa: SLF001
            if training is not None and takes and kwargs.get("training") is None:  # what it says itself goes first
                kwargs = {**kwargs, "training": training}
            outputs = [Value(tuple(tensor.shape), tensor.dtype.name) for tensor in _leaves(node.outputs)]
            self.graph.calls.append(Call(self._template(node.layer), args, kwargs, outputs))
        known.update((id(tensor), value) for tensor, value in zip(_leaves(node.outputs), outputs, strict=True))

    def _template(self, layer: Any) -> Any:
        if id(layer) not in self.templates:
            template = self.templates[id(layer)] = copy_layer(layer)
            if layer.weights:
                self.graph.weights[template] = layer.get_weights()
        return self.templates[id(layer)]


class _ById:
    """Looks a Keras tensor up by its id: tensors cannot be keys of a dict."""

    def __init__(self, known: dict[int, Value]) -> None:
        self.known = known

    def get(self, leaf: Any, default: Any) -> Any:
        return self.known.get(id(leaf), default)


def _need_functional(model: Any) -> None:
    if not getattr(model, "_is_graph_network", False):
        raise ModelError(
            f"{model.name} is not a functional or sequential model of known input size",
            evidence=f"a subclass ({type(model).__name__}), or a Sequential without Input",
            do="build it as tf_keras.Model(inputs, outputs), or convert it without [[optimize]]",
        )


def _swap(structure: Any, table: Any) -> Any:
    """The nested structure with each leaf that is in `table` replaced."""
    if isinstance(structure, dict):
        return {key: _swap(item, table) for key, item in structure.items()}
    if isinstance(structure, (list, tuple)) and type(structure) in (list, tuple):
        return type(structure)(_swap(item, table) for item in structure)
    try:
        return table.get(structure, structure)
    except TypeError:  # what cannot be a key is no Value
        return structure


def _leaves(structure: Any) -> list[Any]:
    if isinstance(structure, dict):
        return [leaf for item in structure.values() for leaf in _leaves(item)]
    if isinstance(structure, (list, tuple)):
        return [leaf for item in structure for leaf in _leaves(item)]
    return [structure]


def _short(name: str) -> str:
    return name.split(":", maxsplit=1)[0]


def _free(name: str, taken: Counter[str]) -> str:
    taken[name] += 1
    while taken[name] > 1 and taken[f"{name}_{taken[name] - 1}"]:
        taken[name] += 1
    if taken[name] == 1:
        return name
    free = f"{name}_{taken[name] - 1}"
    taken[free] += 1
    return free
