from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_edge.records.job import Runtime, ScoreResult
from tflite_edge.records.verdict import (
    DEGRADED,
    FAILED,
    OK,
    Finding,
    Gates,
    drop_of,
    drop_points,
    judge,
    verdict_of,
    worst,
)

SCORE = ScoreResult(Runtime("r", "1", "", "3", "x", "1"), "classification", 100, 1.0, 100.0, 1, agreement=1.0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200))
def test_drop_is_the_difference_of_accuracies(pairs):
    new, old = np.array(pairs).T
    drop, half = drop_points(int((new & ~old).sum()), int((old & ~new).sum()), len(pairs))
    assert drop == pytest.approx(100 * (old.mean() - new.mean()))
    # Agresti and Min: 1.96 standard errors with half an image more in each of the four cells of the table.
    lost, gained, n = (old & ~new).sum() + 0.5, (new & ~old).sum() + 0.5, len(pairs) + 2
    differences = np.repeat([1.0, -1.0, 0.0], 2)
    weights = np.array([lost, 0, gained, 0, n - lost - gained, 0])
    assert half == pytest.approx(196 * np.sqrt(np.cov(differences, aweights=weights, ddof=0) / n), abs=1e-9)


def test_no_difference_on_few_images_is_not_certainty():
    assert drop_points(0, 0, 10)[1] > 10
    assert drop_points(0, 0, 10_000)[1] < 0.05


def test_outputs_without_classes_are_held_against_their_spread():
    score = replace(SCORE, task="agreement", agreement=None, relative_error=0.5)
    assert "differ from Keras by 50% of their spread" in judge("int8", score, Gates())[0].what
    assert judge("int8", replace(score, relative_error=0.1), Gates()) == ()


def test_a_drop_beyond_the_gate_degrades():
    score = replace(SCORE, gained=0, lost=2, top1=0.9, reference_top1=0.92)
    assert judge("int8", score, Gates(max_drop=2.0)) == ()
    (finding,) = judge("int8", score, Gates(max_drop=1.9))
    assert "2.00 points below" in finding.what
    assert verdict_of([finding]) == DEGRADED
    assert finding.do.startswith("more calibration samples")
    (finding,) = judge("int8", score, Gates(max_drop=1.9), optimized=True)
    assert finding.do.startswith("more --tune-epochs, or less in [[optimize]]")


def test_float32_is_held_against_outputs_and_the_others_against_argmax():
    score = replace(SCORE, max_difference=0.1, agreement=0.5)
    assert "differ from Keras" in judge("float32", score, Gates())[0].what
    assert "agrees with Keras on 50.0%" in judge("int8", score, Gates())[0].what


def test_regression_is_held_against_the_growth_of_the_error():
    score = replace(SCORE, task="regression", agreement=None, mae=1.02, reference_mae=1.0)
    assert "grew by 2.00 %" in judge("int8", score, Gates())[0].what
    assert judge("int8", score, Gates(max_drop=3.0)) == ()


def test_anomalies_are_held_against_the_points_of_auc():
    score = replace(SCORE, task="anomaly", agreement=None, auc=0.87, reference_auc=0.89)
    assert drop_of(score) == (pytest.approx(2.0), None)
    assert judge("int8", score, Gates(max_drop=2.1)) == ()
    (finding,) = judge("int8", score, Gates(max_drop=1.9))
    assert "AUC is 2.00 points below" in finding.what
    assert judge("int8", replace(score, auc=None, reference_auc=None), Gates()) == ()


def test_worst():
    assert worst([]) == OK
    assert worst([OK, DEGRADED, OK]) == DEGRADED
    assert verdict_of([Finding("a"), Finding("b", fatal=True)]) == FAILED
