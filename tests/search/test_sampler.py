"""What the sampler asks for: the gain of hypervolume, known functions, budgets, other workers."""

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, IntDistribution

from tflite_edge.records.search import Budget
from tflite_edge.search.front import hypervolume
from tflite_edge.search.sampler import Gaussian, gained

AXES = {"a": IntDistribution(0, 9), "b": IntDistribution(0, 9), "kind": CategoricalDistribution(range(3))}
numbers = st.floats(0, 6, allow_nan=False).map(lambda value: round(value, 1))


@pytest.mark.parametrize("objectives", [1, 2, 3])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_gain_is_what_the_hypervolume_grows_by(objectives, data):
    points = st.tuples(*[numbers] * objectives)
    front, asked, limits = data.draw(st.lists(points, max_size=6)), data.draw(points), (5.0,) * objectives
    grown = hypervolume([*front, asked], limits) - hypervolume(front, limits)
    found = gained(np.array(front).reshape(-1, objectives), np.array([asked, asked]), np.array(limits))
    assert found == pytest.approx([grown, grown], abs=1e-9)


def values(point):
    """More of a and b is smaller and worse, b costs least for its size; kind 1 is worse in all."""
    size = 1e6 * 0.8 ** (point["a"] + 2 * point["b"])
    return 0.8 * point["a"] + 0.1 * point["b"] + 5 * (point["kind"] == 1), size * (1 + (point["kind"] == 1))


def study(budget, sampler=None):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        directions=["minimize"] * len(budget.objectives), sampler=sampler or Gaussian(AXES, budget, 7)
    )


def told(begun, count, function=values):
    asked = []
    for _ in range(count):
        trial = begun.ask(AXES)
        begun.tell(trial, function(trial.params))
        asked.append(trial.params)
    return asked


def test_it_finds_the_front_of_a_known_function_where_chance_does_not():
    """Of 300 points 20 trials: nearly all of what can be had, and no point twice."""
    every = [{"a": a, "b": b, "kind": kind} for a in range(10) for b in range(10) for kind in range(3)]
    limits = (10.0, 1e6)
    whole = hypervolume([values(point) for point in every], limits)
    ours = told(study(Budget()), 20)
    chance = told(study(Budget(), optuna.samplers.RandomSampler(seed=7)), 20)
    share, by_chance = (hypervolume([values(point) for point in some], limits) / whole for some in (ours, chance))
    assert share > 0.97
    assert share > by_chance
    assert len({tuple(point.values()) for point in ours}) == 20


def test_budgets_are_where_gains_begin_and_nearer_ones_are_asked_where_none_is_known_to_keep_them():
    tight = Budget(max_bytes=20_000, max_drop=1.0)  # a = 0, b = 9: 2 of the 300 points
    asked = told(study(tight), 25)
    kept = [point for point in asked if values(point)[0] <= 1.0 and values(point)[1] <= 20_000]
    assert kept
    impossible = told(study(Budget(max_bytes=1)), 12)
    assert min(values(point)[1] for point in impossible) == values({"a": 9, "b": 9, "kind": 0})[1]


def test_three_objectives_and_a_failed_trial():
    def three(point):
        return (*values(point), 0.001 * (1 + point["a"]))

    begun = study(Budget(latency_on="pi4"))
    begun.tell(begun.ask(AXES), state=optuna.trial.TrialState.FAIL)
    assert len({tuple(point.values()) for point in told(begun, 12, three)}) == 12


def test_workers_that_ask_at_the_same_time_are_not_sent_to_the_same_place():
    begun = study(Budget())
    told(begun, 6)
    waiting = [begun.ask(AXES).params for _ in range(4)]
    assert len({tuple(point.values()) for point in waiting}) == 4
    sizes = [values(point)[1] for point in waiting]
    assert max(sizes) > 1.2 * min(sizes)
