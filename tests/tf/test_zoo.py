import numpy as np
import pytest

from tflite_edge.records.errors import MissingError, RecipeError
from tflite_edge.records.recipe import ModelSource, recipe_for
from tflite_edge.tf.models import zoo
from tflite_edge.tf.quiet import quiet


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.ZOO)
@pytest.mark.parametrize(("alpha", "shape"), [(0.35, (32, 48, 3)), (1.3, (96, 96, 1))])
def test_every_model_builds_at_any_width_and_size(name, alpha, shape):
    model = zoo.build(ModelSource(name, alpha=alpha, input=shape, weights="random"), 7)
    assert model.input_shape == (None, *shape)
    assert model.output_shape == (None, 7)


@pytest.mark.parametrize("name", zoo.ZOO)
def test_the_recipe_in_models_says_what_the_table_says(name):
    recipe = recipe_for(f"models/{name}.toml")
    assert (recipe.model.input, recipe.model.alpha) == (zoo.ZOO[name].input, zoo.ZOO[name].alpha)
    assert recipe.model.name == name


def test_unknown_models_and_impossible_sizes_are_refused():
    with pytest.raises(RecipeError) as caught:
        zoo.entry("mobilnet")
    assert caught.value.do == "did you mean 'mobilenet'?"
    for shape in ((16, 16, 3), (64, 64)):
        with pytest.raises(RecipeError, match="cannot take"):
            zoo.input_shape(ModelSource("mobilenet", input=shape))


@pytest.mark.slow
def test_imagenet_weights_come_from_keras_s_cache_or_the_error_says_how(tmp_path, monkeypatch):
    with quiet():
        import tf_keras
        import tf_keras.src.utils.data_utils
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
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
