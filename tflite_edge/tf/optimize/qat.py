"""Quantisation-aware training in 8 bits, on more models than TF-MOT takes, keeping zeros and shared values.

TF-MOT's wrappers put fake quantisation on weights and outputs; where it goes is decided here, for the whole
graph at once, so that the converter finds a range for every tensor: what has none would be calibrated, or
stay float. Each kernel gets a quantiser of its own, chosen from its weights: TF-MOT's PCQAT scheme shares one
for all layers, and a first layer without zeros makes every layer lose its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras.quantize_layer import QuantizeLayer
from tensorflow_model_optimization.quantization.keras import QuantizeWrapperV2

from tflite_edge.records.errors import ModelError
from tflite_edge.records.step import Qat
from tflite_edge.tf.optimize.affine import stays
from tflite_edge.tf.optimize.choose import refuse_untrainable
from tflite_edge.tf.optimize.effect import PRUNED, shared_values
from tflite_edge.tf.optimize.graph import Call, Graph, Value, build
from tflite_edge.tf.optimize.quantizers import Kernel, Placed, Range, registered
from tflite_edge.tf.optimize.rewrite import PASSING, quantizable

# kind -> the kernel's attribute and the axis of its channels' scales; None: one scale for all. The converter takes
# no scale per channel for Dense and Conv2DTranspose from QAT (measured with TensorFlow 2.21).
KERNELS: dict[str, tuple[str, int | None]] = {
    "Conv2D": ("kernel", 3),
    "DepthwiseConv2D": ("depthwise_kernel", 2),
    "Conv2DTranspose": ("kernel", None),
    "Dense": ("kernel", None),
}
QUANTIZED = (
    "Add", "Multiply", "Subtract", "Maximum", "Minimum", "Concatenate", "GlobalAveragePooling1D",
    "GlobalAveragePooling2D", "ReLU", "LeakyReLU", "PReLU", "HardSwish", "Rescaling", "BatchNormalization",
)  # fmt: skip
FUSE_RELU = ("Add", "Multiply", "Subtract", "Rescaling", "BatchNormalization", "Conv2D", "DepthwiseConv2D", "Dense")
# Not Conv2DTranspose: the converter leaves its ReLU an operator of its own, which needs a range before it.
FIXED = ("softmax", "sigmoid", "tanh")  # TFLite fixes their output's range
CURVES = ("swish", "gelu")


def apply(model: Any, step: Qat, tune: Any) -> Any:
    """The model with its quantisers after fine-tuning, ready for the converter; `model` stays as it is.

    tune: see the package. Raises ModelError for layers that cannot be quantised, naming them all.
    """
    refuse_untrainable(model, "qat")
    graph = quantizable(model)
    refuse_unknown(graph)
    learning = _wrap(graph, keep=True)
    tune(learning, step.epochs, step.learning_rate)
    settled = _wrap(graph, keep=False)
    _settle(learning, settled)
    return settled


def skeleton(model: Any) -> Any:
    """What `apply` makes of the model, before anything is learnt: the weights of an earlier run fit into it."""
    return _wrap(quantizable(model), keep=False)


def refuse_unknown(graph: Graph) -> None:
    """Raises ModelError with all layers that have no place in an int8 graph made by training."""
    named = (f"{call.layer.name} ({_called(call)})" for call in graph.calls if not _known(graph, call))
    unknown = list(dict.fromkeys(named))  # a shared layer once
    if unknown:
        raise ModelError(
            f"qat knows no quantisation for {len(unknown)} layers",
            evidence="\n".join(unknown[:10]),
            do="leave qat out: --quantize int8 quantises after training, for every operator that has an int8 kernel",
        )


def _called(call: Call) -> str:
    if call.kind == "TFOpLambda":
        return f"operator {call.layer.symbol}"
    if call.kind in KERNELS:
        return f"{call.kind} with an activation of its own"
    return f"Activation {_activation(call)}" if call.kind == "Activation" else call.kind


def _known(graph: Graph, call: Call) -> bool:
    if len(call.outputs) != 1:
        return False
    if call.kind in KERNELS:
        # A layer's own activation is left only where it has no name, such as another layer.
        return call.layer.get_config()["activation"] == "linear"
    if call.kind == "BatchNormalization":
        return stays(graph, call)
    if call.kind == "Rescaling":
        scale, offset = call.layer.get_config()["scale"], call.layer.get_config()["offset"]
        return bool(np.all(np.asarray(scale) == 1) or np.all(np.asarray(offset) == 0))
    return call.kind in (*QUANTIZED, *PASSING, "UpSampling2D", "AveragePooling2D") or _activation(call) in (
        *FIXED,
        *CURVES,
    )


def _activation(call: Call) -> str:
    if call.kind == "Softmax":
        return "softmax"
    return str(call.layer.get_config()["activation"]) if call.kind == "Activation" else ""


def place(graph: Graph) -> dict[str, bool]:
    """Which layers get a quantiser on their output, by name; layers that are not in it are left alone."""
    placed = {}
    for call in graph.calls:
        if call.kind in KERNELS or call.kind in QUANTIZED or _activation(call) in CURVES or _bilinear(call):
            placed[call.layer.name] = not _joined(graph, call)
    return placed


def _bilinear(call: Call) -> bool:
    return call.kind == "UpSampling2D" and call.layer.get_config()["interpolation"] != "nearest"


def _joined(graph: Graph, call: Call) -> bool:
    """Is the output only an inner value of one TFLite operator, or of a concatenation with one scale?"""
    follower = graph.only_consumer(call.outputs[0])
    if follower is None:
        return False
    if follower.kind == "ReLU":
        return call.kind in FUSE_RELU and _fuses(follower)
    if follower.kind == "BatchNormalization":
        return stays(graph, follower)
    return follower.kind == "Concatenate" and call.kind in (
        "ReLU",
        "Add",
        "BatchNormalization",
        "Concatenate",
        *KERNELS,
    )


def _fuses(relu: Call) -> bool:
    config = relu.layer.get_config()
    plain = not np.any(config["negative_slope"]) and not np.any(config["threshold"])
    return bool(plain and (config["max_value"] is None or float(config["max_value"]) == 6.0))


@registered
class Quantized(QuantizeWrapperV2):
    """TF-MOT's wrapper, but a frozen layer stays frozen: TF-MOT would train its kernel."""

    @property
    def trainable_weights(self) -> list[Any]:
        return super().trainable_weights if self.layer.trainable else []

    @property
    def non_trainable_weights(self) -> list[Any]:
        own = super().non_trainable_weights
        return own if self.layer.trainable else self._dedup_weights([*super().trainable_weights, *own])


