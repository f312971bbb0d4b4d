"""Models that no step can train are refused by every step, in the same words, before anything is tuned."""

import numpy as np
import pytest

from tests.tf.tiny import layers, net, small, tf_keras
from tflite_edge.records.errors import ModelError
from tflite_edge.records.step import Channels, Cluster, Distill, Prune, Qat
from tflite_edge.tf.models.load import load
from tflite_edge.tf.optimize.optimize import apply
from tflite_edge.tf.quiet import quiet

pytestmark = pytest.mark.slow
STEPS = [Prune(), Channels(fraction=0.5), Cluster(), Qat(), Distill(teacher="t.h5")]


def quantised(_):
    import tensorflow_model_optimization as tfmot

    return tfmot.quantization.keras.quantize_model(small())


def saved(folder):
    tf_keras.models.save_model(small(), folder / "saved", save_format="tf")
    return load(folder / "saved")


def half(_):
    layer = layers.Dense(4, dtype="mixed_float16")
    return tf_keras.Sequential([layers.Input((8,)), layer], name="half")


def frozen(_):
    model = net()
    model.trainable = False
    return model


def weightless(_):
    return tf_keras.Sequential([layers.Input((8,)), layers.Softmax()], name="weightless")


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (quantised, "is quantised already"),
        (saved, "is a SavedModel, which can be converted but not trained"),
        (half, "it computes in float16"),
        (frozen, "has nothing to train in net"),
        (weightless, "it has no weights"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_model_that_cannot_be_trained_is_refused(make, words, step, tmp_path):
    def never(*_, **__):
        raise AssertionError("nothing may be tuned")

    with quiet():
        model = make(tmp_path)
    with pytest.raises(ModelError) as caught:
        apply(step)(model, step, never)
    assert words in str(caught.value)
    assert caught.value.what.startswith(step.name)
    assert caught.value.do


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_frozen_layers_keep_their_bits_and_stay_frozen(step):
    """Of a model whose first half is frozen, as in transfer learning."""
    model = net()
    first = [layer for layer in model.layers if layer.name in ("first", "depthwise", "pointwise")]
    first += [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)][:3]
    for layer in first:
        layer.trainable = False
    x = np.random.default_rng(1).normal(size=(16, 16, 16, 3)).astype(np.float32)

    class Tune:
        def steps(self, _):
            return 8

        def spare(self, layers):
            assert {"first", "depthwise", "pointwise"} & {name for name, why in layers if "frozen" in why}

        def __call__(self, model, epochs=None, learning_rate=None, callbacks=()):
            model.compile(tf_keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
            model.fit(x, np.arange(16) % 10, batch_size=4, epochs=2, verbose=0, callbacks=list(callbacks))

    with quiet():
        made = apply(step)(model, step, Tune())
    changed = []
    for layer in model.layers:
        other = next((one for one in made.layers if one.name in (layer.name, f"quant_{layer.name}")), None)
        if not layer.weights or other is None:
            continue
        kept = {last(weight): weight.numpy() for weight in other.weights}
        differences = {last(w): difference(kept[last(w)], w.numpy()) for w in layer.weights}
        if layer in first:
            assert not other.trainable_weights
            if step.name == "qat":  # its kernels are those that int8 rounds to
                kernels = {name: d for name, d in differences.items() if "kernel" in name}
                assert all(d <= np.abs(kept[name]).max() / 127 * 0.51 for name, d in kernels.items())
                differences = {name: d for name, d in differences.items() if name not in kernels}
            assert not any(differences.values()), f"{layer.name} has changed"
        else:
            changed.append(any(differences.values()))
    assert any(changed)


def last(weight):
    return weight.name.rsplit("/")[-1]


def difference(one, other):
    return np.abs(one - other).max() if one.shape == other.shape else np.inf
