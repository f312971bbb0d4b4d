"""A flatbuffer whose last layer learns on the board, from builtin operators only.

Small runtimes know no gradients: TensorFlow's own become Flex operators (`ReluGrad`, `Conv2DBackpropFilter`), so
those of the head are written here as the matrix products that they are. The backbone is frozen, so a sample's features
never change and are computed once, by `represent`; `train` takes features.

Signatures: infer(sample) -> output · represent(sample) -> features · recognize(features) -> output, a whole batch ·
train(features, labels, learning_rate) -> loss · save() -> every variable · restore(every variable) -> restored ·
settings() -> learning_rate, classes. `infer` comes first by name, so it is what runs where nobody names a signature.
Without a backbone `infer` takes one sample's features, and `represent` is another file.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tflite_edge.records.conversion import Conversion
from tflite_edge.records.errors import ModelError
from tflite_edge.records.learning import SPARE_BIAS, HeadPlan
from tflite_edge.tf.convert.convert import convert
from tflite_edge.tf.convert.freeze import Frozen
from tflite_edge.tf.quiet import quiet

MOMENTUM = 0.9
# Adam's own (Kingma and Ba, 2015, algorithm 1).
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
PASSED = ("Dropout", "Flatten", "Reshape", "Activation", "Softmax")  # between the last layer and the output


class Parts(NamedTuple):
    """A classifier cut before its last layer. backbone: a Keras model to features [n, F] (or [n, 1, 1, F]).

    kernel: float32 [F, K]; bias: float32 [K]. softmax: what it answers are probabilities, not logits.
    """

    backbone: Any
    kernel: np.ndarray
    bias: np.ndarray
    softmax: bool


def split(model: Any) -> Parts:
    """Cut a tf_keras classifier before its last dense layer, or convolution that is one.

    Raises ModelError for a model that ends otherwise.
    """
    with quiet():
        import tf_keras

        layer, activations = model.layers[-1], []
        while type(layer).__name__ in PASSED:
            activations.append("softmax" if type(layer).__name__ == "Softmax" else _activation(layer))
            layer = _before(layer, model)
        activations.append(_activation(layer))
        last = [name for name in activations if name != "linear"]
        ends = f"{layer.name}, a {type(layer).__name__}, with {', '.join(last) or 'no activation'}"
        dense = type(layer).__name__ == "Dense" or (
            type(layer).__name__ == "Conv2D" and layer.kernel.shape[:2] == (1, 1) and layer.output.shape[1:3] == (1, 1)
        )
        if not dense or last not in ([], ["softmax"]) or len(layer.input.shape) not in (2, 4):
            raise ModelError(
                f"{model.name} has no head that can learn on a board",
                evidence=f"it ends in {ends}",
                do="a classifier that ends in a Dense layer (or a 1 x 1 convolution of one pixel) and a softmax",
            )
        kernel = layer.kernel.numpy().reshape(-1, layer.kernel.shape[-1])
        bias = layer.bias.numpy() if layer.use_bias else np.zeros(kernel.shape[1], np.float32)
        return Parts(tf_keras.Model(model.input, layer.input, name=f"{model.name}_backbone"), kernel, bias, bool(last))


def _activation(layer: Any) -> str:
    return getattr(getattr(layer, "activation", None), "__name__", "linear")


def _before(layer: Any, model: Any) -> Any:
    """The one layer that feeds this one. Raises ModelError where there are none or several."""
    before = layer.inbound_nodes[0].inbound_layers if layer.inbound_nodes else []
    if isinstance(before, list):
        raise ModelError(f"{model.name} has no head that can learn on a board", evidence=f"{layer.name} comes last")
    return before


def trainable(parts: Parts, plan: HeadPlan, mode: str = "float32", backbone: Frozen | None = None) -> bytes:
    """The flatbuffer of the head, with `backbone` in front of it where one is given. mode: of the backbone.

    Raises ModelError when the converter refuses.
    """
    with quiet(), tempfile.TemporaryDirectory(prefix="tflite-edge-") as folder:
        import tensorflow as tf

        head = _Head(tf, parts, plan)
        signatures = _signatures(tf, head, backbone)
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(head.module, folder, signatures=signatures, options=options)
        return convert(Path(folder), Conversion(mode), signatures=tuple(signatures))


def _signatures(tf: Any, head: _Head, backbone: Frozen | None) -> dict[str, Any]:
    # Nothing that is fed or kept is a scalar: ai-edge-litert 2.3 crashes on such an input on 64-bit ARM.
    plan, (features, classes) = head.plan, head.shape
    batch = tf.TensorSpec([plan.batch, features], name="features")
    labels = tf.TensorSpec([plan.batch, classes], name="labels")
    variables = {name: tf.TensorSpec(variable.shape, name=name) for name, variable in head.variables.items()}

    def flat(sample: Any) -> Any:
        return tf.reshape(backbone(sample), [1, features]) if backbone else sample

    def restore(**values: Any) -> dict[str, Any]:
        for name, variable in head.variables.items():
            variable.assign(values[name])
        return {"restored": tf.reduce_sum(values["bias"])}  # a signature gives something

    def settings() -> dict[str, Any]:
        return {"learning_rate": tf.constant(plan.learning_rate), "classes": tf.constant(head.known)}

    def of(function: Any, *specs: Any, **named: Any) -> Any:
        return tf.function(function, autograph=False).get_concrete_function(*specs, **named)

    sample = backbone.spec if backbone else tf.TensorSpec([1, features], name="features")
    found = {
        "infer": of(lambda sample: {"output": head.answer(flat(sample))}, sample),
        "recognize": of(lambda features: {"output": head.answer(features)}, batch),
        "restore": of(restore, **variables),
        "save": of(lambda: {name: variable.read_value() for name, variable in head.variables.items()}),
        "settings": of(settings),
        "train": of(head.train, batch, labels, tf.TensorSpec([1], name="learning_rate")),
    }
    if backbone:
        found["represent"] = of(lambda sample: {"features": flat(sample)}, sample)
    return found


class _Head:
    """The variables, the answer and one training step. Variables named optimizer_* are the optimiser's own."""

    def __init__(self, tf: Any, parts: Parts, plan: HeadPlan) -> None:
        self.tf, self.plan, self.softmax = tf, plan, parts.softmax
        self.known, spare = parts.kernel.shape[1], plan.spare_classes
        kernel = np.pad(parts.kernel, [(0, 0), (0, spare)])
        bias = np.pad(parts.bias, [(0, spare)], constant_values=SPARE_BIAS)
        self.shape = kernel.shape
        weights = {"kernel": kernel, "bias": bias}
        if plan.hidden:
            draw = np.random.default_rng(0).normal(0, np.sqrt(2 / self.shape[0]), [self.shape[0], plan.hidden])
            weights |= {
                "hidden_kernel": draw.astype(np.float32),  # He et al., 2015
                "hidden_bias": np.zeros(plan.hidden, np.float32),
                "upper_kernel": np.zeros([plan.hidden, self.shape[1]], np.float32),
            }
        slots = ("momentum",) if plan.optimizer == "sgd" else ("mean", "square")
        state = {f"optimizer_{slot}_{name}": np.zeros_like(value) for slot in slots for name, value in weights.items()}
        if plan.optimizer == "adam":
            state |= {"optimizer_decay1": np.ones(1, np.float32), "optimizer_decay2": np.ones(1, np.float32)}
        self.module = tf.Module()
        self.variables = {
            name: tf.Variable(value, name=name, dtype=tf.float32) for name, value in {**weights, **state}.items()
        }
        self.module.kept = list(self.variables.values())  # a SavedModel holds what its module holds

    def logits(self, features: Any) -> tuple[Any, Any]:
        """([n, K], what the hidden layer gives [n, H], or None)."""
        tf, v = self.tf, self.variables
        logits = tf.matmul(features, v["kernel"]) + v["bias"]
        if not self.plan.hidden:
            return logits, None
        hidden = tf.nn.relu(tf.matmul(features, v["hidden_kernel"]) + v["hidden_bias"])
        return logits + tf.matmul(hidden, v["upper_kernel"]), hidden

    def answer(self, features: Any) -> Any:
        logits, _ = self.logits(features)
        return self.tf.nn.softmax(logits) if self.softmax else logits

    def train(self, features: Any, labels: Any, learning_rate: Any) -> dict[str, Any]:
        """features: [n, F]; labels: one-hot [n, K], a row of zeros for a sample that does not count."""
        tf, v = self.tf, self.variables
        logits, hidden = self.logits(features)
        count = tf.maximum(tf.reduce_sum(labels), 1.0)
        loss = -tf.reduce_sum(labels * tf.nn.log_softmax(logits)) / count
        slope = (tf.nn.softmax(logits) * tf.reduce_sum(labels, axis=1, keepdims=True) - labels) / count
        gradients = {
            "kernel": tf.matmul(features, slope, transpose_a=True),
            "bias": tf.reduce_sum(slope, axis=0),
        }
        if hidden is not None:
            below = tf.matmul(slope, v["upper_kernel"], transpose_b=True) * tf.cast(hidden > 0.0, tf.float32)
            gradients |= {
                "hidden_kernel": tf.matmul(features, below, transpose_a=True),
                "hidden_bias": tf.reduce_sum(below, axis=0),
                "upper_kernel": tf.matmul(hidden, slope, transpose_a=True),
            }
        step = self._momentum if self.plan.optimizer == "sgd" else self._adam
        # All that is read is read before anything is written: the assignments below must not meet in the graph.
        for name, value in step(gradients, learning_rate).items():
            v[name].assign(value)
        return {"loss": loss}

    def _momentum(self, gradients: dict[str, Any], learning_rate: Any) -> dict[str, Any]:
        new = {}
        for name, gradient in gradients.items():
            slot = f"optimizer_momentum_{name}"
            new[slot] = MOMENTUM * self.variables[slot] + gradient
            new[name] = self.variables[name] - learning_rate * new[slot]
        return new

    def _adam(self, gradients: dict[str, Any], learning_rate: Any) -> dict[str, Any]:
        tf, v = self.tf, self.variables
        decay1, decay2 = v["optimizer_decay1"] * BETA1, v["optimizer_decay2"] * BETA2  # the betas to the power of steps
        new = {"optimizer_decay1": decay1, "optimizer_decay2": decay2}
        for name, gradient in gradients.items():
            mean, square = f"optimizer_mean_{name}", f"optimizer_square_{name}"
            new[mean] = BETA1 * v[mean] + (1 - BETA1) * gradient
            new[square] = BETA2 * v[square] + (1 - BETA2) * gradient * gradient
            move = new[mean] / (1 - decay1) / (tf.sqrt(new[square] / (1 - decay2)) + EPSILON)
            new[name] = v[name] - learning_rate * move
        return new
