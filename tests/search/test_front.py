"""Decisions on trials: dominance, halving, the recommendation, the hypervolume."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_edge.records.search import Budget, Trial
from tflite_edge.search import front

points = st.lists(st.tuples(*[st.integers(0, 6).map(float)] * 3), max_size=12)


def trial(number, drop, size, *, state="complete", latency=None, **more):
    return Trial(number, {}, state, drop=drop, bytes=size, gzip_bytes=size // 2, latency_s=latency, **more)


@given(points)
def test_the_front_dominates_all_others_and_nothing_in_itself(found):
    kept = [found[i] for i in front.front(found)]
    assert len(set(kept)) == len(kept)
    for point in found:
        beaten = any(front.dominates(one, point) for one in kept)
        assert beaten != (point in kept)


@given(points)
def test_the_hypervolume_is_the_number_of_unit_cubes_that_are_dominated(found):
    cubes = sum(
        any(x <= i and y <= j and z <= k for x, y, z in found) for i in range(7) for j in range(7) for k in range(7)
    )
    assert front.hypervolume(found, (7.0, 7.0, 7.0)) == cubes


def test_what_lies_beyond_the_reference_counts_nothing():
    assert front.hypervolume([(1.0, 9.0), (9.0, 1.0)], (5.0, 5.0)) == 0
    assert front.hypervolume([(1.0, 9.0), (3.0, 3.0)], (5.0, 5.0)) == 4


def test_only_what_keeps_the_budget_is_on_the_front_and_all_where_nothing_does():
    trials = [trial(1, 0.0, 900), trial(2, 1.0, 500), trial(3, 2.0, 600), trial(4, 9.0, 100, state="pruned")]
    marked = front.marked(trials, Budget(max_bytes=600))
    assert [(one.feasible, one.front) for one in marked] == [
        (False, False),
        (True, True),
        (True, False),
        (False, False),
    ]
    assert [one.front for one in front.marked(trials, Budget(max_bytes=50))] == [True, True, False, True]


def test_size_is_gzipped_where_it_is_asked_for():
    trials = [
        Trial(1, {}, "complete", drop=0.0, bytes=100, gzip_bytes=90),
        Trial(2, {}, "complete", drop=0.0, bytes=110, gzip_bytes=50),
    ]
    assert [one.front for one in front.marked(trials, Budget())] == [True, False]
    assert [one.front for one in front.marked(trials, Budget(compressed=True))] == [False, True]


@pytest.mark.parametrize(
    ("short", "budget", "gained", "go_on", "word"),
    [
        (trial(9, 1.0, 900), Budget(max_bytes=500), [], False, "bytes 900 above 500"),
        (trial(9, 2.5, 400), Budget(max_drop=1.0), [], True, "may"),
        (trial(9, 3.5, 400), Budget(max_drop=1.0), [], False, "longer training gained 2.00 at most"),
        (trial(9, 3.5, 400), Budget(max_drop=1.0), [3.0], True, "may"),
        (trial(9, 1.7, 400), Budget(max_drop=1.0), [0.1, 0.2, 0.3], False, "gained 0.50"),
        (trial(9, 3.0, 600), Budget(), [], False, "trial 1 is better"),
        (trial(9, 2.4, 600), Budget(), [], True, "may"),
        (trial(9, 1.0, 400, latency=0.02), Budget(None, 0.01, "pi4"), [], False, "latency ms 20 above 10"),
        (trial(9, 1.0, 400), Budget(None, 0.01, "pi4"), [], False, "latency ms unknown"),
    ],
)
def test_halving_stops_what_longer_training_cannot_save(short, budget, gained, go_on, word):
    found, why = front.promising(short, [trial(1, 0.5, 500, latency=0.001)], budget, gained)
    assert (found, word in why) == (go_on, True), why


def test_a_goal_without_a_value_and_without_a_limit_stops_a_trial_and_is_said():
    found, why = front.promising(trial(9, 1.0, 400), [], Budget(latency_on="pi4"), [])
    assert (found, "unknown" in why) == (False, True)


@pytest.mark.parametrize(
    ("budget", "best", "word"),
    [
        (Budget(), 1, "the most accurate on the front"),
        (Budget(max_bytes=700), 2, "the most accurate of 2"),
        (Budget(max_drop=1.0), 2, "the smallest of 2"),
        (Budget(max_bytes=700, max_drop=3.0), 2, "the most accurate of 2"),
        (Budget(max_bytes=400), 3, "the only one that keeps the budget"),
        (Budget(max_bytes=50, max_drop=1.0), None, "trial 3 comes nearest: bytes 300 above 50, drop 2 above 1"),
    ],
)
def test_what_the_budget_leaves_open_decides(budget, best, word):
    trials = front.marked([trial(1, 0.0, 900), trial(2, 0.8, 500), trial(3, 2.0, 300)], budget)
    found, why = front.choose(trials, budget)
    assert (found.number if found else None) == best
    assert word in why


def test_one_that_nothing_beats_is_called_so():
    budget = Budget(max_bytes=700)
    _, why = front.choose(front.marked([trial(1, 0.0, 500), trial(2, 0.8, 600), trial(3, 0.0, 900)], budget), budget)
    assert why == "at least as good in everything as the other that keeps the budget"


def test_a_difference_too_small_to_care_for_does_not_decide():
    trials = [trial(1, -0.1, 35_500), trial(2, 2.8, 35_400), trial(3, 4.0, 40_000)]
    budget = Budget(max_drop=5.0)
    best, why = front.choose(front.marked(trials, budget), budget)
    assert (best.number, why) == (
        1, "the smallest of 2 on the front that keep the budget; of 2 within 5% the most accurate",
    )  # fmt: skip
    best, why = front.choose(front.marked([trial(1, 0.0, 900), trial(2, 0.05, 300)], Budget()), Budget())
    assert (best.number, why) == (2, "the most accurate on the front; of 2 within 0.1 points the smallest")


def test_of_what_differs_in_training_only_one_shows_the_size():
    point = {"alpha": 1.0, "distill": False, "scheme": "int8"}
    known = [trial(1, 0.0, 900, point=point)]
    hopeless = front.too_large(known, Budget(max_bytes=600))
    assert hopeless(point | {"distill": True, "scheme": "int8+qat"})
    assert not hopeless(point | {"scheme": "int16x8"})
    assert not hopeless(point | {"alpha": 0.5})
    assert not front.too_large(known, Budget(max_bytes=890))(point), "training may change a file by as much"
    assert not front.too_large(known, Budget(max_drop=0.0))(point)


def test_the_hypervolume_of_many_points_agrees_with_chance():
    chance = random.Random(3)
    found = [tuple(chance.random() for _ in range(3)) for _ in range(10)]
    hits = sum(
        any(all(x <= y for x, y in zip(p, q, strict=True)) for p in found)
        for q in (tuple(chance.random() for _ in range(3)) for _ in range(20_000))
    )
    assert front.hypervolume(found, (1.0, 1.0, 1.0)) == pytest.approx(hits / 20_000, abs=0.02)
