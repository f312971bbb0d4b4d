"""What QAT puts on a layer: quantisers of ranges and of weights, and the TF-MOT configs that carry them.

TF-MOT's wrappers do the work; its quantisers are replaced where they lose accuracy or promises:
activation ranges that start at -6..6 and move by a thousandth a step, and PCQAT's one quantiser for all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.quantization.keras import QuantizeConfig
from tensorflow_model_optimization.quantization.keras.quantizers import LastValueQuantizer, Quantizer

registered = tf_keras.utils.register_keras_serializable("tflite_edge")  # copies of layers look classes up by name
# Ranges are the mean over the first batches and then a moving average over about so many.
RANGE_BATCHES = 100
WEIGHTS = {"num_bits": 8, "symmetric": True, "narrow_range": True}  # what TFLite's int8 kernels take


@registered
class Range(Quantizer):
    """8 bits over the range that the batches had: their mean, then a moving average.

    TF-MOT's MovingAverageQuantizer starts at -6..6 with a decay of 0.999, its AllValuesQuantizer never
    shrinks from there: after the few hundred steps of a small data set, ranges still are what was never seen.
    """

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:  # noqa: ARG002
        def variable(kind: str, value: float) -> Any:
            start = tf.constant_initializer(value)
            return layer.add_weight(f"{name}_{kind}", shape=(), initializer=start, trainable=False)

        return {"min_var": variable("min", -6.0), "max_var": variable("max", 6.0), "seen": variable("seen", 0.0)}

    def __call__(self, inputs: Any, training: Any, weights: dict[str, Any], **_: Any) -> Any:
        low, high, seen = weights["min_var"], weights["max_var"], weights["seen"]
        if training:
            keep = tf.minimum(seen / (seen + 1), 1 - 1 / RANGE_BATCHES)
            # Zero must be exact: it is what padding is filled with.
            new_low = keep * low + (1 - keep) * tf.minimum(tf.reduce_min(inputs), 0.0)
            new_high = keep * high + (1 - keep) * tf.maximum(tf.reduce_max(inputs), 0.0)
            with tf.control_dependencies([seen.assign_add(1.0)]):
                low, high = low.assign(new_low), high.assign(new_high)
        return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high)

    def get_config(self) -> dict[str, Any]:
        return {}


@registered
class Kernel(LastValueQuantizer):
    """8-bit weights whose zeros stay zero and whose shared values stay shared (PQAT, CQAT, PCQAT).

    axis: that of the output channels when each has its own scale, else None. mask: bool, like the kernel,
    False where it must stay zero. centroids: float32 [groups, k], the shared values other than zero, of
    the whole kernel (one group) or of each output channel; training moves them and, as TF-MOT's clustering
    does, moves weights to the centroid that is nearest. Arrays belong to one layer: there is a quantiser each.
    """

    def __init__(self, axis: int | None, mask: np.ndarray | None = None, centroids: np.ndarray | None = None) -> None:
        super().__init__(per_axis=axis is not None, **WEIGHTS)
        self.axis, self.mask, self.centroids = axis, mask, centroids

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        def variable(kind: str, value: Any, shape: tuple[int, ...], trainable: bool = False) -> Any:
            start = tf.constant_initializer(value)
            return layer.add_weight(f"{name}_{kind}", shape=shape, initializer=start, trainable=trainable)

        shape = () if self.axis is None else (int(tensor_shape[self.axis]),)
        variables = {"min_var": variable("min", -6.0, shape), "max_var": variable("max", 6.0, shape)}
        if self.centroids is not None:
            variables["centroids"] = variable("centroids", self.centroids, self.centroids.shape, trainable=True)
        return variables

    def __call__(self, inputs: Any, training: Any, weights: dict[str, Any], **_: Any) -> Any:
        kernel = self.kept(inputs, weights)
        if self.axis in (None, len(kernel.shape) - 1):
            return super().__call__(kernel, training, weights)
        # Fake quantisation per channel works along the last axis only.
        swap = list(range(len(kernel.shape)))
        swap[self.axis], swap[-1] = swap[-1], swap[self.axis]
        return tf.transpose(super().__call__(tf.transpose(kernel, swap), training, weights), swap)

    def kept(self, inputs: Any, weights: dict[str, Any]) -> Any:
        """The kernel with zeros and shared values kept; its gradient reaches centroids and weights."""
        kernel = inputs
        if self.centroids is not None:
            per_channel = len(self.centroids) > 1
            rows = tf.transpose(inputs, self._channels_first(inputs)) if per_channel else inputs
            flat = tf.reshape(rows, [len(self.centroids), -1])
            values = tf.sort(weights["centroids"], axis=1)
            borders = tf.stop_gradient((values[:, 1:] + values[:, :-1]) / 2)
            nearest = tf.searchsorted(borders, tf.stop_gradient(flat))
            # The bracket is zero, and passes the gradient on to the weights; without it, sums would round values apart.
            shared = tf.gather(values, nearest, batch_dims=1) + (flat - tf.stop_gradient(flat))
            kernel = tf.reshape(shared, tf.shape(rows))
            if per_channel:
                kernel = tf.transpose(kernel, np.argsort(self._channels_first(inputs)))
        return kernel if self.mask is None else tf.where(self.mask, kernel, 0.0)

    def _channels_first(self, kernel: Any) -> list[int]:
        axis = self.axis if self.axis is not None else len(kernel.shape) - 1
        return [axis, *(i for i in range(len(kernel.shape)) if i != axis)]

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


@registered
class Placed(QuantizeConfig):
    """A layer's quantisers: of its kernel, of its output, of both or of none.

    Activations are layers of their own by then (rewrite), so that nothing is quantised inside of a layer.
    """

    def __init__(self, attribute: str = "", kernel: Kernel | None = None, *, output: bool = False) -> None:
        self.attribute, self.kernel, self.output = attribute, kernel, output

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        return [(getattr(layer, self.attribute), self.kernel)] if self.kernel else []

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        if self.kernel:
            setattr(layer, self.attribute, quantize_weights[0])

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:  # noqa: ARG002
        return []

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:  # noqa: ARG002
        assert not quantize_activations

    def get_output_quantizers(self, layer: Any) -> list[Any]:  # noqa: ARG002
        return [Range()] if self.output else []

    def get_config(self) -> dict[str, Any]:
        return {"attribute": self.attribute, "output": self.output}
