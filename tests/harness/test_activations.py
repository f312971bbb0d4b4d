"""What a float model's tensors hold, through the real interpreter in a child, against NumPy."""

import numpy as np
import pytest

from tests.harness import twins
from tflite_edge.harness.activations import BINS
from tflite_edge.records.errors import ModelError, RecipeError
from tflite_edge.records.job import Job
from tflite_edge.targets.local import Local


def held(tmp_path, x, tensors):
    model, pack, out = tmp_path / "m.tflite", tmp_path / "pack.npz", tmp_path / "held.npz"
    model.write_bytes(twins.float_chain())
    np.savez(pack, x=x)
    job = Job(
        "activations", str(model), "ai-edge-litert", kernels="builtin", pack=str(pack), tensors=tensors,
        outputs=str(out),
    )  # fmt: skip
    answer = Local().run(job)
    assert (answer["samples"], answer["tensors"]) == (len(x), len(tensors))
    with np.load(out) as arrays:
        return {int(name.split(".")[0]): {} for name in arrays.files} | {name: arrays[name] for name in arrays.files}


def test_extremes_means_and_histogram_are_those_of_all_samples(tmp_path):
    places = (0, 3, 12)  # the input, and the results of the first and the last layer: kernel, bias, result
    found = held(tmp_path, twins.X, places)
    for place, wanted in zip(places, (twins.X, *(twins.activations(twins.X)[i] for i in (1, 4))), strict=True):
        np.testing.assert_allclose(found[f"{place}.low"], wanted.min(0), atol=1e-5)
        np.testing.assert_allclose(found[f"{place}.high"], wanted.max(0), atol=1e-5)
        np.testing.assert_allclose(found[f"{place}.mean"], wanted.mean(0), atol=1e-5)
        low, high = found[f"{place}.ends"]
        assert (low, high) == pytest.approx((wanted.min(), wanted.max()), abs=1e-5)
        counts = found[f"{place}.counts"]
        assert counts.sum() == wanted.size
        coarse, _ = np.histogram(wanted, 8, (low, high))
        assert np.abs(counts.reshape(8, BINS // 8).sum(1) - coarse).max() <= 1  # a value on the border


def test_a_tensor_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelError, match="99"):
        held(tmp_path, twins.X, (99,))


def test_a_job_without_tensors_or_a_place_is_refused():
    with pytest.raises(RecipeError, match="numbers of tensors"):
        Job("activations", "m.tflite", pack="p.npz", outputs="o.npz")
    with pytest.raises(RecipeError, match="a pack"):
        Job("activations", "m.tflite", tensors=(1,), outputs="o.npz")
