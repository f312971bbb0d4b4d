"""A small real fit to tune with, an int8 conversion, and the kernels that lie in the bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import tflite_edge.tf  # noqa: F401 - sets the environment before TensorFlow is imported
from tflite_edge.flatbuffer import inspect
from tflite_edge.flatbuffer.graph import graphs
from tflite_edge.flatbuffer.reader import read
from tflite_edge.records.conversion import Conversion
from tflite_edge.tf.convert.convert import convert
from tflite_edge.tf.convert.freeze import freeze
from tflite_edge.tf.quiet import quiet

with quiet():
    import tf_keras

layers = tf_keras.layers


class Tune:
    """Teaches a model what the given one answers to random input; one epoch is `steps_per_epoch` steps."""

    def __init__(self, model, steps_per_epoch=4, size=1.0):
        random = np.random.default_rng(1)
        self.x = (random.normal(0, size, [4 * steps_per_epoch, *model.input_shape[1:]])).astype(np.float32)
        self.y = np.asarray(model(self.x))
        self.steps_per_epoch, self.calls, self.spared = steps_per_epoch, 0, {}

    def spare(self, layers):
        self.spared.update(layers)

    def steps(self, epochs):
        return self.steps_per_epoch * (1 if epochs is None else epochs)

    def __call__(self, model, epochs, learning_rate, callbacks=()):
        self.calls += 1
        if epochs == 0:
            return
        model.compile(tf_keras.optimizers.Adam(learning_rate or 1e-3), "mse")
        epochs = 1 if epochs is None else epochs
        model.fit(self.x, self.y, batch_size=4, epochs=epochs, verbose=0, callbacks=list(callbacks))


@dataclass(frozen=True)
class Kernel:
    """int8 kernel in a file. per_channel: different values in the most varied output channel."""

    operator: str
    shape: tuple
    sparsity: float
    per_tensor: int
    per_channel: int


def trained_kernel(model, name):
    """The kernel of a QAT model's layer: after a call, the layer itself holds the fake-quantised tensor."""
    return model.get_layer(f"quant_{name}")._weight_vars[0][0].numpy()


INT8 = Conversion("int8", "int8")


def int8(model, x, folder):
    """The int8 flatbuffer of a QAT model (or of any)."""
    return convert(freeze(model, folder / "frozen"), INT8, x)


def kernels(flatbuffer):
    """Kernels of all convolutions and dense layers in the file's order."""
    file, found = read(flatbuffer), []
    for operator in graphs(file)[0].operators:
        if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            tensor = operator.inputs[1]
            assert tensor.dtype == "int8"
            values = np.frombuffer(file.data[tensor.data.start : tensor.data.stop], np.int8).reshape(tensor.shape)
            axis = 3 if operator.name == "DEPTHWISE_CONV_2D" else 0
            rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
            most = max(len(np.unique(row)) for row in rows)
            sparsity = float((values == 0).mean())
            found.append(Kernel(operator.name, tensor.shape, sparsity, len(np.unique(values)), most))
    return found


def all_int8(model, x, folder):
    """The int8 file of a QAT model, proven to have no float operators, and no range from calibration."""
    frozen = freeze(model, folder / "frozen")
    flatbuffer = convert(frozen, INT8, x[:1])
    facts = inspect(flatbuffer)
    assert facts.float_operators == ()
    assert facts.scheme == "static-wi8ai8"
    assert "DEQUANTIZE" not in {operator.name for operator in facts.operators}
    assert convert(frozen, INT8, x[:1] * 50) == flatbuffer, "calibration samples changed the file"
    return flatbuffer


def randomize(model, seed=0):
    """Batch norms as after a training: nothing is 0 or 1 any more."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if hasattr(layer, "layers"):
            randomize(layer, seed)
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([w + random.uniform(0, 0.4, w.shape) for w in layer.get_weights()])
    return model


def net():
    """Conv, depthwise, batch norms, residual, swish and dense layers, 7 thousand weights."""
    x = inputs = layers.Input((16, 16, 3), name="image")
    x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(8, 3, 2, "same", name="first")(x)))
    x = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)))
    x = layers.BatchNormalization()(layers.Conv2D(24, 1, use_bias=False, name="pointwise")(x))
    x = layers.Activation("swish")(x)
    x = layers.Add()([x, layers.Conv2D(24, 3, padding="same", activation="relu", name="middle")(x)])
    x = layers.Dense(32, use_bias=False, name="dense")(layers.GlobalAveragePooling2D()(x))
    x = layers.ReLU()(layers.BatchNormalization()(x))
    outputs = layers.Dense(10, activation="softmax", name="last")(x)
    return randomize(tf_keras.Model(inputs, outputs, name="net"))


def small():
    """Three dense layers, which build and convert fast."""
    stack = [
        layers.Input((12,), name="values"),
        layers.Dense(16, activation="relu", name="one"),
        layers.Dense(16, activation="relu", name="two"),
        layers.Dense(4, name="three"),
    ]
    return tf_keras.Sequential(stack, name="small")
