"""A float chain of dense layers and its int8 twins, one of whose layers can be given a wrong range on purpose."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tests.harness.tiny import _Graph, tfl

SIZES = (8, 16, 16, 16, 4)
_generator = np.random.default_rng(5)
KERNELS = [_generator.normal(0, size**-0.5, (after, size)).astype(np.float32) for size, after in pairwise(SIZES)]
BIASES = [_generator.normal(0, 0.1, size).astype(np.float32) for size in SIZES[1:]]
X = _generator.normal(0, 1, (60, SIZES[0])).astype(np.float32)


def activations(x):
    """Input and the result of each layer, float32 [N, size]."""
    found = [x]
    for number, (kernel, bias) in enumerate(zip(KERNELS, BIASES, strict=True)):
        y = found[-1] @ kernel.T + bias
        found.append(np.maximum(y, 0) if number < len(KERNELS) - 1 else y)
    return found


LABELS = activations(X)[-1].argmax(axis=1)


def _name(number, names):
    return f"net/dense_{number}/MatMul;net/dense_{number}/BiasAdd" if names else ""


def _add(graph, source, number, kernel, bias, result, version):
    options = graph.node(
        "FULLY_CONNECTED",
        [source],
        [result],
        constants=[kernel, bias],
        options="FullyConnectedOptions",
        version=version,
    )
    if number < len(KERNELS) - 1:
        options.fusedActivationFunction = tfl.ActivationFunctionType.RELU


def float_chain(names=True, layers=4) -> bytes:
    graph = _Graph()
    first = last = graph.tensor([1, SIZES[0]], name="x")
    for number in range(layers):
        kernel, bias = (
            graph.tensor(KERNELS[number].shape, data=KERNELS[number]),
            graph.tensor([SIZES[number + 1]], data=BIASES[number]),
        )
        result = graph.tensor([1, SIZES[number + 1]], name=_name(number, names))
        _add(graph, last, number, kernel, bias, result, 1)
        last = result
    return graph.pack([first], [last])


def sum_of_two() -> bytes:
    """float32 [1, 8]: RELU(x) + TANH(x), where an ADD in place would overwrite one of its inputs."""
    graph = _Graph()
    x, a, b, y = (graph.tensor([1, SIZES[0]], name=name) for name in ("x", "a", "b", "y"))
    graph.node("RELU", [x], [a])
    graph.node("TANH", [x], [b])
    graph.node("ADD", [a, b], [y], options="AddOptions")
    return graph.pack([x], [y])


def int8_chain(wrong=None, factor=1.0, names=True) -> bytes:
    """Ranges are those of X, min to max; that of layer `wrong` is `factor` times as wide."""
    graph = _Graph()
    scales, zeros = [], []
    for place, values in enumerate(activations(X)):
        low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
        if wrong is not None and place == wrong + 1:
            low, high = low * factor, high * factor
        scales.append((high - low) / 255)
        zeros.append(round(-128 - low / scales[-1]))
    first = last = graph.tensor([1, SIZES[0]], "int8", scale=scales[0], zero=zeros[0], name="x")
    for number, (kernel, bias) in enumerate(zip(KERNELS, BIASES, strict=True)):
        step = float(np.abs(kernel).max()) / 127
        accumulator = scales[number] * step
        weights = graph.tensor(kernel.shape, "int8", data=np.rint(kernel / step), scale=step)
        offset = graph.tensor(bias.shape, "int32", data=np.rint(bias / accumulator), scale=accumulator)
        result = graph.tensor(
            [1, len(bias)], "int8", scale=scales[number + 1], zero=zeros[number + 1], name=_name(number, names)
        )
        _add(graph, last, number, weights, offset, result, 4)
        last = result
    return graph.pack([first], [last])