def _wrap(graph: Graph, *, keep: bool) -> Any:
    """A fresh model with quantisers; keep: its kernels' zeros and shared values are kept while it learns."""
    outputs = place(graph)

    def wrapped(layer: Any) -> Any:
        if layer.name not in outputs:
            return layer
        attribute, axis = KERNELS.get(type(layer).__name__, ("", None))
        kernel = None
        if getattr(layer, "depth_multiplier", 1) != 1:
            axis = None  # the converter takes scales per channel of a depthwise kernel only when that is 1
        if attribute:
            weights = np.asarray(getattr(layer, attribute))
            kernel = kernel_of(weights, axis) if keep else Kernel(axis)
        return Quantized(layer, Placed(attribute, kernel, output=outputs[layer.name]), name=f"quant_{layer.name}")

    return tf_keras.models.clone_model(build(_with_input_ranges(graph)), clone_function=wrapped)


def kernel_of(weights: np.ndarray, axis: int | None) -> Kernel:
    """The quantiser that keeps what earlier steps made of this kernel: zeros, shared values, both or nothing."""
    zero = weights == 0
    mask = ~zero if zero.mean() >= PRUNED else None
    return Kernel(axis, mask, shared_values(weights, axis))


def _with_input_ranges(graph: Graph) -> Graph:
    """The graph with a quantiser behind each input."""
    ranged = Graph(graph.name, graph.inputs, graph.outputs, [], dict(graph.weights))
    table: dict[Value, Value] = {}
    for name, value in graph.inputs:
        table[value] = Value(value.shape)
        ranged.calls.append(ranged.call(QuantizeLayer(Range(), name=f"quant_{name}"), value, table[value]))
    ranged.calls += [call.reading(table) for call in graph.calls]
    return ranged


def _settle(learnt: Any, settled: Any) -> None:
    """Copy what was learnt; kernels become what their quantisers made of them, and their ranges fit exactly."""
    for old, new in zip(learnt.layers, settled.layers, strict=True):
        values = {weight.name: weight.numpy() for weight in old.weights}
        for weight in new.weights:
            weight.assign(values[weight.name])
        if not isinstance(new, Quantized):
            continue
        pairs = zip(old._weight_vars, new._weight_vars, strict=True)  # noqa: SLF001 - TF-MOT keeps them nowhere else
        for (kernel, quantizer, variables), (target, plain, ranges) in pairs:
            target.assign(quantizer.kept(kernel, variables))
            plain(target, training=True, weights=ranges)
