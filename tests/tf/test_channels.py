"""Removing channels: the smaller model computes what the larger one does with those channels zeroed."""

import numpy as np
import pytest

from tflite_edge.records.errors import ModelError, RecipeError
from tflite_edge.records.recipe import ModelSource
from tflite_edge.records.step import Channels
from tflite_edge.tf.models import zoo
from tflite_edge.tf.optimize import channels, cost, groups
from tflite_edge.tf.optimize.rebuild import rebuild
from tflite_edge.tf.quiet import quiet

with quiet():
    import tensorflow as tf
    import tf_keras
    from tf_keras.src.applications import densenet, nasnet

L = tf_keras.layers
HALF = Channels(fraction=0.5)


def randomise(model, seed=0):
    """Biases and batch norms as after training: fresh ones (0 and 1) would hide what is cut wrongly."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if any(word in weight.name for word in ("gamma", "variance")):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif any(word in weight.name for word in ("beta", "mean", "bias", "alpha")):
            weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


def samples(model, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, (3, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]


def answers(model, inputs):
    return [np.asarray(out) for out in tf.nest.flatten(model(inputs if len(inputs) > 1 else inputs[0], training=False))]


def assert_cut(model, step=HALF):
    """Cut it, compare with the zeroed one and with the count made beforehand; (graph, the smaller model)."""
    randomise(model)
    inputs = samples(model)
    whole = answers(model, inputs)
    graph = groups.find(model)
    removed = channels.choose(graph, step, {})
    assert removed.any()
    smaller, zeroed = channels.shrink(graph, removed), channels.zeroed(graph, removed)
    for one, other, first in zip(answers(smaller, inputs), answers(zeroed, inputs), whole, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-4)
        assert np.abs(one - first).max() > 1e-6  # something that counted was removed
    for again, first in zip(answers(model, inputs), whole, strict=True):
        np.testing.assert_array_equal(again, first)  # the user's own model is as it was
    for count in cost.COSTS.values():
        assert count(smaller, cost.own_shapes) == count(graph.model, lambda layer: graph.shapes(layer, removed))
    assert cost.parameters(smaller) == smaller.count_params() < model.count_params()
    assert cost.macs(smaller) < cost.macs(model)
    assert [layer.name for layer in smaller.layers] == [layer.name for layer in graph.model.layers]
    assert (smaller.input_shape, smaller.output_shape) == (model.input_shape, model.output_shape)
    return graph, smaller


def image(channels_=3, size=8):
    return L.Input((size, size, channels_))


def head(x, classes=4):
    return L.Dense(classes, name="head")(L.GlobalAveragePooling2D()(x))


def filters(model):
    """The channels that each convolution and dense layer makes, by name."""
    return {layer.name: layer.output_shape[-1] for layer in model.layers if hasattr(layer, "kernel")}


def conv(x, width, name, size=3, **options):
    return L.Conv2D(width, size, padding="same", name=name, **options)(x)


# --- one rule each ---------------------------------------------------------------------------------------------


def test_layers_that_are_added_lose_the_same_channels():
    x = conv(image_ := image(), 16, "a", activation="relu")
    y = L.BatchNormalization()(conv(x, 16, "b"))
    z = conv(L.Subtract()([L.Maximum()([x, y]), conv(x, 16, "c")]), 32, "d")
    graph, smaller = assert_cut(tf_keras.Model(image_, head(z)))
    assert {group.sources for group in graph.groups} == {("a", "b", "c"), ("d",)}
    assert filters(smaller) == {"a": 8, "b": 8, "c": 8, "d": 16, "head": 4}


def test_concatenated_channels_keep_their_places_as_in_squeezenet():
    x = conv(image_ := image(), 8, "squeeze", 1, activation="relu")
    y = L.Concatenate()([conv(x, 16, "one", 1), conv(x, 24, "three"), image_])
    z = L.PReLU(shared_axes=[1, 2])(L.BatchNormalization()(y))
    _, smaller = assert_cut(tf_keras.Model(image_, head(conv(z, 4, "last", 1))))
    assert filters(smaller) == {"squeeze": 4, "one": 8, "three": 16, "last": 2, "head": 4}
    assert smaller.get_layer("last").kernel.shape[2] == 8 + 16 + 3


def test_concatenation_meets_addition():
    """Halves of `wide` are tied to different layers: two groups, each cut by itself."""
    a, b = conv(image_ := image(), 16, "a"), conv(image_, 32, "b")
    y = L.Add()([L.Concatenate()([a, b]), conv(image_, 48, "wide")])
    graph, smaller = assert_cut(tf_keras.Model(image_, head(y)))
    assert {group.sources: len(group.labels) for group in graph.groups} == {("a", "wide"): 16, ("b", "wide"): 32}
    assert filters(smaller) == {"a": 8, "b": 16, "wide": 24, "head": 4}


def test_concatenation_of_rows_ties_the_channels():
    a, b = conv(image_ := image(), 16, "a"), conv(image_, 16, "b")
    graph, _ = assert_cut(tf_keras.Model(image_, head(L.Concatenate(axis=1)([a, b]))))
    assert [group.sources for group in graph.groups] == [("a", "b")]


@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise_convolutions_pass_their_channels_on(multiplier):
    x = conv(image_ := image(), 16, "a")
    y = L.BatchNormalization()(L.DepthwiseConv2D(3, depth_multiplier=multiplier, activation="relu6")(x))
    z = L.SeparableConv2D(32, 3, depth_multiplier=multiplier, name="separable")(L.MaxPooling2D()(y))
    _, smaller = assert_cut(tf_keras.Model(image_, head(z)))
    assert smaller.get_layer("a").filters == 8
    assert smaller.get_layer("separable").pointwise_kernel.shape[2:] == (8 * multiplier**2, 16)


def test_groups_of_a_grouped_convolution_stay_of_one_size():
    x = conv(image_ := image(), 32, "a", activation="relu")
    y = conv(conv(x, 64, "grouped", groups=4), 16, "b")
    graph, smaller = assert_cut(tf_keras.Model(image_, head(y)))
    assert {group.sources: len(group.labels) for group in graph.groups} == {("a",): 8, ("grouped",): 16, ("b",): 16}
    assert filters(smaller) == {"a": 16, "grouped": 32, "b": 8, "head": 4}
    assert smaller.get_layer("grouped").groups == 4


def test_a_convolution_with_a_group_for_each_channel_is_depthwise():
    x = conv(image_ := image(), 16, "a")
    _, smaller = assert_cut(tf_keras.Model(image_, head(conv(x, 32, "grouped", groups=16))))
    assert (smaller.get_layer("grouped").groups, smaller.get_layer("grouped").filters) == (8, 16)


def test_a_shared_layer_is_cut_once_for_all_its_callers():
    shared = L.Conv2D(16, 3, padding="same", name="shared")
    a, b = conv(image_ := image(), 16, "a"), conv(image_, 16, "b")
    y = L.Concatenate()([shared(a), shared(L.AveragePooling2D(1)(b))])
    graph, smaller = assert_cut(tf_keras.Model(image_, head(y)))
    assert {group.sources for group in graph.groups} == {("a", "b"), ("shared",)}
    assert smaller.get_layer("head").kernel.shape[0] == 16


def test_flatten_gives_each_channel_a_block_of_rows():
    x = L.MaxPooling2D()(conv(image_ := image(), 16, "a"))
    y = L.Dense(32, activation="relu", name="hidden")(L.BatchNormalization()(L.Flatten()(x)))
    _, smaller = assert_cut(tf_keras.Model(image_, L.Dense(3, name="head")(y)))
    assert smaller.get_layer("hidden").kernel.shape == (4 * 4 * 8, 16)


def test_reshape_to_one_pixel_and_from_a_vector():
    """MobileNet v1's head, and a decoder that starts from a dense layer."""
    x = L.GlobalAveragePooling2D()(conv(image_ := image(), 16, "a"))
    x = L.Dropout(0.1)(L.Reshape((1, 1, 16))(x))
    x = L.Dense(2 * 2 * 24, name="code")(L.Reshape((-1,))(x))
    x = L.UpSampling2D()(L.Reshape((2, 2, 24))(x))
    x = L.Conv2DTranspose(16, 3, strides=2, padding="same", name="up")(L.ZeroPadding2D(1)(x))
    graph, smaller = assert_cut(tf_keras.Model(image_, conv(x, 3, "image")))
    assert {group.sources: len(group.labels) for group in graph.groups} == {("a",): 16, ("code",): 24, ("up",): 16}
    assert filters(smaller) == {"a": 8, "code": 4 * 16, "up": 8, "image": 3}


