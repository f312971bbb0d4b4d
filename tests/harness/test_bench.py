"""What is made of the timed runs; how long they take is not tested."""

import gc

import numpy as np
import pytest

from tflite_edge.harness import bench
from tflite_edge.records.errors import ModelError


def test_the_collector_is_off_during_the_runs_and_on_again():
    states = []
    times = bench.time_runs(lambda: states.append(gc.isenabled()), 5, 0.0)
    assert len(times) == 5
    assert states == [False] * 5
    assert gc.isenabled()
    assert bench.time_runs(states.clear, 0, 0.0) == []


def test_the_collector_is_on_again_after_an_error():
    def broken():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        bench.time_runs(broken, 1, 0.0)
    assert gc.isenabled()


def test_min_seconds_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(bench, "MOST_RUNS", 20)
    assert len(bench.time_runs(lambda: None, 3, 60.0)) == 20
    assert len(bench.time_runs(lambda: None, 30, 60.0)) == 30


def test_even_runs_are_stable():
    stable, why = bench.judge([1.0, 1.01, 0.99] * 10)
    assert stable
    assert why.startswith("stable: spread")


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        ([1.0] * 10 + [1.05] * 10 + [1.1] * 10, "the last third is 10% slower than the first"),
        ([1.1] * 10 + [1.05] * 10 + [1.0] * 10, "the last third is 9% faster than the first"),
        ([0.9, 1.0, 1.1] * 10, "half of the runs spread over 20% of the median"),
        ([1.0] * 29 + [9.0], "the slowest 1 % take"),
    ],
)
def test_an_unstable_measurement_says_why(samples, says):
    stable, why = bench.judge(samples)
    assert not stable
    assert why.startswith("unstable: " + says)
    assert why.endswith(")")  # what to do


def test_one_run_is_judged_too():
    assert bench.judge([1.0])[0]


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("float32", -1, 1), ("float16", -1, 1), ("int8", -128, 127), ("uint8", 0, 255), ("int32", 0, 1), ("int64", 0, 1)],
)
def test_random_inputs_are_valid_and_repeat(dtype, low, high):
    detail = {"dtype": np.dtype(dtype).type, "shape": np.array([1, 50, 20]), "name": "x"}
    first, second = (bench.random_input(np.random.default_rng(bench.SEED), detail, "m") for _ in range(2))
    assert first.dtype == dtype
    assert first.shape == (1, 50, 20)
    assert low <= first.min() < first.max() <= high
    assert np.array_equal(first, second)


def test_strings_cannot_be_made_up():
    detail = {"dtype": np.bytes_, "shape": np.array([1]), "name": "text"}
    with pytest.raises(ModelError, match="'text'"):
        bench.random_input(np.random.default_rng(0), detail, "m.tflite")
