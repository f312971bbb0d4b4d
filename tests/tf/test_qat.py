"""QAT alone and behind prune and cluster: everything is checked in the bytes of the int8 file."""

import numpy as np
import pytest

from tests.tf.tiny import Tune, all_int8, kernels, layers, net, randomize, small, tf_keras, trained_kernel
from tflite_edge.records.errors import ModelError
from tflite_edge.records.job import Job
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.step import Cluster, Prune, Qat
from tflite_edge.targets.local import Local
from tflite_edge.tf.data.packs import write_pack
from tflite_edge.tf.optimize import cluster, effect, prune, qat

pytestmark = pytest.mark.slow
STEPS = {"prune": prune, "cluster": cluster, "qat": qat}


def chain(model, tune, *steps):
    for step in steps:
        model = STEPS[step.name].apply(model, step, tune)
    return model


@pytest.fixture(scope="module")
def model():
    return net()


@pytest.fixture(scope="module")
def tune(model):
    return Tune(model)


def found(flatbuffer):
    return {kernel.shape: kernel for kernel in kernels(flatbuffer)}


PRUNED = ((24, 1, 1, 8), (24, 3, 3, 24), (32, 24))  # pointwise, middle, dense: all but the ends


def test_alone_it_is_close_to_float_and_the_model_given_stays(model, tune, tmp_path):
    before = [w.copy() for w in model.get_weights()]
    trained = qat.apply(model, Qat(), tune)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert effect.measure(trained).parameters == effect.measure(model).parameters - 3 * 32  # the dense norm is folded
    np.testing.assert_allclose(trained(tune.x), tune.y, atol=0.05)
    path, answers = tmp_path / "model.tflite", tmp_path / "answers.npy"
    path.write_bytes(all_int8(trained, tune.x, tmp_path))
    pack = write_pack(tmp_path / "pack.npz", tune.x, None, tune.y)
    Local().score(Job("score", str(path), pack=str(pack), preprocess=Preprocess(channels=3), outputs=str(answers)))
    np.testing.assert_allclose(np.load(answers), trained(tune.x), atol=0.03)


def test_pruned_and_clustered_models_keep_both_though_the_first_layer_has_no_zeros(model, tune, tmp_path):
    """TF-MOT's PCQAT scheme would see that layer and drop the sparsity of all."""
    shared = chain(model, tune, Prune(), Cluster(clusters=8))
    before = {one.layer: one for one in effect.measure(shared).layers}
    trained = qat.apply(shared, Qat(), tune)
    kept = {one.layer: one for one in effect.measure(trained).layers}
    assert before["first"].sparsity == 0
    for name in ("pointwise", "middle", "dense"):
        assert kept[name].sparsity == before[name].sparsity >= 0.5
        assert kept[name].unique_per_tensor <= 8
    moved = trained_kernel(trained, "middle") != shared.get_layer("middle").kernel.numpy()
    assert moved.any(), "shared values are trained"
    bytes_ = found(all_int8(trained, tune.x, tmp_path))
    for shape in PRUNED:
        assert bytes_[shape].sparsity >= 0.5
        assert bytes_[shape].per_channel <= 8
    assert bytes_[32, 24].per_tensor <= 8  # dense: one scale
    assert bytes_[8, 3, 3, 3].sparsity < 0.1
    assert bytes_[8, 3, 3, 3].per_channel > 16


def test_pruned_models_keep_their_zeros(model, tune, tmp_path):
    bytes_ = found(all_int8(chain(model, tune, Prune(sparsity=0.75), Qat()), tune.x, tmp_path))
    assert all(bytes_[shape].sparsity >= 0.75 for shape in PRUNED)


def test_clusters_per_channel_are_kept(model, tune, tmp_path):
    bytes_ = found(all_int8(chain(model, tune, Cluster(clusters=6, per_channel=True), Qat()), tune.x, tmp_path))
    assert bytes_[24, 3, 3, 24].per_channel <= 6
    assert bytes_[32, 24].per_tensor <= 6


def test_two_of_four_is_kept(tmp_path):
    model = small()
    tune = Tune(model)
    trained = chain(model, tune, Prune(pattern="2:4"), Qat())
    kernel = trained_kernel(trained, "two").T.reshape(-1, 4)
    assert (np.count_nonzero(kernel, axis=1) == 2).all()
    assert found(all_int8(trained, tune.x, tmp_path))[16, 16].sparsity >= 0.5


