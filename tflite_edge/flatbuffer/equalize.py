"""Cross-layer equalisation: channels between two layers get scales under which 8 bits hold both layers best.

A channel may be divided by any s > 0 in the layer that makes it and multiplied by s in the layer that reads it: the
float answers stay (Nagel et al. 2019, arXiv:1906.04721, section 4.1). ReLU lets s pass. ReLU6 does only as long as no
value reaches its limit, so there s is held where it keeps what the calibration samples reached below 6, and channels
that do reach 6 are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tflite_edge.flatbuffer.network import KERNELS, NONE, RELU, RELU6, Network, Op

if TYPE_CHECKING:
    from tflite_edge.flatbuffer.network import Floats

# What is evened out: "weights", the kernels' channels, for kernels with one scale (Nagel et al.); "activations", what
# flows between, which has one scale always (as SmoothQuant does it for dense layers, Xiao et al., arXiv:2211.10438).
GOALS = ("weights", "activations")
PASSING = ("PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D")  # each channel for itself, and zero stays zero
SWEEPS = 10  # over all pairs: a layer is in two of them
MOST = 1e4  # the largest factor of a channel after all sweeps, either way
SWELL = 2.0  # times its largest value before: as wide as what flows between may become, or all of it is held coarsely
ROOM = 1.1  # below ReLU6's limit, for samples that reach further than those of the calibration


@dataclass(frozen=True, eq=False)
class Pair:
    """Two layers with nothing between that mixes channels. between: the tensors whose channels are scaled."""

    first: Op
    second: Op
    between: tuple[int, ...]


def pairs(network: Network) -> Iterator[Pair]:
    """Every pair whose channels may be scaled, in the order in which they run."""
    for first in network.ops:
        if network.kernel(first) is None or network.bias(first) is None:
            continue
        if first.activation not in (NONE, RELU, RELU6):
            continue
        between = [first.outputs[0]]
        while True:
            tensor = between[-1]
            readers = network.consumers(tensor)
            if len(readers) != 1 or tensor in network.outputs:
                break
            if readers[0].name not in PASSING or readers[0].activation != NONE:
                if _reads_alone(network, readers[0], tensor):
                    yield Pair(first, readers[0], tuple(between))
                break
            between.append(readers[0].outputs[0])


def _reads_alone(network: Network, op: Op, tensor: int) -> bool:
    """Does the layer read the channels of `tensor` one to one by its kernel's input axis?"""
    kernel = network.kernel(op)
    if kernel is None or op.inputs[0] != tensor or (op.name == "DEPTHWISE_CONV_2D" and network.bias(op) is None):
        return False
    return int(kernel.shape[KERNELS[op.name][1]]) == network.shape(tensor)[-1]


def equalize(network: Network, goal: str, reached: Mapping[int, Floats]) -> int:
    """Scale the channels of all pairs; returns how many pairs there are.

    reached: tensor -> float32 [C], the greatest absolute value of each channel on the calibration samples.
    """
    import numpy as np

    found = list(pairs(network))
    greatest = {tensor: values.astype(np.float64) for tensor, values in reached.items()}
    limits = {pair: SWELL * max(float(greatest[tensor].max()) for tensor in pair.between) for pair in found}
    scaled: dict[Pair, Floats] = {pair: np.ones_like(greatest[pair.between[0]]) for pair in found}
    for _ in range(SWEEPS):
        for pair in found:
            factors = _factors(network, pair, goal, greatest)
            factors = np.maximum(factors, _least(network, pair, greatest, limits[pair]))
            factors = np.clip(factors, 1 / MOST / scaled[pair], MOST / scaled[pair])
            _scale(network, pair, factors)
            scaled[pair] = scaled[pair] * factors
            for tensor in pair.between:
                greatest[tensor] = greatest[tensor] / factors
    return len(found)


def _least(network: Network, pair: Pair, greatest: Mapping[int, Floats], limit: float) -> Floats:
    """The least s, at most 1, under which neither a channel's values nor its bias go beyond the limit."""
    import numpy as np

    bias = network.bias(pair.first)
    assert bias is not None
    widest = np.max([np.abs(bias), *(greatest[tensor] for tensor in pair.between)], axis=0)
    return np.minimum(widest / limit, 1.0) if limit > 0 else np.ones_like(widest)


def _factors(network: Network, pair: Pair, goal: str, greatest: Mapping[int, Floats]) -> Floats:
    """s of each channel, the median being 1: one factor for all of them evens out nothing."""
    import numpy as np

    reads = _per_channel(network, pair.second, 1)
    makes = _per_channel(network, pair.first, 0) if goal == "weights" else greatest[pair.between[0]]
    alive = (makes > 0) & (reads > 0)
    factors = np.ones_like(makes, np.float64)
    factors[alive] = np.sqrt(makes[alive] / reads[alive])
    if alive.any():
        factors[alive] /= np.median(factors[alive])  # no mean, which a channel that is all but dead draws far off
    if pair.first.activation == RELU6:
        values = greatest[pair.between[0]]
        factors = np.where(values * ROOM >= 6, 1.0, np.maximum(factors, values * ROOM / 6))
    return factors


def _per_channel(network: Network, op: Op, side: int) -> Floats:
    """float64 [C]: the greatest absolute weight of each channel that is made (side 0) or read (side 1)."""
    import numpy as np

    kernel = network.kernel(op)
    assert kernel is not None  # `pairs` takes no others
    axis = KERNELS[op.name][side]
    others = tuple(i for i in range(kernel.ndim) if i != axis)
    greatest: Floats = np.abs(kernel).max(others).astype(np.float64)
    return greatest


def _scale(network: Network, pair: Pair, factors: Floats) -> None:
    for op, side, by in ((pair.first, 0, 1 / factors), (pair.second, 1, factors)):
        kernel = network.kernel(op)
        assert kernel is not None
        shape = [1] * kernel.ndim
        shape[KERNELS[op.name][side]] = -1
        network.store(op.inputs[1], kernel * by.reshape(shape))
    bias = network.bias(pair.first)
    assert bias is not None
    network.store_bias(pair.first, bias / factors)
