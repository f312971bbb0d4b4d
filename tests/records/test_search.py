"""The records of a search: what a budget says of a trial, and the way through JSON."""

import json

import pytest

from tflite_edge.records.errors import UsageError
from tflite_edge.records.plain import from_plain, to_plain
from tflite_edge.records.recipe import ModelSource, Recipe
from tflite_edge.records.search import Budget, Study, Trial


def test_a_budget_names_each_limit_that_is_broken_and_what_is_unknown():
    budget = Budget(200_000, 0.010, "pi4", 1.0)
    assert budget.broken(Trial(1, {}, "complete", bytes=200_000, latency_s=0.010, drop=1.0)) == ()
    broken = budget.broken(Trial(1, {}, "complete", bytes=300_100, drop=1.5))
    assert broken == ("bytes 300,100 above 200,000", "latency ms unknown", "drop 1.5 above 1")
    assert Budget(100, compressed=True).broken(Trial(1, {}, "complete", bytes=500, gzip_bytes=90)) == ()


@pytest.mark.parametrize(
    "wrong", [{"max_bytes": 0}, {"max_drop": -1.0}, {"max_latency_s": 0.01}, {"max_drop": float("nan")}]
)
def test_a_budget_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UsageError):
        Budget(**wrong)


@pytest.mark.parametrize(
    ("on", "kind", "objectives"),
    [
        ("", "", ("drop", "bytes")),
        ("pi4", "predicted", ("drop", "bytes", "latency_s")),
        ("local", "measured", ("drop", "bytes", "latency_s")),
        ("ssh://pi@a,ssh://pi@b", "measured", ("drop", "bytes", "latency_s")),
    ],
)
def test_a_latency_is_a_goal_only_where_a_machine_is_named(on, kind, objectives):
    budget = Budget(latency_on=on)
    assert (budget.latency_kind, budget.objectives) == (kind, objectives)


def test_a_study_goes_through_json_and_back():
    trials = [
        Trial(1, {"optimize": [{"step": "qat"}]}, "complete", bytes=20, front=True),
        Trial(2, {}, "complete", bytes=10, front=True),
        Trial(3, {}, "failed"),
    ]
    study = Study("m", Recipe(ModelSource("mobilenet")), Budget(1000), {"alpha": "1"}, trials, 2, "small", 1.0, {}, 7)
    assert from_plain(Study, json.loads(json.dumps(to_plain(study)))) == study
    assert [trial.number for trial in study.front] == [2, 1]
    assert study.trial(study.best).bytes == 10
    assert study.trial(None) is None
