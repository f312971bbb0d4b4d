"""Every model of the zoo: as published, converted to int8, and loaded by both runtimes."""

import gc
import urllib.request
from math import prod

import numpy as np
import pytest

import tflite_edge
from tflite_edge.flatbuffer import check, inspect
from tflite_edge.records.conversion import Conversion
from tflite_edge.records.errors import MissingError, RecipeError
from tflite_edge.records.job import RUNTIMES, Job
from tflite_edge.records.preprocess import NORMALIZATIONS
from tflite_edge.records.recipe import ModelSource, recipe_for
from tflite_edge.records.step import NAMED_MODELS
from tflite_edge.targets.local import Local
from tflite_edge.tf.convert.convert import convert
from tflite_edge.tf.convert.freeze import freeze
from tflite_edge.tf.models import efficientnet, zoo
from tflite_edge.tf.quiet import quiet

# name: (input, classes, trainable parameters, where that number was published). Batch norm's moving moments, which
# nobody trains, are in none of these counts. Classifiers without an input of their own are built small.
PUBLISHED = {
    "mobilenet": (None, 1000, 4_231_976, "tensorflow/models, slim/nets/mobilenet_v1.md: 4.24 million"),
    "mobilenet_v2": (None, 1000, 3_504_872, "torchvision.models, num_params"),
    "mobilenet_v3_small": (None, 1000, 2_542_856, "torchvision.models, num_params"),
    "mobilenet_v3_large": (None, 1000, 5_483_032, "torchvision.models, num_params"),
    "mobilenet_sparse": (None, 1000, 4_231_976, "as mobilenet: other padding, and a dense layer for the last 1x1"),
    "squeezenet": (None, 1000, 1_235_496, "torchvision.models, num_params"),
    "efficientnet_lite0": (None, 1000, 4_652_008, "keras-hub, efficientnet_lite0_ra_imagenet"),
    "efficientnet_b0": (None, 1000, 5_288_548, "torchvision.models, num_params"),
    "resnet8": ((32, 32, 3), 10, 78_186, "mlcommons/tiny, image_classification/Logs/training_log.txt"),
    "resnet50": (None, 1000, 25_583_592, "keras.applications: 25.6 million, convolutions with biases"),
    "nasnet_mobile": (None, 1000, 5_289_978, "keras.applications: 5.3 million"),
    "ds_cnn": ((49, 10, 1), 12, 23_756, "model summary of mlcommons/tiny, keyword_spotting"),
    "autoencoder": ((640,), 0, 267_928, "mlcommons/tiny, anomaly_detection: 128 x 4, 8, 128 x 4"),
}
# Not converted here, as it takes their 32 million weights long: their operators are those of resnet8 and v3_small.
LARGE = ["mobilenet_v3_large", "resnet50"]
CONVERTED = [name for name in zoo.ZOO if name not in LARGE]


@pytest.fixture(scope="module", params=[*CONVERTED, *LARGE])
def published(request):
    """(name, model): as its publication has it, with random weights; images of the smallest size."""
    name = request.param
    shape, classes = PUBLISHED[name][:2]
    entry = zoo.entry(name)
    with quiet():
        import tf_keras

        tf_keras.backend.clear_session()  # a dozen models in one process: free the last
        gc.collect()
        tf_keras.utils.set_random_seed(3)
        shape = shape or (entry.smallest, entry.smallest, 3)
        source = ModelSource(name, input=shape, alpha=entry.alpha and 1.0, weights="random")
        return name, zoo.build(source, classes)


@pytest.mark.slow
def test_the_parameters_are_as_many_as_published(published):
    name, model = published
    shape, classes, parameters, source = PUBLISHED[name]
    assert sum(prod(weight.shape) for weight in model.trainable_weights) == parameters, source
    assert model.input_shape == (None, *(shape or (zoo.entry(name).smallest,) * 2 + (3,)))
    assert model.output_shape == (model.input_shape if zoo.entry(name).task == "anomaly" else (None, classes))


