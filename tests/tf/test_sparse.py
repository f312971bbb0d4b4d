"""Sparse storage: the same answers from fewer bytes, and its table of limits held against the runtimes."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

import tflite_edge
from tests.tf.tiny import layers, tf_keras
from tflite_edge.flatbuffer import check, inspect, refuse_sparse
from tflite_edge.records.conversion import NEVER_SPARSE, SPARSE_INT8_DENSE, Conversion
from tflite_edge.records.errors import ModelError, TargetError
from tflite_edge.records.job import RUNTIMES, Job
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import Tuning, recipe_for
from tflite_edge.targets.local import Local
from tflite_edge.tf.convert.convert import convert
from tflite_edge.tf.convert.freeze import freeze
from tflite_edge.tf.data.packs import write_pack

pytestmark = pytest.mark.slow
X = np.random.default_rng(2).normal(size=(8, 8, 8, 3)).astype(np.float32)


@dataclass(frozen=True)
class Unchecked(Conversion):
    """One that does not know its limits."""

    def __post_init__(self):
        pass


def net(dense_zeros=None):
    """Convolutions with four fifths of zeros; dense_zeros: the length of the hidden layer's zero blocks, if any."""
    random = np.random.default_rng(1)
    tf_keras.utils.set_random_seed(1)
    x = inputs = layers.Input((8, 8, 3), name="image")
    x = layers.Conv2D(16, 3, activation="relu", name="first")(x)
    x = layers.Conv2D(32, 1, activation="relu", name="pointwise")(x)
    x = layers.Conv2D(32, 3, activation="relu", name="middle")(x)
    x = layers.Dense(48, activation="relu", name="hidden")(layers.Flatten()(x))
    model = tf_keras.Model(inputs, layers.Dense(4, name="last")(x))
    blocks = {"pointwise": 1, "middle": 1} | ({"hidden": dense_zeros} if dense_zeros else {})
    for name, block in blocks.items():
        kernel, bias = model.get_layer(name).get_weights()
        # Of a Dense kernel [inputs, outputs] the file has the transpose: blocks lie along the inputs.
        kept = np.repeat(
            random.random((*kernel.shape[:-2], kernel.shape[-2] // block, kernel.shape[-1])) < 0.2, block, -2
        )
        model.get_layer(name).set_weights([kernel * kept, bias])
    return model


def answers(flatbuffer, runtime, folder):
    """float32 [8, 4] on that runtime, in a process of its own."""
    (folder / "m.tflite").write_bytes(flatbuffer)
    pack = write_pack(folder / "x.npz", X, None)
    outputs = folder / "y.npy"
    Local().score(
        Job("score", str(folder / "m.tflite"), runtime, pack=str(pack), preprocess=Preprocess(), outputs=str(outputs))
    )
    return np.load(outputs)


def both(mode, folder, **options):
    """The flatbuffer stored whole, and stored sparsely."""
    frozen = freeze(net(**options), folder / "frozen")
    return [convert(frozen, Unchecked(mode, sparse=sparse), X) for sparse in (False, True)]


@pytest.mark.parametrize("mode", ["float32", "float16", "int8"])
def test_a_sparse_file_is_smaller_holds_the_same_values_and_answers_the_same(mode, tmp_path):
    whole, sparse = both(mode, tmp_path)
    found, wanted = inspect(sparse), inspect(whole)
    assert check(found, Conversion(mode, io="float32", sparse=True)) == []
    assert found.sparse.tensors == 2
    assert found.sparse.unfolded == ("CONV_2D",)
    assert found.scheme == wanted.scheme
    by_shape = [sorted(facts.kernels, key=lambda kernel: kernel.shape) for facts in (found, wanted)]
    for kernel, other in zip(*by_shape, strict=True):
        assert (kernel.shape, kernel.sparsity, kernel.unique, kernel.unique_per_channel) == (
            (other.shape, other.sparsity, other.unique, other.unique_per_channel)
        )
    saved = found.sparse.dense_bytes - found.sparse.size_bytes
    assert len(whole) - len(sparse) == pytest.approx(saved, rel=0.3)
    for runtime in RUNTIMES:
        refuse_sparse(found, runtime)
        np.testing.assert_array_equal(answers(sparse, runtime, tmp_path), answers(whole, runtime, tmp_path))


@pytest.mark.parametrize("mode", NEVER_SPARSE)
def test_what_is_never_sparse_loads_on_no_runtime(mode, tmp_path):
    _, sparse = both(mode, tmp_path)
    assert inspect(sparse).sparse.tensors == 2
    for runtime in RUNTIMES:
        with pytest.raises((ModelError, TargetError)):
            answers(sparse, runtime, tmp_path)


DENSE_ZEROS = {"unfolded": 1, "direct": 16}
FINE = [(runtime, how) for runtime in RUNTIMES for how in DENSE_ZEROS if (runtime, how) not in SPARSE_INT8_DENSE]


@pytest.mark.parametrize(("runtime", "how"), FINE)
def test_int8_dense_layers_run_where_the_table_does_not_say_otherwise(runtime, how, tmp_path):
    whole, sparse = both("int8", tmp_path, dense_zeros=DENSE_ZEROS[how])
    facts = inspect(sparse)
    assert getattr(facts.sparse, how) in {("FULLY_CONNECTED",), ("CONV_2D", "FULLY_CONNECTED")}
    refuse_sparse(facts, runtime)
    wanted = answers(whole, runtime, tmp_path)
    # Kernels that take the weights as stored have another order of sums: a step or two of 127.
    np.testing.assert_allclose(answers(sparse, runtime, tmp_path), wanted, atol=np.abs(wanted).max() / 50)


@pytest.mark.parametrize(("runtime", "how"), SPARSE_INT8_DENSE)
def test_int8_dense_layers_do_what_the_table_says(runtime, how, tmp_path):
    _, sparse = both("int8", tmp_path, dense_zeros=DENSE_ZEROS[how])
    with pytest.raises(ModelError, match=runtime):
        refuse_sparse(inspect(sparse), runtime)
    if how == "unfolded":
        with pytest.raises((ModelError, TargetError), match="failed to delegate FULLY_CONNECTED"):
            answers(sparse, runtime, tmp_path)
    else:  # the last layer has no bias but 0
        assert not answers(sparse, runtime, tmp_path).any()


def test_a_recipe_that_asks_for_sparse_storage_gets_it_or_is_told_why_not(model_file, image_folder, tmp_path):
    def made(steps, *modes):
        changes = {"data.source": str(image_folder), "convert.quantize": modes, "convert.sparse": True}
        changes |= {"optimize": steps or None, "gates.max_drop": 60.0, "gates.min_agreement": 0.0}
        recipe = replace(recipe_for(str(model_file), changes), tune=Tuning(epochs=1, augment=0.0))
        return tflite_edge.convert(recipe, tmp_path / (steps or "none")).models

    original, _, floats, int8 = made("prune=0.8", "float32", "int8")
    stored = {model.file: inspect(tmp_path / "prune=0.8" / model.file).sparse.tensors for model in (original, floats)}
    assert stored == {"original/small-float.tflite": 0, floats.file: 1}
    assert floats.verdict == "ok"
    assert floats.bytes < 0.8 * original.bytes
    assert int8.verdict == "failed"  # the only pruned layer is a dense one
    assert "do not run on ai-edge-litert" in int8.findings[0].what

    (unpruned,) = made("", "float32")
    assert unpruned.verdict == "degraded"
    assert "no kernel is stored so" in unpruned.findings[0].what
