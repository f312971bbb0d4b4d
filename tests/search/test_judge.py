"""What a trial came to, where its numbers are odd."""

from dataclasses import replace

from tests.search.made import BASE, outcome
from tflite_edge.search.judge import _drop


def test_a_regression_without_any_error_before_has_no_growth_of_it():
    variant = outcome(BASE).manifest.models[0]
    score = replace(variant.score, top1=None, mae=0.5, reference_mae=0.0)
    assert _drop(replace(variant, score=score), None) == (None, None)
    assert _drop(replace(variant, score=replace(score, reference_mae=0.25)), None) == (100.0, None)
