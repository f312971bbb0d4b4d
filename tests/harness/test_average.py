"""Federated averaging: the arithmetic by hand, and everything that must not be averaged."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_edge.harness.head import Head, average, read_head, write_head
from tflite_edge.records.errors import DataError
from tflite_edge.records.learning import HeadFacts


def head(value, samples=1, classes=(0, 1, 2), **facts):
    facts = {"since_average": samples, **facts}
    weights = {"kernel": np.full((2, 3), value, np.float32), "hidden_kernel": np.full((2, 2), value, np.float32)}
    return Head(weights, HeadFacts("ab" * 32, tuple(classes), samples=samples, **facts))


def test_each_board_counts_as_its_samples_do():
    made = average([("a", head(1.0, 3)), ("b", head(5.0, 1))])
    assert np.array_equal(made.weights["kernel"], np.full((2, 3), 2.0, np.float32))
    assert made.facts.samples == 4
    assert made.facts.top1 is None


def test_a_class_that_one_board_was_shown_is_its_alone():
    made = average([("a", head(1.0, 30, (0, 1))), ("b", head(5.0, 10))])
    assert np.array_equal(made.weights["kernel"], np.array([[2, 2, 5]] * 2, np.float32))
    assert np.array_equal(made.weights["hidden_kernel"], np.full((2, 2), 2.0, np.float32))
    assert made.facts.classes == (0, 1, 2)


@given(st.lists(st.tuples(st.floats(-100, 100, width=32), st.integers(1, 1000)), min_size=2, max_size=5))
def test_the_average_lies_between_and_the_order_does_not_matter(boards):
    heads = [(str(number), head(value, samples)) for number, (value, samples) in enumerate(boards)]
    made, turned = average(heads), average(heads[::-1])
    values = [value for value, _ in boards]
    slack = 1e-4
    assert min(values) - slack <= made.weights["kernel"].min() <= made.weights["kernel"].max() <= max(values) + slack
    assert np.allclose(made.weights["kernel"], turned.weights["kernel"], atol=1e-5)


def test_what_does_not_belong_together_is_refused():
    good = head(1.0)
    other = Head(good.weights, replace(good.facts, model_sha256="cd" * 32))
    wide = Head({**good.weights, "kernel": np.zeros((2, 4), np.float32)}, good.facts)
    for bad, what in ((other, "different models"), (wide, "same weights"), (head(1.0, 0), "no samples")):
        with pytest.raises(DataError, match=what):
            average([("good", good), ("bad", bad)])


def test_one_number_is_one_class():
    """Two boards that gave the spare output to different animals; and one that was shown no third class."""
    cat, dog = (head(1.0, labels=("a", "b", name)) for name in ("cat", "dog"))
    with pytest.raises(DataError, match="different classes") as refused:
        average([("cat", cat), ("dog", dog)])
    assert "number 2: 'dog' and 'cat'" in refused.value.evidence
    assert average([("short", head(1.0, labels=("a", "b"))), ("cat", cat)]).facts.labels == ("a", "b", "cat")


def test_in_a_later_round_only_its_own_samples_weigh():
    """Both begin with the average of 1000 samples; one learns from 30 more, the other from 10."""
    first = average([("a", head(1.0, 600)), ("b", head(1.0, 400))])
    assert (first.facts.samples, first.facts.since_average) == (1000, 0)
    boards = [("a", head(1.0, 1030, since_average=30)), ("b", head(5.0, 1010, since_average=10))]
    second = average(boards)
    assert np.array_equal(second.weights["kernel"], np.full((2, 3), 2.0, np.float32))
    assert (second.facts.samples, second.facts.since_average) == (1040, 0)
    with pytest.raises(DataError, match="no samples since it was averaged"):
        average([("idle", first), boards[0]])


@pytest.mark.parametrize("classes", [(0, 3), (-1, 0), ()])
def test_classes_without_an_output_are_refused_when_read_and_when_averaged(tmp_path, classes):
    path = str(tmp_path / "bad.npz")
    bad = head(1.0, classes=classes)
    write_head(path, bad)
    with pytest.raises(DataError, match=r"bad\.npz"):
        read_head(path)
    with pytest.raises(DataError, match="bad"):
        average([("good", head(1.0)), ("bad", bad)])


@pytest.mark.parametrize("kernel", [np.float32(1), np.zeros((2, 4), np.float32)])
def test_arrays_that_disagree_on_the_classes_are_refused(tmp_path, kernel):
    path = str(tmp_path / "bad.npz")
    weights = {"kernel": np.asarray(kernel), "bias": np.zeros(3, np.float32)}
    write_head(path, Head(weights, head(1.0).facts))
    with pytest.raises(DataError, match="weights of a head"):
        read_head(path)
