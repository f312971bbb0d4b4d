"""Multiply-accumulates of each operator, from the shapes of its tensors alone.

Counted as the literature counts them: one for each product that is summed, in convolutions, dense
layers, matrix products and recurrent cells. Activations, poolings and element-wise arithmetic are not.
Open axes count as 1, so the figures are those of one sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tflite_edge.flatbuffer.graph import Graph, Operator, Tensor

CALLERS = ("IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_CASE", "STABLEHLO_COMPOSITE")


def macs(operator: Operator) -> int | None:
    """Multiply-accumulates of one run. None: a custom operator, or one that calls another subgraph."""
    if operator.custom or operator.name in CALLERS:
        return None
    count = COUNTED.get(operator.name)
    if count is None:
        return 0
    try:
        return count(operator.inputs, operator.outputs[0])
    except IndexError:  # fewer inputs, outputs or axes than the operator takes
        return None


def total(graph: Graph) -> tuple[int, str]:
    """(multiply-accumulates of one run of a subgraph, what is not in them)."""
    counted = [macs(operator) for operator in graph.operators]
    unknown = sorted({o.name for o, one in zip(graph.operators, counted, strict=True) if one is None})
    return sum(one or 0 for one in counted), f"without {', '.join(unknown)}" if unknown else ""


def size(shape: Sequence[int]) -> int:
    """Elements; an open axis counts as 1."""
    return math.prod(1 if length < 0 else length for length in shape)


def _convolution(inputs: Sequence[Tensor], output: Tensor) -> int:
    """Filters [O, ..., I / groups]: every output value sums one filter."""
    return size(output.shape) * size(inputs[1].shape[1:])


def _depthwise(inputs: Sequence[Tensor], output: Tensor) -> int:
    """Filters [1, H, W, O]: every output value sums the window of its own channel."""
    return size(output.shape) * size(inputs[1].shape[1:3])


def _transposed(inputs: Sequence[Tensor], _output: Tensor) -> int:
    """(output shape, filters [O, H, W, I], x): every input value is multiplied by a filter's slice."""
    return size(inputs[2].shape) * size(inputs[1].shape[:-1])


def _transposed_3d(inputs: Sequence[Tensor], _output: Tensor) -> int:
    """(output shape, filters [D, H, W, O, I], x)."""
    return size(inputs[2].shape) * size(inputs[1].shape[:-1])


def _convolution_3d(inputs: Sequence[Tensor], output: Tensor) -> int:
    """Filters [D, H, W, I, O]."""
    return size(output.shape) * size(inputs[1].shape[:-1])


def _dense(inputs: Sequence[Tensor], output: Tensor) -> int:
    """Weights [O, I]."""
    return size(output.shape) * size(inputs[1].shape[-1:])


def _matrices(inputs: Sequence[Tensor], output: Tensor) -> int:
    """[..., M, K] x [..., K, N], the left one possibly transposed: K is its axis that is not the output's M."""
    m, (first, second) = output.shape[-2], inputs[0].shape[-2:]
    return size(output.shape) * size([second if first == m else first])


def _recurrent(inputs: Sequence[Tensor], _output: Tensor) -> int:
    """x [.., .., I]: each of its vectors meets every matrix of weights once."""
    weights = sum(size(tensor.shape) for tensor in inputs[1:] if tensor.constant and len(tensor.shape) == 2)
    return size(inputs[0].shape[:-1]) * weights


COUNTED: dict[str, Callable[[Sequence[Tensor], Tensor], int]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "CONV_3D": _convolution_3d,
    "CONV_3D_TRANSPOSE": _transposed_3d,
    "FULLY_CONNECTED": _dense,
    "BATCH_MATMUL": _matrices,
    "LSTM": _recurrent,
    "RNN": _recurrent,
    "SVDF": _recurrent,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _recurrent,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _recurrent,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _recurrent,
    "BIDIRECTIONAL_SEQUENCE_RNN": _recurrent,
}