@pytest.mark.slow
@pytest.mark.parametrize("published", CONVERTED, indirect=True)
def test_int8_has_no_float_operator_and_both_runtimes_run_it(published, tmp_path):
    name, model = published
    mean, std = NORMALIZATIONS[zoo.entry(name).normalize]
    raw = np.random.default_rng(5).integers(0, 256, (8, *model.input_shape[1:]))
    conversion = Conversion("int8", io="int8")
    path = tmp_path / f"{name}.tflite"
    path.write_bytes(convert(freeze(model, tmp_path / "frozen"), conversion, ((raw - mean) / std).astype(np.float32)))
    facts = inspect(path)
    assert facts.float_operators == ()
    assert check(facts, conversion) == []
    for runtime in RUNTIMES:
        result = Local().bench(Job("bench", str(path), runtime, warmups=0, runs=1, min_seconds=0.0))
        assert result.runtime.name == runtime
        assert result.inputs[0].shape == (1, *model.input_shape[1:])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet", "efficientnet_b0", "resnet8", "ds_cnn"])
def test_classifiers_build_for_other_images_widths_and_classes(name):
    entry = zoo.entry(name)
    shape = (entry.smallest, entry.smallest + 17, 1)
    model = zoo.build(ModelSource(name, alpha=entry.alpha and 0.5, input=shape, weights="random"), 7)
    assert (model.input_shape, model.output_shape) == ((None, *shape), (None, 7))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet8", "autoencoder"])
def test_a_seed_gives_the_same_weights_again_and_no_two_layers_the_same(name):
    with quiet():
        import tf_keras
    made = []
    for seed in (1, 1):
        tf_keras.utils.set_random_seed(seed)
        made.append([w for w in zoo.build(ModelSource(name, weights="random"), 4).get_weights() if w.ndim > 1])
    assert all(np.array_equal(a, b) for a, b in zip(made[0], made[1], strict=True))
    assert len({weight.tobytes() for weight in made[0]}) == len(made[0])


@pytest.mark.slow
def test_keras_s_efficientnet_answers_the_same_although_ours_has_no_normalization():
    with quiet():
        import tf_keras

        tf_keras.utils.set_random_seed(4)
        theirs = tf_keras.applications.EfficientNetB0(input_shape=(48, 64, 3), weights=None, classes=5)
        generator = np.random.default_rng(6)
        mean, std = (np.array(values) for values in NORMALIZATIONS["imagenet-torch"])
        # As the file of ImageNet weights may have it: the variance is another than std squared.
        theirs.get_layer("normalization").set_weights([mean / 255, std / 255, np.int64(0)])
        raw = generator.uniform(0, 255, (6, 48, 64, 3)).astype(np.float32)
        for layer in theirs.layers:  # moments of this batch: with those at the start, all images get one answer
            if isinstance(layer, tf_keras.layers.BatchNormalization):
                layer.momentum = 0.0
        theirs(raw, training=True)
        ours = efficientnet.b0((48, 64, 3), 5, weights=None, top=True)
        efficientnet.take_over(theirs, ours)
        wanted, got = theirs(raw).numpy(), ours(((raw - mean) / std).astype(np.float32)).numpy()
    assert np.ptp(wanted, axis=0).max() > 0.01
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.slow
def test_the_resnet_of_keras_is_turned_from_bgr_to_rgb():
    with quiet():
        import tf_keras

        model = zoo.build(ModelSource("resnet50", input=(32, 32, 3), weights="random"), 4)
        stem = tf_keras.Model(model.input, model.get_layer("conv1_conv").output)
        bgr = np.random.default_rng(8).normal(size=(2, 32, 32, 3)).astype(np.float32)
        wanted = stem(bgr).numpy()
        zoo.take_rgb(model)
    np.testing.assert_allclose(stem(bgr[..., ::-1]).numpy(), wanted, atol=1e-5)
    assert not np.allclose(stem(bgr).numpy(), wanted, atol=1e-2)


@pytest.mark.parametrize("name", zoo.ZOO)
def test_the_recipe_in_models_says_what_the_table_says(name):
    recipe, entry = recipe_for(f"models/{name}.toml"), zoo.ZOO[name]
    assert recipe.model.input in (None, entry.input)
    assert recipe.model.alpha == entry.alpha
    assert recipe.model.name == name
    assert (recipe.data.task == "anomaly") == (entry.task == "anomaly")
    assert zoo.resolve(recipe.model).input == entry.input


