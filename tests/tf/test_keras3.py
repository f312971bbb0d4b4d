"""Keras 3 models rebuilt in tf_keras: equal answers for every kind of layer and graph, or a refusal that names it."""

import numpy as np
import pytest

import tflite_edge.tf  # noqa: F401 - sets the environment before TensorFlow is imported
from tflite_edge.records.errors import ModelError
from tflite_edge.tf.quiet import quiet

with quiet():
    import keras
    import tf_keras

from tflite_edge.tf.models.keras3 import bridge, proof

L, ops = keras.layers, keras.ops
IMAGE, SEQUENCE, VECTOR = (8, 8, 3), (9, 4), (6,)


def randomize(model, seed=0):
    """Weights as training leaves them: no layer is at its start, moving means and variances least of all."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        value = random.normal(0, 0.3, weight.shape)
        positive = "variance" in weight.path or "gamma" in weight.path
        weight.assign(np.abs(value) + 0.5 if positive else value)
    return model


def check(model, tolerance=2e-5):
    """Bridge it, and compare with inputs of our own, not only with those of the bridge's proof."""
    with quiet():
        randomize(model)
        before = [np.array(weight) for weight in model.get_weights()]
        bridged = bridge(model)
        graph = getattr(model, "_functional", model)
        inputs = [proof.random_input(tensor, 5) for tensor in graph.inputs]
        structure = keras.tree.pack_sequence_as(graph._inputs_struct, inputs)
        wanted = [np.asarray(item) for item in keras.tree.flatten(model(structure, training=False))]
        given = bridged.model(inputs if len(inputs) > 1 else inputs[0], training=False)
    given = given if isinstance(given, (list, tuple)) else [given]
    for one, other in zip(wanted, given, strict=True):
        assert np.abs(one).max() > 1e-6 or one.dtype != np.float32, "an answer of zeros proves nothing"
        np.testing.assert_allclose(np.asarray(other), one, rtol=1e-4, atol=tolerance * max(1, np.abs(one).max()))
    assert 0 <= bridged.difference <= proof.TOLERANCE
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert isinstance(bridged.model, tf_keras.Model)
    return bridged


def functional(shape, build, **options):
    inputs = L.Input(shape, **options)
    return keras.Model(inputs, build(inputs))


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


