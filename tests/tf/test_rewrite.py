"""Rewriting for QAT: the same answers, in layers that end as int8 operators."""

import numpy as np
import pytest

from tests.tf.tiny import Tune, all_int8, layers, randomize, tf_keras
from tflite_edge.flatbuffer import inspect
from tflite_edge.records.errors import EdgeError, ModelError
from tflite_edge.records.step import Qat
from tflite_edge.tf.optimize import qat
from tflite_edge.tf.optimize.graph import build, fresh, read
from tflite_edge.tf.optimize.rebuild import rebuild
from tflite_edge.tf.optimize.rewrite import flat, prove, quantizable
from tflite_edge.tf.quiet import quiet

pytestmark = pytest.mark.slow


def conv(x, activation=None, **options):
    return layers.Conv2D(4, 3, padding="same", activation=activation, **options)(x)


def operators(x):
    import tensorflow as tf

    x = tf.nn.relu(conv(x) + conv(x)) * 0.5
    x = tf.nn.relu6(2.0 - x) / 3.0
    return x * tf.sigmoid(conv(x)) - 1.0


def hard_swish(x):
    x = conv(x)
    return layers.Multiply()([x, layers.ReLU(6.0)(x + 3.0) * (1.0 / 6.0)])


def nested(x):
    inner = tf_keras.Sequential(
        [layers.Input((8, 8, 3)), layers.Conv2D(4, 3, name="same"), layers.BatchNormalization()]
    )
    other = tf_keras.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(4, 3, name="same"), inner.layers[-1]])
    return layers.Add()([inner(x), other(x)])


def preprocessing(x):
    x = layers.Rescaling(1 / 255)(x)
    x = layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.04, 0.05, 0.06])(x)
    return conv(layers.ZeroPadding2D()(layers.Rescaling([2.0, 1.0, 0.5])(x)))


def lone_norms(x):
    x = layers.BatchNormalization()(x)
    x = layers.BatchNormalization()(conv(x, "relu"))
    y = conv(x)  # two readers: its batch norm cannot be folded
    x = layers.Add()([y, layers.BatchNormalization()(y)])
    x = layers.Dense(6)(layers.BatchNormalization()(layers.Flatten()(x)))
    return layers.ReLU()(layers.BatchNormalization(scale=False)(x))


def activations(x):
    for name in ("swish", "hard_sigmoid", "gelu", "relu6", "tanh", "sigmoid"):
        x = conv(x, name)
    return layers.Activation("linear")(layers.PReLU(shared_axes=[1, 2])(layers.LeakyReLU()(conv(x))))


def rows(x):
    x = layers.Reshape((64, 3))(x)
    x = layers.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="relu")(x)
    x = layers.BatchNormalization()(layers.Conv1D(6, 3, 2, use_bias=False)(x))
    x = layers.SeparableConv1D(5, 3, padding="same")(layers.ReLU()(x))
    return layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(x))


def images(x):
    x = layers.SeparableConv2D(6, 3, 2, padding="same", depth_multiplier=2, activation="relu")(x)
    x = layers.BatchNormalization()(layers.Conv2DTranspose(5, 3, 2)(x))
    x = layers.Activation("relu")(layers.MaxPooling2D()(layers.ReLU()(x)))
    x = layers.UpSampling2D()(layers.AveragePooling2D()(x))
    return layers.Average()([conv(x), conv(x), layers.Dropout(0.3)(conv(x))])


def joined(x):
    sides = [conv(x, "relu"), conv(x), layers.MaxPooling2D(1)(conv(x)), x]
    return layers.GlobalMaxPooling2D()(layers.ReLU()(layers.Concatenate()(sides)))


def shared(x):
    twice, active = layers.Conv2D(3, 3, padding="same"), layers.Conv2D(3, 3, padding="same", activation="relu")
    return layers.Add()([twice(x), active(twice(active(x)))])


CASES = [operators, hard_swish, nested, preprocessing, lone_norms, activations, rows, images, joined, shared]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_answers_are_equal_and_the_file_is_int8_throughout(case, tmp_path):
    inputs = layers.Input((8, 8, 3))
    model = randomize(tf_keras.Model(inputs, case(inputs), name=case.__name__))
    rewritten = build(quantizable(model))
    x = np.random.default_rng(2).normal(0, 3, [3, 8, 8, 3]).astype(np.float32)
    np.testing.assert_allclose(rewritten(x), model(x), rtol=1e-3, atol=1e-4)
    kinds = {type(layer).__name__ for layer in rewritten.layers}
    assert not kinds & {"TFOpLambda", "Sequential", "SeparableConv2D", "Conv1D", "Normalization", "Average"}
    tune = Tune(model, steps_per_epoch=3)
    facts = inspect(all_int8(qat.apply(model, Qat(), tune), tune.x, tmp_path))
    names = {operator.name for operator in facts.operators}
    if case is hard_swish:
        assert "HARD_SWISH" in names
    if case is preprocessing:  # three layers, one operator
        assert {operator.name: operator.count for operator in facts.operators}["DEPTHWISE_CONV_2D"] == 1
        assert not names & {"MUL", "ADD"}


