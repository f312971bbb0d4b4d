"""Pruning: sparsity in the weights and in the bytes, which layers, and what is refused before any training."""

import numpy as np
import pytest

from tests.tf.tiny import Tune, int8, kernels, layers, net, small, tf_keras
from tflite_edge.records.errors import ModelError, RecipeError
from tflite_edge.records.step import Prune
from tflite_edge.tf.optimize import effect, prune

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model():
    return net()


def sparsity(model):
    return {layer.layer: layer.sparsity for layer in effect.measure(model).layers}


def test_half_of_the_chosen_kernels_is_zero_in_the_bytes_and_the_model_given_stays(model, tmp_path):
    before, tune = [w.copy() for w in model.get_weights()], Tune(model)
    pruned = prune.apply(model, Prune(), tune)
    reached = sparsity(pruned)
    assert {reached[name] for name in ("pointwise", "middle", "dense")} == {0.5}
    assert {reached[name] for name in ("first", "depthwise", "last")} == {0.0}
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(pruned.get_weights()[:1], before[:1], strict=True))
    assert [type(layer).__name__ for layer in pruned.layers] == [type(layer).__name__ for layer in model.layers]
    found = {kernel.shape: kernel.sparsity for kernel in kernels(int8(pruned, tune.x, tmp_path))}
    for shape in ((24, 1, 1, 8), (24, 3, 3, 24), (32, 24)):
        assert found[shape] >= 0.5  # values below half a step round to zero, too
    assert found[8, 3, 3, 3] < 0.1


def test_two_of_four_weights_along_the_input_channels(model):
    pruned = prune.apply(model, Prune(pattern="2:4"), Tune(model))
    kernel = pruned.get_layer("middle").kernel.numpy().transpose(3, 0, 1, 2).reshape(-1, 4)
    assert (np.count_nonzero(kernel, axis=1) == 2).all()


def test_blocks_of_a_dense_kernel_and_only_of_those(model):
    pruned = prune.apply(model, Prune(pattern="1x4", sparsity=0.75), Tune(model))
    blocks = pruned.get_layer("dense").kernel.numpy().reshape(24, 8, 4)
    used = np.count_nonzero(blocks, axis=2)
    assert set(used.ravel()) == {0, 4}
    assert (used == 0).mean() == 0.75
    assert sparsity(pruned)["middle"] == 0.0


@pytest.mark.parametrize("step", [Prune(epochs=0), Prune(schedule="constant", sparsity=0.8, epochs=2)])
def test_full_sparsity_without_any_epoch_and_by_either_schedule(step):
    model = small()
    pruned = prune.apply(model, step, Tune(model))
    assert sparsity(pruned)["two"] == pytest.approx(step.sparsity, abs=0.005)


def test_a_tuning_that_stops_early_still_ends_at_full_sparsity():
    model = small()

    class Early(Tune):
        def steps(self, epochs):
            return 1000

    assert sparsity(prune.apply(model, Prune(), Early(model)))["two"] == 0.5


def test_layers_are_chosen_by_name_or_type_and_ends_on_request():
    model = small()
    assert sparsity(prune.apply(model, Prune(layers=("t*",), ends=True), Tune(model))) == {
        "one": 0.0, "two": 0.5, "three": 0.5,
    }  # fmt: skip
    reached = sparsity(prune.apply(model, Prune(layers=("Dense",), ends=True), Tune(model)))
    assert set(reached.values()) == {0.5}


def test_nested_models_are_pruned_inside():
    inner = tf_keras.Sequential([layers.Input((12,)), *(layers.Dense(16, name=f"deep{i}") for i in range(3))])
    inputs = layers.Input((12,))
    model = tf_keras.Model(inputs, layers.Dense(3, name="head")(inner(inputs)))
    pruned = prune.apply(model, Prune(), tune := Tune(model))
    assert sparsity(pruned) == {"deep0": 0.0, "deep1": 0.5, "deep2": 0.5, "head": 0.0}
    assert sparsity(model) == {"deep0": 0.0, "deep1": 0.0, "deep2": 0.0, "head": 0.0}
    assert tune.calls == 1


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Prune(layers=("conv*",)), "no layer matches 'conv*'"),
        (Prune(layers=("one",)), "the first and the last layer"),
        (Prune(layers=("relu",)), "no layer matches"),
        (Prune(pattern="2:32"), "fewer than 32"),
    ],
)
def test_a_step_that_applies_to_no_layer_is_refused_before_training(step, words):
    model = small()
    tune = Tune(model)
    with pytest.raises(RecipeError) as caught:
        prune.apply(model, step, tune)
    assert words in str(caught.value)
    assert caught.value.do
    assert tune.calls == 0


def test_frozen_layers_are_spared_and_refused_when_nothing_else_is_left():
    model = small()
    model.get_layer("two").trainable = False
    with pytest.raises(RecipeError, match="two: frozen") as caught:
        prune.apply(model, Prune(), Tune(model))
    assert caught.value.do == "ends = true takes one and three, too"
    with pytest.raises(RecipeError, match="two: frozen") as caught:
        prune.apply(model, Prune(layers=("two",)), Tune(model))
    assert caught.value.do == "layer.trainable = True for what may change, then save it again"
    assert sparsity(prune.apply(model, Prune(ends=True), Tune(model)))["two"] == 0.0


def test_wrapped_models_are_refused():
    import tensorflow_model_optimization as tfmot

    model = tfmot.sparsity.keras.prune_low_magnitude(small())
    with pytest.raises(ModelError, match="is pruned already"):
        prune.apply(model, Prune(), None)
    model = tfmot.quantization.keras.quantize_model(small())
    with pytest.raises(ModelError, match="is quantised already"):
        prune.apply(model, Prune(), None)
