"""What a step reached, measured in a model's weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from tflite_edge.records.manifest import Effect, LayerEffect

# Share of exact zeros from which a kernel counts as pruned. Training leaves next to none (float32 hits zero
# exactly only where weight decay starves a filter), pruning below a tenth would not be worth its name.
PRUNED = 0.05
# Values that occur more than once, from which a kernel counts as clustered: float32 weights hardly ever repeat.
REPEATED = 0.1
MOST_SHARED = 256  # int8 knows no more values than that


def measure(model: Any) -> Effect:
    """The effect of all steps so far on `model`, with or without wrappers, nested models included."""
    found, parameters = [], 0
    for layer in _layers(model):
        inner = getattr(layer, "layer", layer)
        weights = [weight for weight in layer.weights if not _extra(weight.name, layer is not inner)]
        parameters += sum(int(np.prod(weight.shape)) for weight in weights)
        kernels = [w for w in weights if len(w.shape) >= 2 and "kernel" in w.name.rsplit("/", maxsplit=1)[-1]]
        found += [_measured(inner, kernel.numpy()) for kernel in kernels]
    total = sum(one.weights for one in found)
    zeros = sum(one.sparsity * one.weights for one in found)
    return Effect(parameters, zeros / total if total else 0.0, tuple(found))


def _layers(model: Any) -> list[Any]:
    nested = [_layers(layer) if hasattr(layer, "layers") else [layer] for layer in model.layers]
    return [layer for group in nested for layer in group]


def _extra(name: str, wrapped: bool) -> bool:
    """Is it a variable of TF-MOT's or of our quantisers?"""
    last = name.split(":", maxsplit=1)[0].rsplit("/", maxsplit=1)[-1]
    own = ("_min", "_max", "_seen", "_centroids", "optimizer_step", "mask", "threshold", "pruning_step")
    return (wrapped or "quant" in name.split("/", maxsplit=1)[0]) and last.endswith(own)


def _measured(layer: Any, kernel: np.ndarray) -> LayerEffect:
    axis = channel_axis(type(layer).__name__, kernel.ndim)
    rows = np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1)
    return LayerEffect(
        layer.name,
        type(layer).__name__,
        kernel.size,
        float((kernel == 0).mean()),
        len(np.unique(kernel)),
        max(len(np.unique(row)) for row in rows),
    )


def channel_axis(kind: str, rank: int) -> int:
    """The axis of a kernel's output channels, which int8 gives a scale each."""
    return rank - 2 if kind in ("DepthwiseConv2D", "Conv2DTranspose") else rank - 1


def shared_values(kernel: np.ndarray, axis: int | None) -> np.ndarray | None:
    """float32 [groups, k]: the values other than zero that weights share, of the whole kernel (one group) or,
    where `axis` names the channels, of each channel; None where hardly any value repeats.

    Groups with fewer values are filled up with their last one.
    """
    whole = _repeated([kernel.reshape(-1)])
    channels = None if axis is None else _repeated(list(np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1)))
    # A kernel clustered channel by channel repeats itself as a whole, too, with the values of all channels.
    if channels is None or (whole is not None and whole.shape[1] < 2 * channels.shape[1]):
        return whole
    return channels


def _repeated(groups: list[np.ndarray]) -> np.ndarray | None:
    values = [np.unique(group[group != 0]) for group in groups]
    most, different = max(len(v) for v in values), sum(len(v) for v in values)
    weights = sum(int((group != 0).sum()) for group in groups)
    if most == 0 or most > MOST_SHARED or different > (1 - REPEATED) * weights:
        return None
    return np.stack([np.pad(v, (0, most - len(v)), mode="edge") if len(v) else np.zeros(most) for v in values]).astype(
        np.float32
    )