def test_a_copy_has_the_same_answers_and_shares_no_weights():
    inputs = layers.Input((8, 8, 3))
    model = tf_keras.Model(inputs, nested(inputs))
    copy = fresh(model)
    x = np.ones([1, 8, 8, 3], np.float32)
    before = model(x).numpy()
    np.testing.assert_array_equal(copy(x), before)
    copy.set_weights([w * 0 for w in copy.get_weights()])
    np.testing.assert_array_equal(model(x), before)
    assert len({layer.name for layer in copy.layers}) == len(copy.layers)


def test_a_nested_model_called_for_inference_stays_in_inference():
    inner = tf_keras.Sequential([layers.Input((4,)), layers.BatchNormalization(), layers.Dropout(0.5)])
    inputs = layers.Input((4,))
    model = tf_keras.Model(inputs, inner(inputs, training=False))
    x = np.ones([2, 4], np.float32)
    np.testing.assert_array_equal(fresh(model)(x, training=True), model(x, training=True))


def test_a_layer_s_own_mode_goes_before_that_of_the_model_it_is_in():
    x = inputs = layers.Input((4,))
    x = layers.BatchNormalization()(x, training=True)
    inner = tf_keras.Model(inputs, layers.BatchNormalization()(x))
    model = tf_keras.Model(outer := layers.Input((4,)), inner(outer, training=False))
    x = np.random.default_rng(0).normal(3, 2, [8, 4]).astype(np.float32)
    wanted = np.asarray(model(x))
    assert np.abs(wanted.mean()) < 0.1, "of the samples' own statistics"
    np.testing.assert_array_equal(fresh(model)(x), wanted)
    np.testing.assert_array_equal(rebuild(model)(x), wanted)


def test_arrays_of_a_file_are_constants_as_those_in_memory(tmp_path):
    """tf_keras reads them as lists."""
    inputs = layers.Input((4, 4, 3))
    x = conv((inputs - np.float32([0.4, 0.5, 0.6])) / np.float32([0.1, 0.2, 0.3]), "relu")
    model = tf_keras.Model(inputs, x)
    with quiet():
        model.save(tmp_path / "model.h5")
    for one in (model, tf_keras.models.load_model(tmp_path / "model.h5", compile=False)):
        graph = quantizable(one)
        qat.refuse_unknown(graph)
        assert "TFOpLambda" not in {call.kind for call in graph.calls}


def test_what_is_no_number_in_the_model_itself_is_no_change():
    """e to the power of values as large as pixels."""
    inputs = layers.Input((4,))
    model = tf_keras.Model(inputs, layers.Activation("exponential")(layers.Rescaling(1000.0)(inputs)))
    prove(model, fresh(model))
    with pytest.raises(ModelError, match="qat knows no quantisation for 1 layers") as caught:
        qat.refuse_unknown(quantizable(model))
    assert "Activation exponential" in caught.value.evidence
    other = tf_keras.Model(inputs, layers.Rescaling(1000.0)(inputs))
    with pytest.raises(EdgeError, match="changed its answers"):
        prove(model, other)


def test_operators_without_a_layer_stay_and_qat_names_them():
    import tensorflow as tf

    inputs = layers.Input((4,))
    model = tf_keras.Model(inputs, tf.math.cumsum(layers.Dense(4)(inputs), axis=1))
    x = np.ones([1, 4], np.float32)
    np.testing.assert_array_equal(build(flat(model))(x), model(x))
    with pytest.raises(ModelError) as caught:
        qat.apply(model, Qat(), Tune(model))
    assert "operator math.cumsum" in caught.value.evidence


def test_different_answers_are_an_error():
    one, other = (tf_keras.Sequential([layers.Input((4,)), layers.Dense(4)]) for _ in range(2))
    prove(one, fresh(one))
    with pytest.raises(EdgeError, match="changed its answers"):
        prove(one, other)


def test_models_that_cannot_be_read_are_refused():
    class Own(tf_keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ModelError, match="not a functional"):
        read(Own())
    with pytest.raises(ModelError, match="not a functional"):
        read(tf_keras.Sequential([layers.Dense(3)]))

    class Scaled(layers.Layer):
        def __init__(self, factor):
            super().__init__(name="scaled")
            self.factor = factor

        def call(self, inputs):
            return inputs * self.factor

    inputs = layers.Input((4,))
    with pytest.raises(ModelError, match=r"scaled .Scaled. cannot be copied") as caught:
        read(tf_keras.Model(inputs, Scaled(3.0)(inputs)))
    assert "get_config" in caught.value.do
