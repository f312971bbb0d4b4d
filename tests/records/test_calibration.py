"""What is said of a representative dataset, from figures alone."""

from dataclasses import replace

import pytest

from tflite_edge.records.calibration import CalibrationFacts, Doubt, Measured, Outlier, Reach, is_better, problems

INPUT = Reach("x", "input", -1.0, 1.0, -1.0, 1.0, 0.0, 1.0, 1.0)
LAYER = Reach("net/conv_1/Relu;net/conv_1/BiasAdd", "CONV_2D", 0.0, 4.0, 0.0, 4.1, 0.0004, 0.98, 1.0)
COUNTS = {str(number): 20 for number in range(10)}
GOOD = CalibrationFacts(200, 500, 0.98, 60, [INPUT, LAYER], [], [], [], COUNTS, "labels", None, "")


def said(**changes):
    return [
        (problem.kind, str(problem.finding.what), problem.finding.evidence)
        for problem in problems(GOOD_WITH(**changes))
    ]


def GOOD_WITH(**changes):
    return replace(GOOD, **changes)


def test_a_good_set_has_no_problem():
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"doubt": Doubt("0..1", "-1..1", "93 % and 17 %")}, "normalize", "0..1 is used, -1..1 fits"),
        ({"looks": "raw values of 0..255"}, "redraw", "look like raw values of 0..255"),
        ({"counts": {**COUNTS, "3": 0}}, "redraw", "of 10 classes 1 missing"),
        ({"counts": {**COUNTS, "3": 0, "4": 2}}, "redraw", "1 missing and 1 rare"),
        ({"tensors": [INPUT, replace(LAYER, clipped=0.01)]}, "redraw", "1 of 2 tensors clip 1% or more"),
        ({"tensors": [INPUT, replace(LAYER, used=0.25)]}, "redraw", "too wide: 1 of 2 tensors"),
        ({"coverage": 0.89}, "more", "with 500 more, ranges still grow"),
        ({"outliers": [Outlier(17, 2.5, "net/conv_1/Relu")]}, "outliers", "1 sample alone stretches ranges"),
        ({"constant": [3], "duplicates": [4, 5]}, "clean", "1 constant and 2 duplicate of 200 samples"),
    ],
)
def test_each_problem_has_evidence_and_what_mends_it(changes, kind, words):
    ((found, what, evidence),) = said(**changes)
    assert found == kind
    assert words in what
    assert evidence
    assert problems(GOOD_WITH(**changes))[0].finding.do


def test_ranges_that_grow_are_no_news_where_the_samples_are_the_wrong_ones():
    assert [kind for kind, *_ in said(coverage=0.5, looks="raw values of 0..255")] == ["redraw"]


def test_classes_told_by_a_model_that_is_fed_wrongly_are_not_said_to_be_missing():
    assert len(said(counts={**COUNTS, "1": 0}, counted="answers", looks="raw values of 0..255")) == 1
    ((_, what, _),) = said(counts={**COUNTS, "1": 0}, counted="answers")
    assert "as the float model answers" in what


def test_a_few_samples_of_many_classes_may_lack_some_by_chance_but_none_is_a_finding():
    assert said(samples=20, counts={str(number): 1 + number % 3 for number in range(10)}) == []


def measured(error, top1=0.9):
    return Measured(500, top1, 0.95, error)


@pytest.mark.parametrize(
    ("effect", "error", "better", "why"),
    [
        ((2.0, 1.0), 0.5, True, "beyond chance"),
        ((-2.0, 1.0), 0.1, False, "fewer answers are right"),
        ((0.2, 1.0), 0.09, True, "10% less error"),
        ((-0.2, 1.0), 0.09, True, "10% less error"),
        ((0.2, 1.0), 0.097, False, "only 3% less"),
        ((0.2, 1.0), 0.0995, False, "no less error"),
        ((0.0, 1.0), 0.2, False, "no less error"),
        ((None, None), 0.05, True, "50% less error"),
        ((0.0, 1.0), None, False, "no difference beyond chance"),
    ],
)
def test_better_is_what_is_measurably_better(effect, error, better, why):
    found = is_better(measured(0.1), effect, measured(error))
    assert found[0] is better
    assert why in found[1]
