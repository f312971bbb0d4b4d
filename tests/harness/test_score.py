"""Scoring numbers against ones worked out by hand or by the plainest NumPy."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_edge.harness.score import answer_all, auc, compare, compare_errors
from tflite_edge.records.errors import DataError

# Four images, three classes: this model answers 0 1 2 0, the float model 0 1 1 2, the truth is 0 1 2 2.
OUTPUTS = np.array([[9, 1, 0], [0, 5, 1], [1, 2, 3], [4, 0, 3]], np.float32)
REFERENCE = np.array([[8, 1, 0], [0, 5, 1], [1, 3, 2], [3, 0, 5]], np.float32)
LABELS = np.array([0, 1, 2, 2])


def relative_error(outputs, reference):
    """Root mean square difference over the standard deviation, the long way."""
    flat = reference.ravel().tolist()
    mean = sum(flat) / len(flat)
    squares = sum((a - b) ** 2 for a, b in zip(outputs.ravel().tolist(), flat, strict=True))
    return (squares / sum((b - mean) ** 2 for b in flat)) ** 0.5


def test_classification_by_hand():
    assert compare(OUTPUTS, LABELS, REFERENCE) == {
        "task": "classification",
        "top1": 0.75,
        "top5": None,
        "confusion": {"0,0": 1, "1,1": 1, "2,0": 1, "2,2": 1},
        "reference_top1": 0.75,
        "gained": 1,
        "lost": 1,
        "agreement": 0.5,
        "max_difference": 2.0,
        "relative_error": pytest.approx(relative_error(OUTPUTS, REFERENCE)),
    }


def test_without_labels_only_the_agreement():
    found = compare(OUTPUTS, None, REFERENCE)
    assert found.pop("relative_error") == pytest.approx(relative_error(OUTPUTS, REFERENCE))
    assert found == {"task": "agreement", "agreement": 0.5, "max_difference": 2.0}
    assert compare(OUTPUTS, None, None) == {"task": "agreement"}


def test_regression_by_hand():
    outputs, reference = np.array([[1.0], [2.0]], np.float32), np.array([[1.5], [4.0]], np.float32)
    found = compare(outputs, np.array([0.0, 4.0], np.float32), reference)
    assert found.pop("relative_error") == pytest.approx((4.25 / 2) ** 0.5 / 1.25)
    assert found == {"task": "regression", "mae": 1.5, "reference_mae": 0.75, "max_difference": 2.0}


def test_anomalies_by_hand():
    x = np.zeros((4, 2), np.float32)
    outputs = np.array([[1, 1], [0, 2], [3, 0], [0, 1]], np.float32)  # errors 1, 2, 4.5, 0.5
    reference = np.array([[1, 0], [0, 2], [3, 0], [0, 3]], np.float32)  # errors 0.5, 2, 4.5, 4.5
    found = compare_errors(outputs, x, np.array([0, 1, 1, 0]), reference)
    assert found == {"task": "anomaly", "auc": 1.0, "reference_auc": 0.625, "max_difference": 2.0}
    assert compare_errors(outputs, x, np.array([0, 0, 0, 0]), None) == {"task": "anomaly", "auc": None}


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40))
def test_auc_is_the_share_of_pairs_in_order(samples):
    scores, positive = (np.array(column) for column in zip(*samples, strict=True))
    pairs = np.sign(scores[positive][:, np.newaxis] - scores[~positive][np.newaxis])
    if pairs.size == 0:
        assert auc(scores, positive) is None
    else:
        assert auc(scores, positive) == pytest.approx((pairs.mean() + 1) / 2)
        assert auc(-scores, positive) == pytest.approx(1 - auc(scores, positive))


@pytest.mark.parametrize("y", [None, np.array([0, 1, 2, 0]), np.array([0.5, 0, 1, 0]), np.zeros((4, 2), int)])
def test_anomalies_need_labels_of_zero_and_one(y):
    with pytest.raises(DataError, match="labelled 1 and normal samples 0"):
        compare_errors(OUTPUTS, OUTPUTS, y, None)
    with pytest.raises(DataError, match="x does not fit"):
        compare_errors(OUTPUTS, OUTPUTS[:, :2], np.zeros(4, int), None)


def test_labels_in_a_column_as_keras_gives_them():
    assert compare(OUTPUTS, LABELS[:, np.newaxis], None)["top1"] == 0.75


@given(st.integers(0, 2**32 - 1))
def test_top1_and_top5_of_tied_int8_scores(seed):
    generator = np.random.default_rng(seed)
    outputs = generator.integers(-3, 3, (20, 8)).astype(np.float32)  # few levels: many ties
    labels = generator.integers(0, 8, 20)
    found = compare(outputs, labels, None)
    order = np.argsort(-outputs, axis=1, kind="stable")
    assert found["top1"] == np.mean(outputs.argmax(axis=1) == labels)
    assert found["top5"] == np.mean([label in row[:5] for label, row in zip(labels, order, strict=True)])
    assert sum(found["confusion"].values()) == 20


@pytest.mark.parametrize(
    ("outputs", "labels", "reference", "says"),
    [
        (OUTPUTS, np.array([0, 1, 2, 3]), None, "not classes of the model"),
        (OUTPUTS, np.array([0, 1, 2, -1]), None, "not classes of the model"),
        (OUTPUTS, np.zeros((4, 3), np.int64), None, "one integer label per image"),
        (OUTPUTS[:, :1], LABELS, None, "one score per class"),
        (OUTPUTS.reshape(2, 2, 3), LABELS[:2], None, "one score per class"),
        (OUTPUTS, LABELS, REFERENCE[:, :2], "reference does not fit"),
        (OUTPUTS, np.zeros(4, np.float32), None, "y does not fit"),
    ],
)
def test_what_cannot_be_compared_is_refused(outputs, labels, reference, says):
    with pytest.raises(DataError, match=says):
        compare(outputs, labels, reference)


def test_cores_are_those_this_process_may_use():
    count = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    count += "from tflite_edge.records.job import cores; print(cores())"
    done = subprocess.run([sys.executable, "-c", count], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_image_is_answered_once_whoever_answers(workers):
    images = np.arange(50, dtype=np.float32)[:, np.newaxis]
    seen = []

    def answer(image):
        seen.append(float(image[0]))
        return 2 * image[np.newaxis]

    outputs, seconds = answer_all([answer] * workers, images)
    assert np.array_equal(outputs, 2 * images)
    assert sorted(seen) == sorted([0.0, *range(50)])  # the first image gives the shape as well
    assert seconds > 0


def test_a_failing_worker_stops_the_others_and_is_heard():
    images = np.arange(1000)[:, np.newaxis]

    def answer(image):
        if image[0] == 10:
            raise RuntimeError("node 3 failed")
        return image[np.newaxis]

    with pytest.raises(RuntimeError, match="node 3 failed"):
        answer_all([answer] * 3, images)
    assert threading.active_count() == 1
