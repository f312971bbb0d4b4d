"""The real harness with the real runtimes, in child processes."""

import importlib.util
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.flatbuffer import tiny as bytes_
from tests.harness import tiny
from tflite_edge.flatbuffer import inspect
from tflite_edge.records.errors import DataError, MissingError, ModelError, TargetError
from tflite_edge.records.job import BenchResult, Job
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.targets.local import Local

HALVES = Preprocess(mean=(0.0,), std=(255.0,))


def job(models, name, **changes):
    return Job("bench", str(models / f"{name}.tflite"), warmups=2, runs=20, min_seconds=0.0, **changes)


@pytest.fixture
def pack(tmp_path):
    """uint8 [60, 4] of which each points at one class, the right labels, and what the float layer answers."""
    generator = np.random.default_rng(3)
    y = np.arange(60) % 3
    x = generator.integers(0, 40, (60, 4), dtype=np.uint8)
    x[np.arange(60), y] += 150
    x[:, 3] = 0
    reference = (x.astype(np.float32) / np.float32(255)) @ tiny.WEIGHTS.T + tiny.BIAS
    path = tmp_path / "pack.npz"
    np.savez(path, x=x, y=y, reference=reference)
    return str(path)


@pytest.mark.parametrize("name", ["dense", "dense_int8", "relu", "add"])
def test_bench(models, runtime, name):
    result = Local().bench(job(models, name, runtime=runtime))
    assert isinstance(result, BenchResult)
    assert result.runtime.name == runtime
    assert result.runtime.why.endswith("asked for by name")
    assert len(result.inputs) == (2 if name == "add" else 1)
    assert (len(result.warmups_s), len(result.samples_s)) == (2, 20)
    assert result.min_s == min(result.samples_s)
    p25, p50, p75, p90, p99 = np.percentile(result.samples_s, (25, 50, 75, 90, 99))
    assert (result.median_s, result.p90_s, result.p99_s) == (p50, p90, p99)
    assert result.spread == (p75 - p25) / p50
    assert min(result.init_s, result.first_s, *result.warmups_s, *result.samples_s) > 0
    assert result.peak_rss_bytes is None or result.peak_rss_bytes > 1_000_000


def test_tensors_are_told_as_the_file_has_them(models):
    result = Local().bench(job(models, "dense_int8"))
    (tensor,) = result.inputs
    assert (tensor.name, tensor.dtype, tensor.shape) == ("t0", "int8", (1, 4))
    assert (tensor.scale, tensor.zero_point) == (tiny.INPUT_SCALE, tiny.INPUT_ZERO)
    assert result.outputs[0].scale == tiny.OUTPUT_SCALE


def test_bench_on_the_packs_first_image(models, pack):
    assert Local().bench(job(models, "dense", pack=pack, preprocess=HALVES)).median_s > 0
    with pytest.raises(DataError, match="takes 2 inputs"):
        Local().bench(job(models, "add", pack=pack))


def test_score_of_the_float_model(models, runtime, pack, tmp_path):
    where = tmp_path / "outputs.npy"
    result = Local().score(job(models, "dense", runtime=runtime, pack=pack, preprocess=HALVES, outputs=str(where)))
    assert (result.task, result.images, result.workers) == ("classification", 60, 1)
    assert (result.top1, result.reference_top1, result.agreement) == (1.0, 1.0, 1.0)
    assert (result.gained, result.lost, result.top5) == (0, 0, None)
    assert result.confusion == {"0,0": 20, "1,1": 20, "2,2": 20}
    outputs = np.load(where)
    assert outputs.dtype == np.float32
    assert np.allclose(outputs, np.load(pack)["reference"], atol=1e-6)
    assert result.max_difference == np.abs(outputs - np.load(pack)["reference"]).max()
    assert not list(tmp_path.glob("*.part"))


def test_int8_outputs_are_dequantised_with_their_own_scale(models, runtime, pack, tmp_path):
    where = tmp_path / "outputs.npy"
    Local().score(job(models, "dense_int8", runtime=runtime, pack=pack, preprocess=HALVES, outputs=str(where)))
    x = np.load(pack)["x"].astype(np.float32) / 255
    steps = np.rint(x / tiny.INPUT_SCALE)  # as input - zero point, exact: clipping starts at 191 / 64
    exact = (steps * tiny.INPUT_SCALE) @ tiny.WEIGHTS.T + tiny.BIAS
    assert np.abs(np.load(where) - exact).max() <= tiny.OUTPUT_SCALE / 2 + 1e-6


