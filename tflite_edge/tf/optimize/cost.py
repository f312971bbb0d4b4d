"""What a model costs, counted on its Keras layers before any file is made: MACs, parameters, int8 bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tflite_edge.records.errors import ModelError
from tflite_edge.tf.optimize.rebuild import is_graph, nodes, rebuild
from tflite_edge.tf.optimize.rules import TRANSPOSED

Shapes = Callable[[Any], list[tuple[int, ...]]]

KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")  # attributes of Keras's convolutions and Dense
SITES = frozenset(TRANSPOSED) | {
    "Dense",
    *("Conv1D", "Conv2D", "Conv3D"),
    *("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"),
}


def own_shapes(layer: Any) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]


def macs(model: Any, shapes: Shapes = own_shapes) -> int:
    """Multiply-accumulates of one sample in all convolutions and dense layers; nothing else is counted.

    shapes: those that the layers' weights are to have (a smaller model's, say). Raises ModelError where
    an input size is open.
    """
    if any(is_graph(layer) for layer in model.layers):
        model = rebuild(model)  # a nested model's tensors have the sizes of where it was built, not of where it is used
    total = 0
    for node in nodes(model):
        sizes = shapes(node.layer)
        total += _positions(node) * sum(math.prod(sizes[index]) for index, _ in _kernels(node.layer))
    return total


def parameters(model: Any, shapes: Shapes = own_shapes) -> int:
    """All weights, as Keras's count_params: also the batch norms' moving statistics."""
    return sum(math.prod(shape) for layer in _layers(model) for shape in shapes(layer))


def weight_bytes(model: Any, shapes: Shapes = own_shapes) -> int:
    """Constants of the model's int8 file: 1 byte for each value of a kernel, 4 for each channel it makes (the
    int32 bias, into which a batch norm folds). Scales, names and structure are not counted, nor is a batch
    norm that has no convolution before it. Other layers' weights: matrices 1, vectors 4 bytes a value.
    """
    total = 0
    for layer in _layers(model):
        kernels = dict(_kernels(layer))
        for index, shape in enumerate(shapes(layer)):
            size = math.prod(shape)
            if index in kernels:
                total += size + 4 * _made(layer, kernels[index], shape)
            elif not kernels and "BatchNormalization" not in type(layer).__name__:
                total += size if len(shape) > 1 else 4 * size
    return total


COSTS: dict[str, Callable[[Any, Shapes], int]] = {"macs": macs, "parameters": parameters, "bytes": weight_bytes}


def _layers(model: Any) -> list[Any]:
    """Each layer once, those of nested models instead of these."""
    layers: dict[int, Any] = {}
    for layer in model.layers:
        layers.update((id(one), one) for one in (_layers(layer) if is_graph(layer) else [layer]))
    return list(layers.values())


def _kernels(layer: Any) -> list[tuple[int, str]]:
    """(index among the layer's weights, attribute) of what is multiplied at every position."""
    if type(layer).__name__ not in SITES:
        return []
    return [
        (index, name)
        for name in KERNELS
        for index, weight in enumerate(layer.weights)
        if weight is getattr(layer, name, None)
    ]


def _made(layer: Any, kernel: str, shape: tuple[int, ...]) -> int:
    """Channels that a kernel of this shape makes."""
    if kernel == "depthwise_kernel":
        return shape[-2] * shape[-1]
    return shape[-2] if type(layer).__name__ in TRANSPOSED else shape[-1]


def _positions(node: Any) -> int:
    """How often a kernel is applied in one call: once for each place of the output, or of a transposed one's input."""
    if not _kernels(node.layer):
        return 0
    shape = (node.keras_inputs[0] if type(node.layer).__name__ in TRANSPOSED else node.outputs).shape
    places = shape[2:] if getattr(node.layer, "data_format", "") == "channels_first" else shape[1:-1]
    if None in places:
        raise ModelError(
            f"the MACs of {node.layer.name} cannot be counted: its size is open, {list(shape)}",
            do="give the model an input of fixed size",
        )
    return math.prod(places)
