"""Scales and offsets: batch norms, Normalization and Rescaling, folded, merged, or in the form that quantises best."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras

from tflite_edge.tf.optimize.graph import Call, Graph

layers = tf_keras.layers


def fold_dense(graph: Graph) -> None:
    """Batch norms behind Dense and Conv2DTranspose become part of their kernels.

    Clustering needs this done before it: the scale of each column would multiply a kernel's shared values.
    """
    for norm in [call for call in graph.calls if call.kind == "BatchNormalization"]:
        kernel = graph.producer(norm.inputs[0])
        if kernel is None or kernel.kind not in ("Dense", "Conv2DTranspose") or not _foldable(graph, kernel, norm):
            continue
        config, scale, offset = kernel.layer.get_config(), *inference_norm(graph, norm)
        weights = graph.weights_of(kernel)
        bias = weights[1] if config["use_bias"] else 0.0
        # A transposed convolution's kernel is [height, width, out, in].
        by_channel = scale[:, None] if kernel.kind == "Conv2DTranspose" else scale
        layer = type(kernel.layer).from_config({**config, "use_bias": True})
        graph.weights[layer] = [weights[0] * by_channel, bias * scale + offset]
        kernel.layer = layer
        graph.remove(norm)


def line(layer: Any) -> tuple[Any, Any]:
    config = layer.get_config()
    return config["scale"], config["offset"]


def inference_norm(graph: Graph, call: Call) -> tuple[np.ndarray, np.ndarray]:
    """(scale, offset) by channel of a batch norm at inference."""
    config, weights = call.layer.get_config(), list(graph.weights_of(call))
    gamma = weights.pop(0) if config["scale"] else 1.0
    beta = weights.pop(0) if config["center"] else 0.0
    mean, variance = weights
    scale = gamma / np.sqrt(variance + config["epsilon"])
    return scale, beta - mean * scale


def _foldable(graph: Graph, kernel: Call, norm: Call) -> bool:
    linear = kernel.layer.get_config()["activation"] == "linear"
    alone = not graph.shared(kernel) and not graph.shared(norm) and graph.only_consumer(kernel.outputs[0]) is norm
    return linear and alone and _last_axis(norm)


def _last_axis(call: Call) -> bool:
    axis = call.layer.get_config()["axis"]
    axes = list(axis) if isinstance(axis, (list, tuple)) else [axis]
    return axes in ([-1], [len(call.outputs[0].shape) - 1])


def stays(graph: Graph, norm: Call) -> bool:
    """Is it a batch norm that the converter folds: alone behind a Conv2D or DepthwiseConv2D?"""
    kernel = graph.producer(norm.inputs[0])
    return kernel is not None and kernel.kind in ("Conv2D", "DepthwiseConv2D") and _foldable(graph, kernel, norm)


def _scale_and_offset(graph: Graph, call: Call) -> tuple[np.ndarray, np.ndarray] | None:
    """(scale, offset) of a layer that is x * scale + offset for each channel, else None."""
    if graph.shared(call):
        return None
    if call.kind == "Rescaling":
        scale, offset = line(call.layer)
        return np.asarray(scale, np.float32), np.asarray(offset, np.float32)
    if call.kind == "BatchNormalization" and _last_axis(call) and not stays(graph, call):
        return inference_norm(graph, call)
    if call.kind == "Normalization" and not call.layer.get_config().get("invert"):
        config, weights = call.layer.get_config(), graph.weights_of(call)
        axis = config["axis"]
        if axis is not None and not _last_axis(call):
            return None
        given = (config["mean"], config["variance"]) if config.get("mean") is not None else weights[:2]
        mean, variance = (np.asarray(array, np.float32).reshape(-1) for array in given)
        scale = 1 / np.maximum(np.sqrt(variance), 1e-7)  # Keras's own guard
        return scale, -mean * scale
    return None


def merge_affine(graph: Graph) -> None:
    """Neighbouring scales and offsets as one, in the form that quantises best."""
    for call in list(graph.calls):
        own = _scale_and_offset(graph, call) if call in graph.calls else None
        if own is None:
            continue
        scale, offset = own
        while (follower := graph.only_consumer(call.outputs[0])) and (more := _scale_and_offset(graph, follower)):
            scale, offset = scale * more[0], offset * more[0] + more[1]
            graph.remove(follower)
        _put_affine(graph, call, scale, offset)


def _put_affine(graph: Graph, call: Call, scale: np.ndarray, offset: np.ndarray) -> None:
    value, end, name = call.inputs[0], call.outputs[0], call.layer.name
    if np.all(scale == 1) and np.all(offset == 0) and end not in graph.outputs:
        graph.remove(call)
    elif len(end.shape) == 4 and not (scale.size == 1 and (scale.item() == 1 or np.all(offset == 0))):
        channels = int(end.shape[-1] or 0)  # convolutions have fixed channels
        depthwise = layers.DepthwiseConv2D(1, name=name)
        kernel = np.broadcast_to(scale, [channels]).astype(np.float32).reshape(1, 1, channels, 1)
        bias = np.broadcast_to(offset, [channels]).astype(np.float32)
        graph.replace(call, [graph.call(depthwise, value, end, [kernel, bias])])
    else:
        new = []
        if not np.all(scale == 1):
            new.append(layers.Rescaling(plain(scale), name=name))
        if not np.all(offset == 0) or not new:
            new.append(layers.Rescaling(1.0, plain(offset), name=f"{name}_offset"))
        graph.chain(call, new)


def plain(values: Any) -> float | list[float]:
    array = np.asarray(values)
    return float(array.item()) if array.size == 1 else [float(x) for x in array.reshape(-1)]
