"""Bias correction: what rounding the weights adds to a layer's mean is taken off its bias.

Rounded weights W + e add e E[x] to a layer's mean output; E[x] is measured on the calibration samples (Nagel et al.
2019, arXiv:1906.04721, section 4.2, and its appendix D for the measured form).
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING

from tflite_edge.flatbuffer.network import KERNELS, Network, Op

if TYPE_CHECKING:
    from tflite_edge.flatbuffer.network import Floats

STEPS = 127  # int8 weights are symmetric, -127..127 (TFLite 8-bit quantization specification)


def correct(
    network: Network, means: Mapping[int, Floats], per_tensor: Container[str] = (), spared: Container[str] = ()
) -> int:
    """Change the biases of all layers with a kernel and a bias; returns how many.

    means: tensor -> float32 [C], of each channel on the calibration samples. Padding counts as if it had the mean,
    which is wrong at the edges only. per_tensor: operators whose kernels get one scale. spared: outputs of operators
    that stay in float, whose weights are not rounded.
    """
    import numpy as np

    changed = 0
    for op in network.ops:
        kernel, bias = network.kernel(op), network.bias(op)
        if kernel is None or bias is None or op.inputs[0] not in means or network.name(op.outputs[0]) in spared:
            continue
        mean = means[op.inputs[0]].astype(np.float64)
        error = (rounded(op, kernel, per_tensor) - kernel).astype(np.float64)
        if op.name == "DEPTHWISE_CONV_2D":
            multiplier = kernel.shape[3] // len(mean)
            added = error.sum((0, 1, 2)) * np.repeat(mean, multiplier)
        elif kernel.shape[-1] == len(mean):
            added = error.reshape(len(error), -1, len(mean)).sum(1) @ mean
        else:  # a dense layer behind a reshape, whose mean of each place is not known
            continue
        network.store_bias(op, bias - added)
        changed += 1
    return changed


def rounded(op: Op, kernel: Floats, per_tensor: Container[str] = ()) -> Floats:
    """The kernel as int8 holds it: a scale for each output channel, or one for all."""
    import numpy as np

    axis = KERNELS[op.name][0]
    whole = op.name in per_tensor
    others = tuple(i for i in range(kernel.ndim) if whole or i != axis)
    step = np.abs(kernel).max(others, keepdims=True) / STEPS
    step[step == 0] = 1
    values: Floats = np.clip(np.rint(kernel / step), -STEPS, STEPS) * step
    return values
