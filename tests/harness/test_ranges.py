"""What tensors reach, through the real runtime, against the plainest NumPy."""

import numpy as np
import pytest

from tests.harness import tiny, twins
from tflite_edge.records.errors import DataError, ModelError, RecipeError
from tflite_edge.records.job import Job, RangesResult
from tflite_edge.records.plain import from_plain
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.targets.local import Local

HEAD = 20


def run(folder, x, model=None, head=HEAD, tensors=(0, 3, 6)):
    (folder / "m.tflite").write_bytes(model or twins.float_chain())
    np.savez(folder / "pack.npz", x=x)
    job = Job(
        "ranges", str(folder / "m.tflite"), "ai-edge-litert", kernels="builtin", pack=str(folder / "pack.npz"),
        preprocess=Preprocess(), tensors=tensors, head=head, outputs=str(folder / "out.npy"),
    )  # fmt: skip
    return from_plain(RangesResult, Local().run(job)), np.load(folder / "out.npy")


def test_least_most_and_what_the_head_leaves_out(tmp_path):
    result, reached = run(tmp_path, twins.X)
    wanted = twins.activations(twins.X)[:3]
    assert reached.shape == (60, 3, 2)
    for place, values in enumerate(wanted):
        np.testing.assert_allclose(reached[:, place, 0], values.min(axis=1), atol=1e-5)
        np.testing.assert_allclose(reached[:, place, 1], values.max(axis=1), atol=1e-5)
        low, high = min(values[:HEAD].min(), 0.0), max(values[:HEAD].max(), 0.0)
        half = (high - low) / 510
        outside = (values[HEAD:] < low - half) | (values[HEAD:] > high + half)
        assert result.clipped[place] == pytest.approx(outside.mean(), abs=1e-3)
    assert max(result.clipped) > 0
    assert (result.samples, result.kernels) == (60, "builtin")


def test_without_others_nothing_is_clipped(tmp_path):
    assert run(tmp_path, twins.X, head=60)[0].clipped == [0.0, 0.0, 0.0]


def test_what_cannot_be_told_is_refused(tmp_path):
    with pytest.raises(DataError, match="the head has 61 samples"):
        run(tmp_path, twins.X, head=61)
    with pytest.raises(ModelError, match="has no tensor 99"):
        run(tmp_path, twins.X, tensors=(99,))
    with pytest.raises(ModelError, match="is not float"):
        run(tmp_path, twins.X[:, :4], tiny.dense_int8(), tensors=(0,))
    with pytest.raises(ModelError, match="NaN or infinite"):
        run(tmp_path, -np.ones((30, 8), np.float32), tiny.unary("SQRT", (1, 8)), tensors=(0, 1))
    with pytest.raises(RecipeError, match="ranges needs"):
        Job("ranges", "m.tflite", pack="p.npz")