LAYERS = {
    "Conv2D": (IMAGE, lambda: L.Conv2D(4, 3, strides=2, padding="same", activation="relu")),
    "Conv2D dilated grouped": ((8, 8, 4), lambda: L.Conv2D(4, 3, dilation_rate=2, groups=2, use_bias=False)),
    "Conv2D regularised": (IMAGE, lambda: L.Conv2D(4, 3, kernel_regularizer="l2", kernel_constraint="max_norm")),
    "Conv1D causal": (SEQUENCE, lambda: L.Conv1D(4, 3, padding="causal", activation="silu")),
    "Conv3D": ((4, 4, 4, 2), lambda: L.Conv3D(2, 2)),
    "Conv1DTranspose": (SEQUENCE, lambda: L.Conv1DTranspose(3, 3, strides=2)),
    "Conv2DTranspose": (IMAGE, lambda: L.Conv2DTranspose(4, 3, strides=2, padding="same", output_padding=1)),
    "DepthwiseConv1D": (SEQUENCE, lambda: L.DepthwiseConv1D(3, depth_multiplier=2)),
    "DepthwiseConv2D": (IMAGE, lambda: L.DepthwiseConv2D(3, strides=2, depth_multiplier=2)),
    "SeparableConv1D": (SEQUENCE, lambda: L.SeparableConv1D(4, 3)),
    "SeparableConv2D": (IMAGE, lambda: L.SeparableConv2D(4, 3, activation="gelu")),
    "Dense": (VECTOR, lambda: L.Dense(4, activation="tanh")),
    "EinsumDense": (SEQUENCE, lambda: L.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d", activation="softmax")),
    "BatchNormalization": (IMAGE, lambda: L.BatchNormalization(epsilon=1e-2)),
    "BatchNormalization plain": (IMAGE, lambda: L.BatchNormalization(center=False, scale=False)),
    "LayerNormalization": (SEQUENCE, lambda: L.LayerNormalization(axis=[1, 2])),
    "GroupNormalization": ((6, 6, 4), lambda: L.GroupNormalization(2)),
    "UnitNormalization": (VECTOR, L.UnitNormalization),
    "SpectralNormalization": (IMAGE, lambda: L.SpectralNormalization(L.Conv2D(3, 3))),
    "MaxPooling1D": (SEQUENCE, lambda: L.MaxPooling1D(2)),
    "AveragePooling2D": (IMAGE, lambda: L.AveragePooling2D(3, strides=2, padding="same")),
    "MaxPooling3D": ((4, 4, 4, 2), L.MaxPooling3D),
    "GlobalAveragePooling1D": (SEQUENCE, L.GlobalAveragePooling1D),
    "GlobalMaxPooling2D": (IMAGE, lambda: L.GlobalMaxPooling2D(keepdims=True)),
    "Flatten": (IMAGE, L.Flatten),
    "Reshape": (IMAGE, lambda: L.Reshape((4, -1))),
    "Permute": (IMAGE, lambda: L.Permute((3, 1, 2))),
    "RepeatVector": (VECTOR, lambda: L.RepeatVector(3)),
    "ZeroPadding1D": (SEQUENCE, lambda: L.ZeroPadding1D((1, 2))),
    "ZeroPadding2D": (IMAGE, lambda: L.ZeroPadding2D(((0, 1), (2, 1)))),
    "Cropping2D": (IMAGE, lambda: L.Cropping2D(((0, 1), (2, 1)))),
    "UpSampling2D": (IMAGE, lambda: L.UpSampling2D(2, interpolation="bilinear")),
    "Resizing": (IMAGE, lambda: L.Resizing(5, 11)),
    "CenterCrop": (IMAGE, lambda: L.CenterCrop(4, 6)),
    "Rescaling": (IMAGE, lambda: L.Rescaling(1 / 127.5, offset=-1.0)),
    "Rescaling per channel": (IMAGE, lambda: L.Rescaling([0.1, 0.2, 0.3], [1.0, 2.0, 3.0])),
    "Normalization given": (IMAGE, lambda: L.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0])),
    "Normalization inverse": (VECTOR, lambda: L.Normalization(axis=None, mean=3.0, variance=2.0, invert=True)),
    "Dropout": (VECTOR, lambda: L.Dropout(0.5)),
    "SpatialDropout2D": (IMAGE, lambda: L.SpatialDropout2D(0.5)),
    "GaussianNoise": (VECTOR, lambda: L.GaussianNoise(0.5)),
    "ReLU": (VECTOR, lambda: L.ReLU(6.0, negative_slope=0.1, threshold=0.2)),
    "LeakyReLU": (VECTOR, lambda: L.LeakyReLU(0.1)),
    "PReLU": (IMAGE, lambda: L.PReLU(shared_axes=[1, 2])),
    "ELU": (VECTOR, lambda: L.ELU(0.7)),
    "Softmax": (SEQUENCE, lambda: L.Softmax(axis=1)),
    "LSTM": (SEQUENCE, lambda: L.LSTM(3, return_sequences=True)),
    "LSTM hard": (SEQUENCE, lambda: L.LSTM(3, recurrent_activation="hard_sigmoid")),
    "GRU": (SEQUENCE, lambda: L.GRU(3, go_backwards=True)),
    "GRU reset before": (SEQUENCE, lambda: L.GRU(3, reset_after=False, activation="softsign")),
    "SimpleRNN": (SEQUENCE, lambda: L.SimpleRNN(3, unroll=True)),
    "Bidirectional": (SEQUENCE, lambda: L.Bidirectional(L.LSTM(3, return_sequences=True), merge_mode="sum")),
    "Bidirectional of two": (
        SEQUENCE,
        lambda: L.Bidirectional(L.GRU(3), backward_layer=L.LSTM(3, go_backwards=True)),
    ),
    "RNN of cells": (SEQUENCE, lambda: L.RNN([L.LSTMCell(3), L.GRUCell(2), L.SimpleRNNCell(4)])),
    "ConvLSTM2D": ((3, 6, 6, 2), lambda: L.ConvLSTM2D(2, 3)),
    "TimeDistributed": ((3, *IMAGE), lambda: L.TimeDistributed(L.Conv2D(2, 3))),
    "TimeDistributed model": (
        (3, *IMAGE),
        lambda: L.TimeDistributed(
            keras.Sequential([L.Input(IMAGE), L.Conv2D(2, 3), L.BatchNormalization(), L.Flatten()])
        ),
    ),
}
ACTIVATIONS = (
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "swish", "hard_silu", "hard_swish",
    "hard_sigmoid", "sigmoid", "log_sigmoid", "tanh", "hard_tanh", "softmax", "log_softmax", "softplus", "softsign",
    "exponential", "mish", "linear", "squareplus", "sparsemax", "glu",
)  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_answers_the_same(name):
    shape, make = LAYERS[name]
    check(functional(shape, make()))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_answers_the_same(activation):
    def build(x):
        values = L.Dense(4, activation=activation, name="dense")(L.Rescaling(0.05)(x))
        return L.Activation(activation)(values)

    check(functional(VECTOR, build))