def test_squeeze_and_excitation_follows_what_it_scales():
    x = conv(image_ := image(), 32, "a", activation="swish")
    s = L.Dense(8, activation="relu", name="squeeze")(L.GlobalAveragePooling2D()(x))
    s = L.Reshape((1, 1, 32))(L.Dense(32, activation="sigmoid", name="excite")(s))
    _, smaller = assert_cut(tf_keras.Model(image_, head(L.Multiply()([x, s]))))
    assert filters(smaller) == {"a": 16, "squeeze": 4, "excite": 16, "head": 4}


def test_a_map_of_one_channel_is_stretched_and_stays():
    x = conv(image_ := image(), 16, "a")
    _, smaller = assert_cut(tf_keras.Model(image_, head(L.Multiply()([x, conv(x, 1, "mask", activation="sigmoid")]))))
    assert filters(smaller) == {"a": 8, "mask": 1, "head": 4}


def test_operators_between_tensors_and_numbers():
    x = conv(image_ := image(), 16, "a")
    y = x * (tf.nn.relu6(x + 3.0) / 6.0)  # hard-swish as Keras 2 writes it
    y = tf.nn.relu(y + 0.5 * conv(x, 16, "b")) - tf.constant(1.0)
    graph, smaller = assert_cut(tf_keras.Model(image_, head(y)))
    assert [group.sources for group in graph.groups] == [("a", "b")]
    assert filters(smaller) == {"a": 8, "b": 8, "head": 4}


