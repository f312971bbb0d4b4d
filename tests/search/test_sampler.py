"""What the sampler asks for: the expected gain of hypervolume, known functions, budgets, other workers."""

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, IntDistribution

from tflite_edge.records.search import Budget
from tflite_edge.search.front import hypervolume
from tflite_edge.search.sampler import Gaussian, _shortfalls, expected_gain

AXES = {"a": IntDistribution(0, 9), "b": IntDistribution(0, 9), "kind": CategoricalDistribution(range(3))}
numbers = st.floats(0, 6, allow_nan=False).map(lambda value: round(value, 1))


@pytest.mark.parametrize("objectives", [2, 3])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_gain_that_is_certain_is_what_the_hypervolume_grows_by(objectives, data):
    points = st.tuples(*[numbers] * objectives)
    front, asked, limits = data.draw(st.lists(points, max_size=6)), data.draw(points), (5.0,) * objectives
    grown = hypervolume([*front, asked], limits) - hypervolume(front, limits)
    certain = [lambda level, value=value: np.array([max(0.0, level - value)] * 2) for value in asked]
    found = expected_gain(np.array(front).reshape(-1, objectives), np.array(limits), certain)
    assert found == pytest.approx([grown, grown], abs=1e-9)


@pytest.mark.parametrize("objectives", [2, 3])
def test_an_expected_gain_is_the_mean_of_what_may_come(objectives):
    """Drawn 20,000 times: a normal drop, log-normal others."""
    generator = np.random.default_rng(1)
    front, limits = generator.uniform(1, 4, (5, objectives)), np.full(objectives, 5.0)
    mean, deviation = np.array([[2.0, 0.5, 0.7][:objectives]]), np.array([[1.0, 0.4, 0.3][:objectives]])
    drawn = mean + deviation * generator.standard_normal((20_000, objectives))
    drawn[:, 1:] = np.exp(drawn[:, 1:])
    before = hypervolume(map(tuple, front), tuple(limits))
    grown = [hypervolume([*map(tuple, front), tuple(one)], tuple(limits)) - before for one in drawn]
    (found,) = expected_gain(front, limits, _shortfalls(mean, deviation))
    assert found == pytest.approx(np.mean(grown), abs=4 * np.std(grown) / np.sqrt(len(grown)))


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
    assert share > 0.95
    assert share > by_chance
    assert len({tuple(point.values()) for point in ours}) == 20


def test_budgets_are_where_gains_begin_and_nearer_ones_are_asked_where_none_is_known_to_keep_them():
    tight = Budget(max_bytes=20_000, max_drop=1.0)  # a = 0, b = 9: 2 of the 300 points
    asked = told(study(tight), 25)
    kept = [point for point in asked if values(point)[0] <= 1.0 and values(point)[1] <= 20_000]
    assert kept
    impossible = told(study(Budget(max_bytes=1)), 12)
    assert min(values(point)[1] for point in impossible) == values({"a": 9, "b": 9, "kind": 0})[1]


def test_where_most_lose_much_the_front_is_wanted_all_the_same():
    """No point is within 10 points of the float model, and small ones are tried nevertheless."""
    asked = told(study(Budget()), 25, lambda point: (30 + 3 * values(point)[0], values(point)[1]))
    assert sum(values(point)[1] < 10_000 for point in asked[8:]) >= 4  # of a = 0, the best, the smallest has 18,014


def three(point):
    """The third is large where the others are small."""
    return (*values(point), 0.001 * (10 - point["a"]))


def test_a_third_objective_has_a_budget_too_and_failed_trials_do_no_harm():
    begun = study(Budget(latency_on="pi4", max_latency_s=0.0035))  # a from 7 on: 90 of 300
    begun.tell(begun.ask(AXES), state=optuna.trial.TrialState.FAIL)
    asked = told(begun, 20, three)
    assert len({tuple(point.values()) for point in asked}) == 20
    assert sum(point["a"] >= 7 for point in asked[8:]) >= 9


def test_workers_that_ask_at_the_same_time_are_not_sent_to_the_same_place():
    """What others are at counts as expected: the second question is not about its neighbour, which would gain little
    beside it, though it is what would be asked if nobody were at it."""
    begun = study(Budget())
    told(begun, 8)
    first = begun.ask(AXES).params
    assert first["kind"] in (0, 2)  # which are the same in all
    assert begun.ask(AXES).params != {**first, "kind": 2 - first["kind"]}