def test_keras_3_means_another_hard_sigmoid_and_it_is_spelt_in_layers():
    model = functional(VECTOR, L.Activation("hard_sigmoid"))
    bridged = check(model).model
    x = np.float32([[-2.7, -1.0, 0.0, 1.0, 2.7, 9.0]])
    np.testing.assert_allclose(bridged(x), np.clip(x + 3, 0, 6) / 6, atol=1e-6)
    assert np.abs(np.asarray(bridged(x)) - np.clip(0.2 * x + 0.5, 0, 1)).max() > 0.03  # Keras 2's
    assert kinds(bridged) == ["InputLayer", "Rescaling", "ReLU", "Rescaling"]


def residual(x):
    a = L.Conv2D(3, 3, padding="same")(x)
    return (x + a) * 0.5 - x / 3.0 + (1.0 - a) * np.float32([1, 2, 3])


OPERATIONS = {
    "arithmetic": (IMAGE, residual),
    "another rank": (SEQUENCE, lambda x: x * L.GlobalAveragePooling1D()(x)[:, None] + ops.mean(x, axis=0)),
    "division": (VECTOR, lambda x: 2.0 / (1.0 + x * x) - x // 3.0),
    "maximum": (VECTOR, lambda x: ops.maximum(x, 0.5) + ops.minimum(x, -x)),
    "activations": (VECTOR, lambda x: ops.relu(x) + ops.relu6(x) + ops.silu(x) + ops.sigmoid(x) + ops.tanh(x)),
    "more activations": (VECTOR, lambda x: ops.gelu(x) + ops.leaky_relu(x, 0.3) + ops.hard_silu(x) + ops.elu(x, 2.0)),
    "softmax": (SEQUENCE, lambda x: ops.softmax(x, axis=1) + ops.softmax(x)),
    "slices": (SEQUENCE, lambda x: x[:, ::2, 1:] + x[:, 0, None, 1:]),
    "reshape": (IMAGE, lambda x: ops.reshape(ops.transpose(x, (0, 3, 1, 2)), (-1, 3, 64))),
    "axes": (VECTOR, lambda x: ops.squeeze(ops.expand_dims(x, -1) + ops.expand_dims(x, axis=1)[:, :, :1], axis=-1)),
    "pooling": (IMAGE, lambda x: ops.mean(x, axis=(1, 2)) + ops.max(x, axis=(1, 2)) + ops.sum(x, axis=(1, 2))),
    "pooling keepdims": (IMAGE, lambda x: x * ops.mean(x, axis=[1, 2], keepdims=True)),
    "where": (VECTOR, lambda x: ops.where(x > 0, x, ops.exp(ops.clip(x, -5, 0)) - 1.0)),
    "concatenate": (IMAGE, lambda x: ops.concatenate([x, ops.pad(x[:, 1:], ((0, 0), (1, 0), (0, 0), (0, 0)))], 3)),
    "split": (VECTOR, lambda x: ops.multiply(*ops.split(x, 2, axis=-1))),
    "matmul": (SEQUENCE, lambda x: ops.matmul(x, ops.swapaxes(x, 1, 2)) + ops.einsum("bic,bjc->bij", x, x)),
    "norm": (VECTOR, lambda x: x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-3)),
    "resize": (IMAGE, lambda x: ops.image.resize(x, (5, 5))),
    "cast": (VECTOR, lambda x: ops.cast(ops.cast(x > 0.3, "int32"), "float32") + x),
    "powers": (VECTOR, lambda x: (x / 255.0) ** 2 + 1.0 / (300.0 + x)),
    "constants": (IMAGE, lambda x: x * np.arange(8, dtype="float32").reshape(8, 1) + ops.where(x > 1, x, 0.5)),
    "function": (VECTOR, lambda x: keras.Function(k := keras.KerasTensor((None, 6)), ops.relu(k) * 2.0)(x)),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_answers_the_same_also_when_it_is_cloned_and_saved(name, tmp_path):
    model = check(functional(*OPERATIONS[name])).model
    x = np.random.default_rng(1).normal(0, 2, [3, *model.input_shape[1:]]).astype(np.float32)
    with quiet():
        model.save(tmp_path / "model.h5")
        saved = tf_keras.models.load_model(tmp_path / "model.h5", compile=False)
        for copy in (saved, tf_keras.models.clone_model(model)):
            copy.set_weights(model.get_weights())
            np.testing.assert_array_equal(copy(x), model(x))


def test_arithmetic_becomes_layers_that_tf_mot_knows():
    model = check(functional(IMAGE, residual)).model
    assert set(kinds(model)) == {"InputLayer", "Conv2D", "Add", "Rescaling", "Subtract"}
    hard = check(functional(VECTOR, lambda x: L.Activation("hard_swish")(L.Dense(4)(x)))).model
    assert kinds(hard)[2:] == ["Rescaling", "ReLU", "Rescaling", "Multiply"]


def two_inputs():
    a, b = L.Input(VECTOR, name="a"), L.Input(VECTOR, name="b")
    shared = L.Dense(4, activation="relu", name="shared")
    return keras.Model([a, b], L.Dot(-1)([shared(a), shared(b)]))


def named_inputs():
    a, b = L.Input(VECTOR, name="zebra"), L.Input(SEQUENCE, name="ant")
    states = L.LSTM(6)(b, initial_state=[a, a])
    return keras.Model({"zebra": a, "ant": b}, {"sum": L.Add()([a, states]), "all": L.Concatenate()([a, states])})


def nested(training=None):
    backbone = keras.Sequential([L.Input(IMAGE), L.Conv2D(4, 3, name="conv"), L.BatchNormalization()], name="backbone")
    inner = keras.Model(backbone.inputs, L.ReLU()(backbone.outputs[0] + 1.0), name="inner")
    x = L.Input(IMAGE)
    first = inner(x, training=training)
    return keras.Model(x, [first, L.Conv2D(4, 3, name="conv")(x) + inner(L.Rescaling(2.0)(x), training=training)])


def attention():
    x = L.Input(SEQUENCE)
    values, scores = L.MultiHeadAttention(2, 3, name="mha")(x, x, use_causal_mask=True, return_attention_scores=True)
    return keras.Model(x, [L.LayerNormalization()(x + values), scores, L.Attention()([x, values]),
                           L.AdditiveAttention()([values, x])])  # fmt: skip


def masked():
    words = L.Input((9,), dtype="int32")
    x = L.Embedding(5, 4, mask_zero=True)(words)
    return keras.Model(words, [L.LSTM(3)(L.Dropout(0.5)(x)), L.GlobalAveragePooling1D()(x)])


def masked_values():
    return functional(SEQUENCE, lambda x: L.Bidirectional(L.GRU(3))(L.Masking()(x)))


def masked_to_zero():
    return functional(SEQUENCE, lambda x: L.LSTM(2, return_sequences=True, zero_output_for_mask=True)(L.Masking()(x)))


def own_mask():
    x = L.Input(SEQUENCE)
    return keras.Model(x, L.LSTM(3)(x, mask=ops.any(x > 1.0, axis=-1)))


def states():
    x = L.Input(SEQUENCE)
    sequence, h, c = L.LSTM(3, return_sequences=True, return_state=True)(x)
    return keras.Model(x, L.LSTM(3)(sequence, initial_state=[h, c]))


def merges():
    x, y = L.Input(IMAGE), L.Input(IMAGE)
    merged = [L.Add()([x, y, y]), L.Subtract()([x, y]), L.Multiply()([x, y]), L.Average()([x, y]), L.Maximum()([x, y]),
              L.Minimum()([x, y])]  # fmt: skip
    return keras.Model([x, y], L.Concatenate(axis=-1)(merged))


GRAPHS = [two_inputs, named_inputs, nested, attention, masked, masked_values, masked_to_zero, own_mask, states, merges]


@pytest.mark.parametrize("make", GRAPHS, ids=lambda make: make.__name__)
def test_every_graph_answers_the_same(make):
    check(make())


def test_sequential_models_and_their_names_stay():
    model = keras.Sequential([L.Input(IMAGE, name="image"), L.Flatten(), L.Dense(3, name="head")], name="mine")
    bridged = check(model).model
    assert (bridged.name, bridged.layers[-1].name, bridged.input_names) == ("mine", "head", ["image"])


def test_nested_models_are_inlined_and_shared_layers_stay_shared():
    model = nested()
    bridged = check(model).model
    assert not [layer for layer in bridged.layers if isinstance(layer, tf_keras.Model)]
    assert bridged.count_params() == model.count_params()
    assert len({layer.name for layer in bridged.layers}) == len(bridged.layers)


def test_an_inner_model_called_for_inference_stays_so_and_others_train():
    x = np.random.default_rng(0).normal(3, 2, (16, *IMAGE)).astype(np.float32)
    frozen, free = check(nested(training=False)).model, check(nested()).model
    np.testing.assert_allclose(frozen(x, training=True)[0], frozen(x, training=False)[0], atol=1e-5)
    assert np.abs(np.asarray(free(x, training=True)[0] - free(x, training=False)[0])).max() > 0.1


def test_frozen_layers_stay_frozen_and_dropout_still_drops():
    model = functional(VECTOR, lambda x: L.Dropout(0.5)(L.Dense(8, trainable=False)(x)))
    bridged = check(model).model
    assert not bridged.trainable_variables
    x = np.ones((2, 6), np.float32)
    assert (bridged(x, training=True).numpy() == 0).any()


def test_fixed_batch_and_whole_number_inputs():
    x = L.Input(batch_shape=(1, 6))
    assert check(keras.Model(x, L.Dense(2)(x))).model.input_shape == (1, 6)
    model = check(functional(IMAGE, lambda x: L.Conv2D(2, 3)(L.Rescaling(1 / 255)(x)), dtype="uint8")).model
    assert model.inputs[0].dtype == "uint8"


def test_normalization_that_was_adapted():
    layer = L.Normalization()
    layer.adapt(np.random.default_rng(0).normal(3, 2, (50, 4)))
    with quiet():
        model = functional((5, 4), layer)
        assert bridge(model).difference < 1e-6


def test_augmentation_is_left_out_and_said():
    def build(x):
        x = L.Pipeline([L.RandomZoom(0.2), L.RandomBrightness(0.2)])(
            L.RandomRotation(0.2)(L.RandomFlip(name="flip")(x))
        )
        return L.Dense(2)(L.Flatten()(L.RandomCrop(8, 8)(x)))

    bridged = check(functional(IMAGE, build))
    assert kinds(bridged.model) == ["InputLayer", "Flatten", "Dense"]
    assert len(bridged.notes) == 5
    assert "flip (RandomFlip) left out" in bridged.notes[0]


def test_a_rebuilt_model_can_be_saved_cloned_and_loaded(tmp_path):
    def build(x):
        return ops.log(ops.abs(L.LSTM(3, recurrent_activation="hard_sigmoid")(x)) + 1.0)

    model = check(functional(SEQUENCE, build)).model
    x = np.random.default_rng(0).normal(size=(2, *SEQUENCE)).astype(np.float32)
    with quiet():
        model.save(tmp_path / "m.keras")
        again = tf_keras.models.load_model(tmp_path / "m.keras", compile=False)
        copy = tf_keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
    for other in (again, copy):
        np.testing.assert_allclose(other(x), model(x), atol=1e-6)


class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="mine")
        self.dense = L.Dense(2)

    def call(self, x):
        return self.dense(x)