def test_ranges_are_those_of_the_data_after_a_few_steps():
    """TF-MOT's would still be -6..6."""
    model = small()
    trained = qat.apply(model, Qat(), Tune(model, size=0.01))
    ranges = {w.name.split("/")[-1]: float(w) for w in trained.layers[1].weights if w.shape == ()}
    assert 0.01 < max(ranges[name] for name in ranges if "max" in name) < 0.1


def test_frozen_layers_are_quantised_but_not_trained():
    model = small()
    model.get_layer("two").trainable = False
    trained = qat.apply(model, Qat(), Tune(model))
    np.testing.assert_array_equal(trained_kernel(trained, "two"), model.get_layer("two").kernel)
    assert not np.array_equal(trained_kernel(trained, "one"), model.get_layer("one").kernel)


def test_what_cannot_be_quantised_is_refused_by_name_before_training():
    inputs = layers.Input((6, 4))
    outputs = layers.Dense(2, activation="elu", name="curved")(layers.LSTM(3, name="memory")(inputs))
    model = tf_keras.Model(inputs, outputs)
    tune = Tune(model)
    with pytest.raises(ModelError) as caught:
        qat.apply(model, Qat(), tune)
    assert "memory (LSTM)" in caught.value.evidence
    assert "curved_elu (Activation elu)" in caught.value.evidence
    assert "leave qat out" in caught.value.do
    assert tune.calls == 0


def test_a_quantised_model_is_refused():
    model = small()
    trained = qat.apply(model, Qat(), Tune(model))
    for step in (Qat(), Prune(), Cluster()):
        with pytest.raises(ModelError, match="is quantised already"):
            STEPS[step.name].apply(trained, step, Tune(model))


def architecture(name):
    """The net, or the first blocks of a large one: each kind of block once, so that a test takes seconds."""
    from tf_keras import applications

    if name in ("squeezenet", "ds-cnn"):
        return _squeezenet() if name == "squeezenet" else _ds_cnn()
    last, options = {
        "MobileNet": ("conv_pw_2_relu", {"alpha": 0.25}),
        "MobileNetV2": ("block_2_add", {"alpha": 0.35}),
        "MobileNetV3Small": ("expanded_conv_3/project/BatchNorm", {}),
        "EfficientNetB0": ("block2a_project_bn", {}),
    }[name]
    whole = getattr(applications, name)(weights=None, classes=10, input_shape=(32, 32, 3), **options)
    x = layers.GlobalAveragePooling2D()(whole.get_layer(last).output)
    return tf_keras.Model(whole.input, layers.Dense(10, activation="softmax")(x), name=name)


def _squeezenet():
    x = inputs = layers.Input((32, 32, 3))
    x = layers.MaxPooling2D(3, 2)(layers.Conv2D(8, 3, 2, activation="relu")(x))
    for squeeze, expand in ((4, 8), (6, 12)):
        x = layers.Conv2D(squeeze, 1, activation="relu")(x)
        sides = [layers.Conv2D(expand, size, padding="same", activation="relu")(x) for size in (1, 3)]
        x = layers.Concatenate()(sides)
    x = layers.Conv2D(10, 1, activation="relu")(layers.Dropout(0.5)(x))
    return tf_keras.Model(inputs, layers.Softmax()(layers.GlobalAveragePooling2D()(x)), name="squeezenet")


def _ds_cnn():
    x = inputs = layers.Input((25, 10, 1))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, (10, 4), 2, "same")(x)))
    for _ in range(2):
        x = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x)))
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 1)(x)))
    x = layers.Flatten()(layers.AveragePooling2D((13, 5))(layers.Dropout(0.2)(x)))
    return tf_keras.Model(inputs, layers.Dense(12, activation="softmax")(x), name="ds_cnn")


@pytest.mark.parametrize(
    "name", ["squeezenet", "ds-cnn", "MobileNet", "MobileNetV2", "MobileNetV3Small", "EfficientNetB0"]
)
def test_architectures_have_int8_operators_only(name, tmp_path):
    model = randomize(architecture(name))
    tune = Tune(model, steps_per_epoch=1)
    chained = name in ("squeezenet", "MobileNet")
    steps = [Prune(), Cluster(clusters=16, centroids="linear"), Qat()] if chained else [Qat()]
    flatbuffer = all_int8(chain(model, tune, *steps), tune.x, tmp_path)
    inner = [kernel for kernel in kernels(flatbuffer) if kernel.operator == "CONV_2D"][1:-1]
    assert inner
    if chained:
        assert all(kernel.sparsity >= 0.5 and kernel.per_channel <= 16 for kernel in inner)