def test_two_workers_answer_as_one_does(models, pack, tmp_path):
    one, two = tmp_path / "one.npy", tmp_path / "two.npy"
    base = job(models, "dense_int8", pack=pack, preprocess=HALVES)
    first = Local().score(replace(base, outputs=str(one)))
    second = Local().score(replace(base, outputs=str(two), workers=2))
    assert second.workers == 2
    assert one.read_bytes() == two.read_bytes()
    assert (first.top1, first.confusion, first.max_difference) == (second.top1, second.confusion, second.max_difference)


# Every interpreter is the real one; only the threads it is opened with are told.
TOLD = """
import sys
from tflite_edge.harness import score
from tflite_edge.records.job import Job
real = score.open_interpreter
def telling(path, chosen, threads, kernels):
    print("threads", threads)
    return real(path, chosen, threads, kernels)
score.open_interpreter = telling
score.score(Job("score", sys.argv[1], threads=4, workers=int(sys.argv[3]), pack=sys.argv[2]))
"""


@pytest.mark.parametrize(("workers", "threads"), [(1, ["4"]), (3, ["1", "1", "1"])])
def test_of_several_workers_each_has_one_thread(models, pack, workers, threads):
    command = [sys.executable, "-c", TOLD, models / "dense.tflite", pack, str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.replace("threads", "").split() == threads


def test_an_unknown_operator_version_is_named(models, runtime):
    with pytest.raises(ModelError, match="does not know RELU version 99"):
        Local().bench(job(models, "future_relu", runtime=runtime))


def test_nan_is_an_error(models, tmp_path):
    np.savez(tmp_path / "p.npz", x=np.array([[1, 1, 1], [1, -1, 1]], np.float32))
    with pytest.raises(ModelError, match="on 1 of 2 images"):
        Local().score(job(models, "sqrt", pack=str(tmp_path / "p.npz")))


def test_a_model_of_fixed_batches_cannot_be_scored(models, tmp_path):
    np.savez(tmp_path / "p.npz", x=np.zeros((2, 3), np.float32))
    with pytest.raises(DataError, match="batches of 4"):
        Local().score(job(models, "batch", pack=str(tmp_path / "p.npz")))


def test_a_missing_model_and_an_unwritable_place(models, pack, tmp_path):
    with pytest.raises(ModelError, match="cannot read"):
        Local().bench(job(models, "none"))
    nowhere = str(tmp_path / "none" / "o.npy")
    with pytest.raises(MissingError, match="cannot write"):
        Local().score(job(models, "dense", pack=pack, preprocess=HALVES, outputs=nowhere))


@pytest.mark.skipif(not importlib.util.find_spec("tflite_runtime"), reason="ai-edge-litert verifies files first")
def test_a_damaged_model_kills_the_child_and_not_us(models):
    with pytest.raises(TargetError, match="killed by SIGSEGV") as caught:
        Local().bench(job(models, "wild", runtime="tflite-runtime"))
    assert "wild.tflite" in caught.value.what
    assert "damaged" in caught.value.do
    assert caught.value.exit_code == 5


def test_a_python_that_is_not_there(models):
    with pytest.raises(MissingError, match="cannot start /no/such/python"):
        Local("/no/such/python").bench(job(models, "dense"))


@pytest.mark.parametrize(
    ("direct", "ran", "message"),
    [
        (True, "tflite-runtime", "do not run on tflite-runtime"),
        (True, "ai-edge-litert", None),
        (False, "tflite-runtime", None),
        (False, ModelError("ai-edge-litert 2.3.0 refuses m.tflite"), "do not run on ai-edge-litert"),
        (False, ModelError("tflite-runtime 2.14.0 cannot load m.tflite"), "tflite-runtime 2.14.0 cannot load"),
        (True, TargetError("m.tflite ended the harness"), "ended the harness"),
    ],
)
def test_a_sparse_file_is_judged_by_the_runtime_that_auto_came_to(direct, ran, message, monkeypatch):
    def score(self, job, deadline_s):
        if isinstance(ran, Exception):
            raise ran
        return SimpleNamespace(runtime=SimpleNamespace(name=ran))

    monkeypatch.setattr(Local, "score", score)
    facts = inspect(bytes_.pack(bytes_.sparse_model("INT8", direct=direct)))
    asked = Job("score", "m.tflite", pack="p.npz")
    if message is None:
        assert Local().score_of(facts, asked).runtime.name == ran
    else:
        with pytest.raises((ModelError, TargetError), match=message):
            Local().score_of(facts, asked)