def test_two_inputs_and_two_outputs_and_1d_and_3d():
    one, two = L.Input((16, 4), name="sound"), L.Input((4, 4, 4, 2), name="volume")
    x = L.Conv1D(16, 3, padding="causal", name="a")(one)
    y = L.Conv3D(16, 2, name="b")(two)
    x = L.GlobalMaxPooling1D()(L.LeakyReLU()(L.Cropping1D(1)(x)))
    y = L.GlobalAveragePooling3D()(L.ELU()(y))
    z = L.Dense(16, name="both")(L.Concatenate()([x, y]))
    model = tf_keras.Model(
        {"sound": one, "volume": two}, [L.Dense(2, name="first")(z), L.Average(name="second")([x, y])]
    )
    randomise(model)
    graph = groups.find(model)
    assert [group.sources for group in graph.groups] == [("both",)]  # x and y are an output
    smaller, zeroed = (make(graph, channels.choose(graph, HALF, {})) for make in (channels.shrink, channels.zeroed))
    inputs = dict(zip(("sound", "volume"), samples(model), strict=True))
    for a, b in zip(smaller(inputs), zeroed(inputs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert smaller.output_names == ["first", "second"]
    assert filters(smaller) == {"a": 16, "b": 16, "both": 8, "first": 2}


def test_nested_models_are_inlined_and_keep_their_training_mode():
    inner_in = L.Input((8, 8, 16))
    inner = tf_keras.Model(inner_in, L.Dropout(0.5)(L.BatchNormalization()(conv(inner_in, 16, "inside"))), name="inner")
    tail = tf_keras.Sequential([L.Flatten(), L.Dense(16, name="inside"), L.Dense(2)], name="tail")
    x = conv(image_ := image(), 16, "a")
    model = tf_keras.Model(image_, tail(inner(L.Add()([inner(x, training=False), x]), training=False)))
    graph, smaller = assert_cut(model)
    assert {group.sources: len(group.labels) for group in graph.groups} == {("a", "inside"): 16, ("tail/inside",): 16}
    (x,) = samples(model)
    np.testing.assert_allclose(graph.model(x, training=True), model(x, training=True), atol=1e-6)
    assert smaller.get_layer("inside") is not inner.get_layer("inside")


def test_sequential_models_become_functional():
    model = tf_keras.Sequential(
        [L.Conv2D(16, 3, input_shape=(8, 8, 3)), L.ReLU(), L.Flatten(), L.Dense(16), L.Dense(2)]
    )
    _, smaller = assert_cut(model)
    assert (smaller.name, smaller.input_names) == (model.name, model.input_names)


def random_graph(rng):
    """Some fifteen layers of any kind, each on any earlier result of its size, with one or two outputs."""
    image_ = image(size=6)
    maps, count = [conv(image_, 8, "stem")], 0
    shared = L.Conv2D(8, 3, padding="same", name="shared")

    def width():
        return int(rng.choice([4, 6, 8, 12]))

    def excite(x):
        s = L.Dense(x.shape[-1], activation="hard_sigmoid")(L.Dense(3, activation="relu")(L.GlobalMaxPooling2D()(x)))
        return L.Multiply()([L.Reshape((1, 1, -1))(s), x])

    def pair(x):
        alike = [y for y in maps if y.shape[-1] == x.shape[-1]]
        return [x, alike[rng.integers(len(alike))]]

    def grow(x):
        kinds = [
            lambda: L.Conv2D(width(), 3, padding="same", activation="relu")(x),
            lambda: L.Conv2D(x.shape[-1] * 2, 1, groups=2)(x),
            lambda: L.Conv2D(x.shape[-1] * 2, 1, groups=x.shape[-1])(x),
            lambda: L.DepthwiseConv2D(3, padding="same", depth_multiplier=int(rng.integers(1, 3)))(x),
            lambda: L.SeparableConv2D(width(), 3, padding="same", depth_multiplier=2)(x),
            lambda: L.Conv2DTranspose(width(), 3, padding="same")(x),
            lambda: L.Dense(width(), activation="tanh")(x),
            lambda: L.BatchNormalization()(x),
            lambda: L.PReLU(shared_axes=[1])(x),
            lambda: shared(x) if x.shape[-1] == 8 else conv(x, 8, None),
            lambda: L.Add()(pair(x)),
            lambda: L.Maximum()(pair(x)),
            lambda: L.Concatenate()([x, maps[rng.integers(len(maps))]]),
            lambda: L.Reshape((6, 6, -1))(L.Reshape((3, 12, x.shape[-1]))(x)),
            lambda: L.Reshape((6, 6, x.shape[-1]))(L.Reshape((6, 6, 2, x.shape[-1] // 2))(x)),
            lambda: L.Reshape((6, 6, 4))(L.Dense(6 * 6 * 4)(L.Flatten()(L.AveragePooling2D(3)(x)))),
            lambda: x * tf.nn.sigmoid(pair(x)[1] - 0.5),
            lambda: L.LayerNormalization()(x),
            lambda: excite(x),
        ]
        return kinds[rng.integers(len(kinds))]()

    while count < 15:
        x = maps[-1] if rng.random() < 0.6 else maps[rng.integers(len(maps))]
        y = grow(x)
        if y.shape[-1] <= 32:
            maps.append(y)
            count += 1
    outputs = [L.Dense(3)(L.Dense(8)(L.Flatten()(maps[-1]))), maps[rng.integers(len(maps))]]
    return tf_keras.Model(image_, outputs[: int(rng.integers(1, 3))])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_any_choice_of_channels_in_any_graph(seed):
    rng = np.random.default_rng(seed)
    model = randomise(random_graph(rng), seed)
    graph = groups.find(model)
    removed = np.zeros(graph.labels, bool)
    for group in (group for group in graph.groups if len(group.labels) > 1):  # any number of them, but not all
        removed[rng.permutation(group.labels)[: rng.integers(1, len(group.labels))]] = True
    smaller, zeroed = channels.shrink(graph, removed), channels.zeroed(graph, removed)
    assert smaller.count_params() < model.count_params()
    inputs = samples(model)
    for one, other in zip(answers(smaller, inputs), answers(zeroed, inputs), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * max(1, np.abs(other).max()))
    for one, other in zip(answers(graph.model, inputs), answers(model, inputs), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * max(1, np.abs(other).max()))


# --- what is not understood stays ------------------------------------------------------------------------------


def mean_of_channels(x):
    return x / (1.0 + tf.reduce_mean(tf.abs(x), axis=-1, keepdims=True))


@tf_keras.utils.register_keras_serializable("test")
class Dense(L.Layer):
    """A stranger's layer by a well-known name."""

    def call(self, x):
        return x * tf.range(tf.cast(tf.shape(x)[-1], tf.float32))


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(L.LayerNormalization, id="LayerNormalization"),
        pytest.param(lambda: L.Softmax(axis=-1), id="Softmax"),
        pytest.param(lambda: L.Activation("softmax"), id="softmax"),
        pytest.param(lambda: L.Activation(mean_of_channels), id="own function"),
        pytest.param(lambda: L.DepthwiseConv2D(1, activation="softmax"), id="depthwise softmax"),
        pytest.param(lambda: L.BatchNormalization(axis=1), id="BatchNormalization(axis=1)"),
        pytest.param(lambda: L.Permute((3, 1, 2)), id="Permute"),
        pytest.param(lambda: L.Rescaling(np.arange(16.0).tolist()), id="Rescaling"),
        pytest.param(lambda: Dense, id="own layer"),
        pytest.param(lambda: lambda x: x * tf.constant(np.arange(16.0), tf.float32), id="x * constant"),
        pytest.param(lambda: lambda x: x[..., 1:], id="slice"),
        pytest.param(lambda: lambda x: tf.reverse(x, [3]), id="reverse"),
        pytest.param(lambda: L.Conv2D(16, 1, activation="softmax", name="soft"), id="conv softmax"),
    ],
)
def test_channels_that_a_layer_mixes_or_counts_stay(odd):
    layer = odd()
    layer = layer() if layer is Dense else layer
    x = layer(conv(image_ := image(), 16, "a"))
    model = tf_keras.Model(image_, head(conv(x, 32, "free")))
    if getattr(layer, "name", "") == "soft":
        graph, smaller = assert_cut(model)  # what it reads may go, what it makes may not
        assert filters(smaller) == {"a": 8, "soft": 16, "free": 16, "head": 4}
        return
    graph, smaller = assert_cut(model)
    assert filters(smaller) == {"a": 16, "free": 16, "head": 4}
    assert "a" in graph.spared


def test_a_number_for_each_channel_stays_one_when_the_model_was_saved(tmp_path):
    """tf_keras reads arrays as lists."""
    x = conv(image_ := image(), 16, "a") * tf.constant(np.arange(16.0), tf.float32)
    with quiet():
        tf_keras.Model(image_, head(conv(x, 32, "free"))).save(tmp_path / "model.h5")
    _, smaller = assert_cut(tf_keras.models.load_model(tmp_path / "model.h5", compile=False))
    assert filters(smaller) == {"a": 16, "free": 16, "head": 4}


def test_sequences_and_attention_stay_and_the_rest_is_cut():
    x = L.Conv1D(16, 3, name="a")(image_ := L.Input((12, 4)))
    x = L.LSTM(8, return_sequences=True)(x)
    x = L.MultiHeadAttention(2, 4)(x, x)
    x = L.GlobalAveragePooling1D()(x)
    graph, smaller = assert_cut(tf_keras.Model(image_, L.Dense(3, name="head")(L.Dense(32, name="free")(x))))
    assert filters(smaller) == {"a": 16, "free": 16, "head": 3}
    assert graph.spared["a"].endswith("(LSTM) has no rule")


def test_frozen_layers_keep_their_weights_whole():
    x = conv(image_ := image(), 16, "a")
    y = conv(conv(x, 16, "frozen", trainable=False), 16, "b")
    graph, smaller = assert_cut(tf_keras.Model(image_, head(y)))
    assert filters(smaller) == {"a": 16, "frozen": 16, "b": 8, "head": 4}
    assert graph.spared["a"] == graph.spared["frozen"] == "frozen is frozen"
    assert not smaller.get_layer("frozen").trainable


# --- how many, and which ---------------------------------------------------------------------------------------


def chain(widths=(32, 64, 32), classes=4):
    x = image_ = image()
    for number, width in enumerate(widths):
        x = L.ReLU()(L.BatchNormalization(name=f"bn{number}")(conv(x, width, f"conv{number}", use_bias=False)))
    return randomise(tf_keras.Model(image_, head(x, classes), name="chain"))


class Tune:
    """Stands where fine-tuning does: moves the weights a little and notes what it was given."""

    def __init__(self):
        self.calls, self.models = [], []

    def __call__(self, model, epochs, learning_rate, callbacks=()):
        self.calls.append((filters(model), epochs, learning_rate))
        model.set_weights([weight * 1.01 for weight in model.get_weights()])


@pytest.mark.parametrize("by", ["l1", "l2", "batch-norm"])
def test_the_channels_that_matter_least_go(by):
    model = chain((16,))
    planted = np.array([1, 2, 3, 5, 8, 11, 13, 14])
    kernel, gamma = model.get_layer("conv0").kernel, model.get_layer("bn0").gamma
    weak = np.ones(16, np.float32)
    weak[planted] = 0.01
    (gamma if by == "batch-norm" else kernel).assign((gamma if by == "batch-norm" else kernel) * weak)
    before = model.get_layer("conv0").kernel.numpy()
    smaller = channels.apply(model, Channels(fraction=0.5, importance=by), lambda *_: None)
    np.testing.assert_array_equal(smaller.get_layer("conv0").kernel, before[..., np.setdiff1d(np.arange(16), planted)])


def test_l1_and_l2_disagree_where_they_should():
    """One large value against many small ones: l1 3.0 < 3.6, l2 3.0 > 0.9."""
    model = chain((16,))
    kernel = np.full((3, 3, 3, 16), 0.7, np.float32)
    kernel[..., :8] = 3.6 / 27
    kernel[..., 8:] = 0
    kernel[0, 0, 0, 8:] = 3.0
    model.get_layer("conv0").kernel.assign(kernel)
    kept = {
        by: channels.apply(model, Channels(fraction=0.5, importance=by), lambda *_: None).get_layer("conv0").kernel
        for by in ("l1", "l2")
    }
    np.testing.assert_array_equal(kept["l1"], kernel[..., :8])
    np.testing.assert_array_equal(kept["l2"], kernel[..., 8:])


def test_importance_of_layers_of_other_scales_compares():
    model = chain((32, 32))
    for number, factor in enumerate((1e-3, 1e3)):
        kernel = model.get_layer(f"conv{number}").kernel
        kernel.assign(kernel * factor)
    smaller = channels.apply(model, Channels(macs=cost.macs(model) // 3), lambda *_: None)
    assert filters(smaller) == {"conv0": 16, "conv1": 16, "head": 4}


def test_a_budget_takes_dead_channels_before_live_ones():
    model = chain((32, 32))
    kernel = model.get_layer("conv1").kernel.numpy()
    kernel[..., :24] = 0
    model.get_layer("conv1").kernel.assign(kernel)
    smaller = channels.apply(model, Channels(parameters=model.count_params() * 2 // 5), lambda *_: None)
    assert filters(smaller) == {"conv0": 32, "conv1": 8, "head": 4}


def test_counts_are_multiples_of_eight_or_small():
    assert channels.counts(64) == [64, 56, 48, 40, 32, 24, 16, 8]
    assert channels.counts(44) == [44, 40, 32, 24, 16, 8]
    assert channels.counts(9) == [9, 8, 7, 6, 5, 4, 3]
    assert channels.counts(1) == [1]
    for size in range(1, 200):
        kept = channels.counts(size)
        assert kept == sorted(set(kept), reverse=True)
        assert kept[0] == size
        assert kept[-1] >= min(8, size / 4)


@pytest.mark.parametrize("goal", ["macs", "parameters", "bytes"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_budgets_are_met_and_not_by_far(goal, share):
    model = chain((32, 64, 64, 32))
    whole = cost.COSTS[goal](model, cost.own_shapes)
    smaller = channels.apply(model, Channels(**{goal: int(whole * share)}), lambda *_: None)
    left = cost.COSTS[goal](smaller, cost.own_shapes) / whole
    assert share - 0.12 < left <= share  # a block of 8 of 64 channels in two layers is at most this


def test_rounds_share_the_removal_and_tune_in_between():
    model, tune = chain((32, 64)), Tune()
    step = Channels(fraction=0.75, rounds=3, epochs=2, learning_rate=0.01)
    smaller = channels.apply(model, step, tune)
    assert [call[0]["conv1"] for call in tune.calls] == [48, 32, 16]
    assert [call[0]["conv0"] for call in tune.calls] == [24, 16, 8]
    assert {call[1:] for call in tune.calls} == {(2, 0.01)}
    assert filters(smaller) == tune.calls[-1][0]

    budget, tune = cost.macs(model) // 4, Tune()
    smaller = channels.apply(model, Channels(macs=budget, rounds=3), tune)
    assert cost.macs(smaller) <= budget
    widths = [sum(call[0].values()) for call in tune.calls]
    assert len(widths) == 3
    assert widths == sorted(set(widths), reverse=True)


def test_patterns_choose_layers_and_what_is_tied_to_others_stays():
    x = conv(image_ := image(), 16, "stem")
    y = L.Add()([x, conv(conv(x, 16, "block_a"), 16, "block_b")])
    model = tf_keras.Model(image_, L.Dense(2, name="head")(L.Dense(16, name="hidden")(L.GlobalMaxPooling2D()(y))))

    def cut(*patterns):
        return filters(channels.apply(model, Channels(fraction=0.5, layers=patterns), lambda *_: None))

    whole = filters(model)
    assert cut("block_*") == {**whole, "block_a": 8}
    assert cut("Dense") == {**whole, "hidden": 8}
    assert cut("Conv2D") == {**whole, "stem": 8, "block_a": 8, "block_b": 8}
    with pytest.raises(ModelError, match="stem") as caught:
        cut("stem")
    assert "only together: block_b + stem" in caught.value.evidence


@pytest.mark.slow
def test_a_cut_model_learns_again(digits):
    """With a real fit: tuned after the cut it is right more often than before tuning, and at half the width."""
    images, y = digits
    x = (images / 255.0).astype(np.float32)[..., None]
    tf_keras.utils.set_random_seed(0)
    layers = [L.Conv2D(16, 3, activation="relu"), L.Conv2D(32, 3, activation="relu"), L.Flatten(), L.Dense(10)]
    model = tf_keras.Sequential([L.Input((8, 8, 1)), *layers])
    scores = []

    def tune(model, epochs, learning_rate, callbacks=()):
        model.compile(
            tf_keras.optimizers.Adam(learning_rate),
            tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        scores.append(model.evaluate(x, y, verbose=0)[1])
        model.fit(x, y, epochs=epochs, verbose=0)
        scores.append(model.evaluate(x, y, verbose=0)[1])

    tune(model, 4, 3e-3)
    smaller = channels.apply(model, Channels(fraction=0.5, epochs=2, learning_rate=3e-3), tune)
    untrained, trained, cut, tuned = scores
    assert untrained < 0.3
    assert trained > 0.9
    assert tuned > max(cut, 0.9)
    assert smaller.count_params() < 0.55 * model.count_params()


# --- refusals --------------------------------------------------------------------------------------------------


def never(*_):
    raise AssertionError("refusals come before any tuning")


def test_an_impossible_budget_names_the_least_that_can_be_reached():
    model = chain()
    with pytest.raises(RecipeError, match="down to 1,000 macs") as caught:
        channels.apply(model, Channels(macs=1000, rounds=2), never)
    least = int(caught.value.do.split()[2])
    smallest = channels.apply(model, Channels(macs=least), lambda *_: None)
    assert cost.macs(smallest) == least
    assert filters(smallest) == {"conv0": 8, "conv1": 8, "conv2": 8, "head": 4}
    with pytest.raises(RecipeError):
        channels.apply(model, Channels(macs=least - 1), never)


def test_goals_that_remove_nothing_are_refused():
    with pytest.raises(RecipeError, match="within 9,000,000 already"):
        channels.apply(chain(), Channels(bytes=9_000_000), never)
    with pytest.raises(RecipeError, match="removes nothing from groups of 16, 32 channels"):
        channels.apply(chain((16, 32)), Channels(fraction=0.05), never)


def test_batch_norm_importance_needs_a_batch_norm():
    model = tf_keras.Model(image_ := image(), head(conv(image_, 16, "a")))
    with pytest.raises(RecipeError, match="no batch norm"):
        channels.apply(model, Channels(fraction=0.5, importance="batch-norm"), never)


def test_models_without_a_channel_to_spare_are_refused():
    frozen = chain()
    for layer in frozen.layers:
        layer.trainable = layer.name == "head"
    with pytest.raises(ModelError, match="no channel") as caught:
        channels.apply(frozen, HALF, never)
    assert "conv0 stays whole: conv0 is frozen" in caught.value.evidence
    with pytest.raises(ModelError, match="from the layers dense_"):
        channels.apply(chain(), Channels(fraction=0.5, layers=("dense_*",)), never)


def test_models_that_are_no_graph_are_refused():
    class Own(tf_keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = L.Dense(16)

        def call(self, x):
            return self.dense(x)

    class Closed(L.Layer):
        def __init__(self, size):
            super().__init__()

    own = Own()
    own(np.zeros((1, 4), np.float32))
    with pytest.raises(ModelError, match="not a graph"):
        channels.apply(own, HALF, never)
    with pytest.raises(ModelError, match="get_config"):
        channels.apply(tf_keras.Model(image_ := image(), head(Closed(3)(image_))), HALF, never)


def test_models_in_tf_mot_s_wrappers_are_refused():
    with quiet():
        from tensorflow_model_optimization.python.core.quantization.keras.quantize import quantize_model
        from tensorflow_model_optimization.python.core.sparsity.keras.prune import prune_low_magnitude

        wrapped = [make(rebuild(chain((16,)))) for make in (quantize_model, prune_low_magnitude)]
    for model in wrapped:
        with pytest.raises(ModelError, match=r"channels cannot start: .* already"):
            channels.apply(model, HALF, never)


def test_macs_need_a_fixed_size_and_parameters_do_not():
    image_ = L.Input((None, None, 3))
    model = tf_keras.Model(image_, head(conv(image_, 32, "a")))
    with pytest.raises(ModelError, match="its size is open"):
        channels.apply(model, Channels(macs=1000), never)
    smaller = channels.apply(model, Channels(parameters=model.count_params() // 2), lambda *_: None)
    assert filters(smaller) == {"a": 8, "head": 4}


# --- cost ------------------------------------------------------------------------------------------------------


def test_macs_by_hand():
    x = conv(image_ := image(3, 8), 16, "a", strides=2)  # 4*4 places * 3*3*3*16
    x = L.DepthwiseConv2D(3, depth_multiplier=2)(x)  # 2*2 * 3*3*32
    x = L.SeparableConv2D(8, 1, name="s")(x)  # 2*2 * (32 + 32*8)
    x = L.Conv2DTranspose(4, 3, strides=2)(x)  # 2*2 places of the input * 3*3*8*4
    x = conv(x, 8, "g", 1, groups=2)  # 5*5 * 2*8
    shared = L.Dense(8)  # twice 5*5 * 8*8
    model = tf_keras.Model(image_, shared(shared(x)))
    wanted = 16 * 432 + 4 * 288 + 4 * (32 + 256) + 4 * 288 + 25 * 16 + 2 * 25 * 64
    assert cost.macs(model) == wanted
    outer = image(3, 8)
    assert cost.macs(tf_keras.Model(outer, L.ReLU()(model(outer)))) == wanted


def test_weight_bytes_are_those_of_the_int8_file(tmp_path):
    from tflite_edge import flatbuffer
    from tflite_edge.records.conversion import Conversion
    from tflite_edge.tf.convert.convert import convert
    from tflite_edge.tf.convert.freeze import freeze

    model = chain((16, 24))
    frozen = freeze(model, tmp_path / "frozen")
    calibration = np.concatenate([samples(model, seed)[0] for seed in range(4)])
    file = tmp_path / "model.tflite"
    file.write_bytes(convert(frozen, Conversion("int8"), calibration))
    assert flatbuffer.inspect(file).weights.size_bytes == cost.weight_bytes(model)


# --- architectures ---------------------------------------------------------------------------------------------

# nasnet_mobile is the NASNet below: all kinds of blocks, fewer of each. The whole one takes a minute to build.
ZOO = [name for name in zoo.ZOO if name != "nasnet_mobile"]
LARGER = {
    "DenseNet": lambda **options: densenet.DenseNet([2, 3, 2, 2], **options),
    "NASNet": lambda **options: nasnet.NASNet(num_blocks=1, penultimate_filters=1056, **options),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_every_architecture_of_the_zoo(name):
    entry = zoo.entry(name)
    shape = entry.input if len(entry.input) == 1 else (entry.smallest, entry.smallest, 3)
    with quiet():
        model = zoo.build(ModelSource(name, input=shape, alpha=entry.alpha and 0.5, weights="random"), 10)
    model.layers[-1].activation = tf_keras.activations.linear  # a softmax would hide what is small
    assert_halved(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGER)
def test_other_applications_of_keras(name):
    with quiet():
        options = {"weights": None, "input_shape": (32, 32, 3), "classes": 10, "classifier_activation": None}
        model = LARGER[name](**options)
    assert_halved(model)


def test_the_layers_in_which_applications_of_keras_preprocess():
    """The zoo's have none: MobileNetV3 and EfficientNet begin with these."""
    x = L.Rescaling(1 / 255, offset=-0.5)(image_ := image())
    x = L.Rescaling([1.0, 2.0, 3.0])(L.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(x))
    _, smaller = assert_cut(tf_keras.Model(image_, head(conv(x, 16, "a"))))
    assert filters(smaller) == {"a": 8, "head": 4}


def assert_halved(model):
    graph, smaller = assert_cut(model)
    assert len(graph.spared) == 1  # the layer that makes the answer
    assert cost.parameters(smaller) < 0.45 * cost.parameters(model)
    assert cost.macs(smaller) < 0.45 * cost.macs(model)