@pytest.mark.parametrize(
    ("source", "channels", "shape"),
    [
        (ModelSource("resnet8"), None, (32, 32, 1)),
        (ModelSource("resnet8"), 1, (32, 32, 1)),
        (ModelSource("resnet8"), 3, (32, 32, 3)),
        (ModelSource("resnet50"), 1, (224, 224, 1)),
        (ModelSource("resnet8", input=(16, 16, 1)), 3, (16, 16, 1)),
        (ModelSource("resnet50", weights="imagenet"), 1, (224, 224, 3)),
        (ModelSource("mobilenet", weights="imagenet"), 3, (64, 64, 3)),
        (ModelSource("mobilenet", input=(96, 96, 1), weights="imagenet"), 3, (96, 96, 1)),
        (ModelSource("autoencoder"), 3, (640,)),
    ],
)
def test_an_input_that_is_not_named_has_the_channels_of_the_data(source, channels, shape):
    assert zoo.resolve(source, channels).input == shape


@pytest.mark.slow
def test_a_zoo_model_takes_the_colours_of_its_data_and_the_manifest_says_which(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "colours.npz", x=colours, y=np.arange(60) % 3)
    np.savez(tmp_path / "grey.npz", x=colours[..., 0], y=np.arange(60) % 3)
    given = {"convert.quantize": ("float32",), "optimize": "none", "model.weights": "random", "gates.max_drop": 100.0}
    for data, named, shape in (
        ("colours", None, (32, 32, 3)),
        ("grey", None, (32, 32, 1)),
        ("colours", (16, 16, 1), (16, 16, 1)),
    ):
        changes = {**given, "data.source": str(tmp_path / f"{data}.npz"), "model.input": named}
        manifest = tflite_edge.convert(recipe_for("models/resnet8.toml", changes), tmp_path / data)
        (model,) = manifest.models
        assert inspect(tmp_path / data / model.file).inputs[0].shape == (1, *shape)
        assert manifest.recipe.model.input == shape
        assert recipe_for(str(tmp_path / data / "manifest.json")).model.input == shape


@pytest.mark.slow
def test_the_sparse_mobilenet_is_what_tfmot_s_policy_for_xnnpack_wants_and_keras_s_is_not():
    """The policy checks the conditions of XNNPACK's sparse inference, and raises ValueError."""
    with quiet():
        from tensorflow_model_optimization.sparsity.keras import PruneForLatencyOnXNNPack
    policy = PruneForLatencyOnXNNPack()
    for shape in ((32, 32, 3), (128, 96, 3)):
        model = zoo.build(ModelSource("mobilenet_sparse", input=shape, alpha=0.5, weights="random"), 7)
        policy.ensure_model_supports_pruning(model)
        assert model.output_shape == (None, 7)
    with pytest.raises(ValueError, match="Conv2D 3x3"):
        policy.ensure_model_supports_pruning(
            zoo.build(ModelSource("mobilenet", input=(32, 32, 3), weights="random"), 7)
        )
    with pytest.raises(RecipeError, match="3 channels"):
        zoo.build(ModelSource("mobilenet_sparse", input=(32, 32, 1), weights="random"), 7)


@pytest.mark.slow
def test_the_recipe_s_pruning_makes_four_fifths_of_all_pointwise_weights_zero():
    """XNNPACK wants more than two thirds; the stem and the last layer, which are spared, are not counted."""
    from tflite_edge.tf.optimize import prune

    recipe = recipe_for("models/mobilenet_sparse.toml")
    (step,) = recipe.steps
    with quiet():
        made = prune.apply(
            zoo.build(ModelSource("mobilenet_sparse", input=(32, 32, 3), weights="random"), 10), step, Untrained()
        )
    kernels = {layer.name: layer.get_weights()[0] for layer in made.layers if type(layer).__name__ == "Conv2D"}
    pointwise = [kernel for kernel in kernels.values() if kernel.shape[:2] == (1, 1)]
    zeros, weights = sum((kernel == 0).sum() for kernel in pointwise), sum(kernel.size for kernel in pointwise)
    assert len(pointwise) == 13
    assert zeros / weights == pytest.approx(step.sparsity, abs=0.001)
    assert zeros / weights > 2 / 3
    assert kernels["stem"].all()
    assert recipe.convert.sparse
    assert "float32" in recipe.convert.quantize