def layer_scale():
    from keras.src.applications.convnext import LayerScale

    return functional(IMAGE, LayerScale(0.1, 3, name="scale"))


REFUSED = {
    "custom layer": (lambda: functional(VECTOR, Doubled(name="odd")), "odd", "twin"),
    "LayerScale": (layer_scale, "scale", "no twin"),
    "RMSNormalization": (lambda: functional(VECTOR, L.RMSNormalization(name="rms")), "rms", "no twin"),
    "half floats": (
        lambda: functional(VECTOR, L.Dense(2, dtype="mixed_float16", name="half")), "half", "mixed_float16"),
    "subclassed": (Subclassed, "mine", "not a functional"),
    "new argument": (
        lambda: functional(IMAGE, L.Resizing(4, 6, pad_to_aspect_ratio=True, name="fit")),
        "fit", "pad_to_aspect_ratio"),
    "crop": (lambda: functional(IMAGE, L.RandomCrop(4, 4, name="crop")), "crop", "changes the size"),
    "inner activation": (
        lambda: functional(SEQUENCE, L.LSTM(2, activation="celu", name="lstm")), "lstm", "celu"),
    "wrapped activation": (
        lambda: functional(SEQUENCE, L.TimeDistributed(L.Dense(2, activation="relu6", name="in"))),
        "in", "relu6"),
    "text": (lambda: functional((1,), L.Hashing(3), dtype="string"), "", "text"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_twin_is_refused_by_name(name):
    make, layer, reason = REFUSED[name]
    with quiet():
        model = make()
    with pytest.raises(ModelError) as caught:
        bridge(model)
    assert layer in caught.value.what
    assert reason in str(caught.value)
    assert caught.value.do


def test_a_model_that_answers_otherwise_is_refused(monkeypatch):
    """The proof itself: Keras 2's hard_sigmoid in the place of Keras 3's, which differ by 0.04."""
    from tflite_edge.tf.models.keras3 import twins

    monkeypatch.setitem(twins.PLAIN_ACTIVATIONS, "hard_sigmoid", "hard_sigmoid")
    with quiet():
        model = functional(VECTOR, L.Dense(5, activation="hard_sigmoid"))
    with pytest.raises(ModelError, match="does not answer as in Keras 3"):
        bridge(model)


ARCHITECTURES = {
    "MobileNet": 32, "MobileNetV2": 32, "MobileNetV3Small": 32, "EfficientNetB0": 32,
    "EfficientNetV2B0": 32, "ResNet50": 32, "NASNetMobile": 32, "DenseNet121": 32,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures_answer_the_same(name):
    size = ARCHITECTURES[name]
    options = {"include_top": False, "pooling": "avg"} if name == "NASNetMobile" else {"classes": 5}
    with quiet():
        model = getattr(keras.applications, name)(input_shape=(size, size, 3), weights=None, **options)
        random = np.random.default_rng(0)
        for weight in model.weights:  # about the scale they start with: deep nets must not overflow
            if "moving_variance" in weight.path or "gamma" in weight.path:
                weight.assign(random.uniform(0.8, 1.2, weight.shape))
            elif "moving_mean" in weight.path or "beta" in weight.path or "bias" in weight.path:
                weight.assign(random.normal(0, 0.05, weight.shape))
        bridged = bridge(model)
    assert bridged.difference < 2e-5
    trained = [sum(int(np.prod(w.shape)) for w in m.trainable_weights) for m in (bridged.model, model)]
    assert trained[0] == trained[1]
    assert "KerasOp" not in kinds(bridged.model)
