"""Which layers of a quantised file lose what the float file knew, and why: pure decisions on measured sums."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from tflite_edge.records.job import LayerStats
from tflite_edge.records.verdict import Finding

# Ranges that the operator's mathematics fixes, whatever the data (TFLite 8-bit quantization specification): that they
# are not used up is no fault of the calibration.
FIXED_RANGE = ("SOFTMAX", "LOG_SOFTMAX", "LOGISTIC", "TANH", "L2_NORMALIZATION")

# These must keep their input's scale (same specification), so a range that is too wide for them is not theirs.
SAME_SCALE = (
    "AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "PAD", "SLICE",
    "STRIDED_SLICE", "SPLIT", "GATHER", "TILE", "PACK", "UNPACK", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR",
    "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "MAXIMUM", "MINIMUM",
)  # fmt: skip

# Our own lines. A min-max range clips next to nothing of data like those it was made with, and such data reach most
# of it: on ResNet8 (CIFAR-10) and MobileNetV1 0.5 (Fashion-MNIST), 200 calibration and 200 test samples, no layer
# clips more than 0.05 %, uses less than 137 of 256 steps, or is below 23.9 dB. At 10 dB the error is a third of the
# signal.
MOST_CLIPPED = 0.01
LEAST_USED = 0.25
LEAST_SQNR_DB = 10.0
LEAST_ADDED = 0.05


@dataclass(frozen=True)
class LayerError:
    """One layer. All figures are over all samples.

    number: place in the order in which they run. sqnr_db: 10 log10(signal / noise); None when there is no noise, or
    no signal. noise: noise over signal as a share, None without a signal. added: how much of that was not in the
    layer's inputs yet, by which layers are ranked; that a layer passes on the noise share of its worst input is an
    assumption. most_steps: largest difference in quantised steps, None when it is not quantised.
    used_steps of all_steps: how far the stored integers reach. clipped: share of the float values outside of what
    the quantised type can hold here; clipped_samples: of the samples with one.
    """

    number: int
    name: str
    operator: str
    shape: Tuple[int, ...]
    how: str
    sqnr_db: Optional[float]
    noise: Optional[float]
    added: float
    cosine: Optional[float]
    max_difference: float
    most_steps: Optional[float]
    used_steps: Optional[int]
    all_steps: Optional[int]
    low: float
    high: float
    held_low: Optional[float]
    held_high: Optional[float]
    clipped: float
    clipped_samples: float


@dataclass(frozen=True)
class Layers:
    """Everything `compare --layers` found. layers: in the order in which they run; ranked: their numbers, worst first.

    agreement: share of the samples with the same argmax at the end, None when that is no row of classes.
    unmatched_float, unmatched_quantized: results of either file without a twin in the other.
    """

    scheme: str
    samples: int
    inputs: str
    runtime: str
    kernels: str
    agreement: Optional[float]
    layers: List[LayerError]
    ranked: List[int]
    unmatched_float: List[str]
    unmatched_quantized: List[str]
    findings: List[Finding]
    verdict: str
    notes: List[str]


def layer_errors(
    names: Sequence[Tuple[str, str, Tuple[int, ...], str]],
    sources: Sequence[Tuple[int, ...]],
    stats: Sequence[LayerStats],
    zero_points: Sequence[int],
) -> List[LayerError]:
    """One record per layer, in the order in which they run.

    names: (name, operator, shape, how it was matched); sources: places of the layers that each is computed from.
    """
    shares = [found.noise / found.signal if found.signal else None for found in stats]
    layers = []
    for number, (name, operator, shape, how) in enumerate(names):
        found, share = stats[number], shares[number]
        before = max((shares[i] or 0.0 for i in sources[number]), default=0.0)
        quantized = found.used_low is not None and found.used_high is not None
        layers.append(
            LayerError(
                number=number,
                name=name,
                operator=operator,
                shape=shape,
                how=how,
                sqnr_db=-10 * math.log10(share) if share else None,
                noise=share,
                added=max(0.0, (share or 0.0) - before),
                cosine=found.cosine,
                max_difference=found.max_difference,
                most_steps=found.max_difference / found.scale if found.scale else None,
                used_steps=_reach(found) if quantized else None,
                all_steps=found.limits[1] - found.limits[0] + 1 if quantized else None,
                low=found.low,
                high=found.high,
                held_low=(found.limits[0] - zero_points[number]) * found.scale if quantized else None,
                held_high=(found.limits[1] - zero_points[number]) * found.scale if quantized else None,
                clipped=found.clipped,
                clipped_samples=found.clipped_samples,
            )
        )
    return layers


def _reach(found: LayerStats) -> int:
    assert found.used_low is not None
    assert found.used_high is not None
    return found.used_high - found.used_low + 1


def ranked(layers: Sequence[LayerError]) -> List[LayerError]:
    """The layer that adds most noise first."""
    return sorted(layers, key=lambda layer: (-layer.added, layer.number))


def findings(layers: Sequence[LayerError]) -> Tuple[Finding, ...]:
    """Saturation, dead ranges and the layers that spoil the answer, the worst first, each with what to do."""
    found: List[Finding] = []
    for layer in ranked(layers):
        found += filter(None, (saturation(layer), dead_range(layer)))
        noisy = layer.sqnr_db is not None and layer.sqnr_db < LEAST_SQNR_DB and layer.added >= LEAST_ADDED
        if noisy and not any(finding.what.startswith(_called(layer)) for finding in found):
            found.append(
                Finding(
                    f"{_called(layer)} adds noise of {layer.added:.0%} of its signal",
                    f"signal to noise {layer.sqnr_db:.1f} dB, cosine {layer.cosine or 0:.3f}",
                    "keep this layer in int16x8 or float, quantise per channel, or train with quantisation (qat)",
                )
            )
    return tuple(found)


def saturation(layer: LayerError) -> Optional[Finding]:
    """Values that the range cannot hold are cut off."""
    if layer.clipped < MOST_CLIPPED or layer.operator in FIXED_RANGE:
        return None
    return Finding(
        f"{_called(layer)} saturates: {layer.clipped:.1%} of its values lie outside of its range",
        f"the float model reaches {layer.low:.4g} to {layer.high:.4g}, the file holds {layer.held_low:.4g} to "
        f"{layer.held_high:.4g}; {layer.clipped_samples:.0%} of the samples have such values",
        "calibrate with more samples, and with samples like these; check that both get the same preprocessing",
    )


def dead_range(layer: LayerError) -> Optional[Finding]:
    """Steps that no value ever takes are resolution thrown away."""
    if layer.used_steps is None or layer.all_steps is None or layer.operator in (*FIXED_RANGE, *SAME_SCALE):
        return None
    if layer.used_steps >= LEAST_USED * layer.all_steps:
        return None
    ranges = (
        f"the float model reaches {layer.low:.4g} to {layer.high:.4g}, the file holds {layer.held_low:.4g} to "
        f"{layer.held_high:.4g}"
    )
    if layer.used_steps == 1:
        return Finding(
            f"{_called(layer)} is dead: it answers the same value to everything",
            ranges,
            "train the float model further, or calibrate with the preprocessing that these data get",
        )
    return Finding(
        f"{_called(layer)} uses {layer.used_steps:,} of {layer.all_steps:,} steps",
        ranges,
        "look for outliers in the calibration samples, or calibrate with the preprocessing that these data get",
    )


def _called(layer: LayerError) -> str:
    return f"layer {layer.number} ({layer.operator}, {short(layer.name)})"


def short(name: str, most: int = 40) -> str:
    """The Keras layer in a converter's name: of `net/conv_1/Relu;net/conv_1/BiasAdd;...` it is `conv_1`."""
    parts = name.split(";", maxsplit=1)[0].split("/")
    layer = parts[-2] if len(parts) > 1 else parts[0]
    return layer if len(layer) <= most else "..." + layer[3 - most :]