class Untrained:
    """A tuning of no epochs."""

    def steps(self, epochs):
        return 1

    def spare(self, layers):
        pass

    def __call__(self, model, epochs, learning_rate, callbacks=()):
        pass


def test_the_names_that_are_no_paths_are_those_of_the_zoo():
    assert tuple(zoo.ZOO) == NAMED_MODELS


def test_unknown_models_and_impossible_sizes_are_refused():
    with pytest.raises(RecipeError) as caught:
        zoo.entry("mobilnet")
    assert caught.value.do == "did you mean 'mobilenet'?"
    for name, shape in (
        ("mobilenet", (16, 16, 3)),
        ("mobilenet", (64, 64)),
        ("autoencoder", (4,)),
        ("autoencoder", (32, 32, 1)),
    ):
        with pytest.raises(RecipeError, match="cannot take"):
            zoo.input_shape(ModelSource(name, input=shape))


def test_a_width_or_weights_that_do_not_exist_are_refused():
    with pytest.raises(RecipeError, match="resnet8 has no width multiplier") as caught:
        zoo.resolve(ModelSource("resnet8", alpha=0.5))
    assert "mobilenet_v2" in caught.value.do
    with pytest.raises(RecipeError, match="no ImageNet weights for squeezenet"):
        zoo.resolve(ModelSource("squeezenet", weights="imagenet"))
    assert zoo.resolve(ModelSource("mobilenet_v2")) == ModelSource("mobilenet_v2", input=(64, 64, 1), alpha=0.35)


@pytest.mark.slow
def test_imagenet_weights_come_from_keras_s_cache_or_the_error_says_how(tmp_path, monkeypatch):
    with quiet():
        import tf_keras
        import tf_keras.src.utils.data_utils
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr(urllib.request, "_opener", None)  # urllib keeps the proxies of its first call for good
    source = ModelSource("mobilenet", alpha=0.25, input=(128, 128, 3), weights="imagenet")
    with pytest.raises(MissingError) as caught:
        zoo.build(source, 10)
    assert caught.value.exit_code == 4
    assert "~/.keras/models" in caught.value.do

    # A file of the right name and shape in the cache is used, offline.
    base = tf_keras.applications.MobileNet(input_shape=(128, 128, 3), alpha=0.25, weights=None, include_top=False)
    folder = tmp_path / ".keras" / "models"
    folder.mkdir(parents=True)
    with quiet():
        base.save_weights(folder / "mobilenet_2_5_128_tf_no_top.h5")
    model = zoo.build(source, 10)
    assert model.output_shape == (None, 10)
    np.testing.assert_array_equal(model.get_weights()[0], base.get_weights()[0])

    with pytest.raises(RecipeError, match="no ImageNet weights"):
        zoo.build(ModelSource("mobilenet", alpha=0.3, input=(128, 128, 3), weights="imagenet"), 10)


@pytest.mark.slow
def test_augmentation_moves_each_image_by_its_own_amount_and_repeats_with_the_seed():
    from tflite_edge.tf.fit import augment

    with quiet():
        import tf_keras
    images = np.tile(np.linspace(0, 1, 32, dtype=np.float32)[None, :, None, None], (8, 1, 32, 1))
    tf_keras.utils.set_random_seed(3)
    first = np.asarray(augment(images, 1.0))
    tf_keras.utils.set_random_seed(3)
    assert np.array_equal(first, np.asarray(augment(images, 1.0)))
    assert len({image.tobytes() for image in first}) == 8
    np.testing.assert_allclose(augment(images, 0.0), images, atol=1e-5)


@pytest.mark.slow
def test_a_killed_training_goes_on_at_the_epoch_where_it_was(tmp_path, monkeypatch):
    from tflite_edge.tf.source import open_model

    monkeypatch.setenv("TFLITE_EDGE_CACHE", str(tmp_path))
    asked = recipe_for("resnet8", {"model.input": (16, 16, 1), "train.epochs": 3, "train.batch": 128})

    def kill(event):
        if event.step == "train" and event.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_model(asked, kill)
    heard = []
    open_model(asked, heard.append)
    assert [event.done for event in heard if event.step == "train" and event.done] == [3]
    assert not list(tmp_path.glob("backup/*"))
