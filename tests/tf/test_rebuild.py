"""A rebuilt model computes the same and shares nothing."""

import numpy as np
import pytest

from tflite_edge.records.errors import ModelError
from tflite_edge.tf.optimize.rebuild import rebuild
from tflite_edge.tf.quiet import quiet

with quiet():
    import tensorflow as tf
    import tf_keras

L = tf_keras.layers


def halves(x):
    return x / 2


def nested():
    inside = L.Input((6, 6, 3))
    return tf_keras.Model(inside, L.Dropout(0.5)(L.BatchNormalization(momentum=0.5)(inside)), name="nested")


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(nested, id="nested"),
        pytest.param(lambda: L.Activation(halves), id="own function"),
        pytest.param(lambda: L.Conv2D(3, 1, activation=tf.nn.relu6), id="relu6"),
        pytest.param(lambda: L.Lambda(lambda x: x * 2), id="Lambda"),
        pytest.param(lambda: L.TimeDistributed(L.Dense(3)), id="wrapper"),
        pytest.param(lambda: lambda x: tf.concat([x, tf.nn.relu(-x) * 3], axis=-1), id="operators"),
    ],
)
def test_every_kind_of_layer_is_made_again(make):
    layer = make()
    x = layer(image := L.Input((6, 6, 3)))
    model = tf_keras.Model(image, L.Dense(2)(L.Flatten()(x)))
    values = np.random.default_rng(0).normal(size=(4, 6, 6, 3)).astype(np.float32)
    first = model(values, training=False).numpy()
    copied = rebuild(model)
    np.testing.assert_allclose(copied(values, training=False), first, atol=1e-6)
    assert not {id(one) for one in model.weights} & {id(one) for one in copied.weights}
    copied.set_weights([weight + 1 for weight in copied.get_weights()])
    np.testing.assert_array_equal(model(values, training=False), first)


def test_what_an_adapted_layer_learnt_is_taken_along():
    norm = L.Normalization()
    values = np.random.default_rng(0).normal(5, 3, (64, 4)).astype(np.float32)
    norm.adapt(values)
    model = tf_keras.Model(vector := L.Input((4,)), norm(vector))
    copied = rebuild(model)
    np.testing.assert_allclose(copied(values), model(values), atol=1e-6)
    assert np.abs(np.mean(copied(values))) < 1e-5


def test_a_mode_fixed_by_the_caller_holds_for_what_is_inside():
    inner, image = nested(), L.Input((6, 6, 3))
    values = np.random.default_rng(0).normal(size=(4, 6, 6, 3)).astype(np.float32)
    fixed = rebuild(tf_keras.Model(image, inner(image, training=False)))
    free = rebuild(tf_keras.Model(image, inner(image)))
    np.testing.assert_array_equal(fixed(values, training=True), fixed(values, training=False))
    assert np.abs(free(values, training=True) - free(values, training=False)).max() > 0.1


def test_names_inputs_and_outputs_keep_their_structure():
    a, b = L.Input((3,), name="a"), L.Input((3,), name="b")
    model = tf_keras.Model({"a": a, "b": b}, {"sum": L.Add(name="sum")([a, b]), "a": L.ReLU(name="cut")(a)}, name="two")
    copied = rebuild(model)
    assert (copied.name, copied.input_names) == ("two", model.input_names)
    out = copied({"b": np.ones((1, 3)), "a": np.full((1, 3), -2.0)})
    assert {name: float(value[0, 0]) for name, value in out.items()} == {"sum": -1.0, "a": 0.0}


def test_subclassed_models_are_refused():
    class Own(tf_keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ModelError, match="not a graph"):
        rebuild(Own())
