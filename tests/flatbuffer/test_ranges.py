"""Which range is held: what each rule must give, on histograms whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_edge.flatbuffer.ranges import RULES, choose
from tflite_edge.records.repair import RANGES, Repair


def histogram(values):
    low, high = float(values.min()), float(values.max())
    return low, high, np.histogram(values, 2048, (low, high))[0]


NORMAL = np.random.default_rng(0).normal(0, 1, 100_000)


def test_minmax_is_all_that_was_seen_and_zero():
    assert choose("minmax", *histogram(NORMAL)) == (NORMAL.min(), NORMAL.max())
    assert choose("minmax", 2.0, 3.0, np.ones(8)) == (0.0, 3.0)


def test_a_percentile_cuts_its_share_at_each_end():
    low, high = choose("99.9", *histogram(NORMAL))
    assert np.mean(low > NORMAL) == pytest.approx(0.001, abs=0.0005)
    assert np.mean(high < NORMAL) == pytest.approx(0.001, abs=0.0005)


def test_zeros_of_a_relu_are_not_cut():
    low, high = choose("99.9", *histogram(np.maximum(NORMAL, 0)))
    assert low == 0.0
    assert 2.5 < high < 3.5


def test_the_least_error_weighs_steps_against_what_is_cut():
    """A few values ten times as far out as all others are worth cutting only when they are few."""
    few, many = (np.append(np.abs(NORMAL), np.full(count, 300.0)) for count in (1, 1000))

    def error(values, end):
        return float(np.sum((values - np.minimum(values, end)) ** 2) + len(values) * (end / 255) ** 2 / 12)

    _, cut = choose("mse", *histogram(few))
    assert cut < 300
    assert error(few, cut) < error(few, 300.0)
    assert choose("mse", *histogram(many))[1] == 300.0


@given(
    st.sampled_from(RULES),
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=50),
)
def test_a_range_lies_within_what_was_seen_and_holds_zero(rule, values):
    low, high, counts = histogram(np.array(values)) if min(values) < max(values) else (values[0], values[0], np.ones(4))
    found = choose(rule, low, high, counts)
    assert found[0] <= 0.0 <= found[1]
    assert min(low, 0.0) <= found[0]
    assert found[1] <= max(high, 0.0)


def test_the_recipe_knows_these_rules():
    assert set(RANGES) == {"", *RULES}
    assert str(Repair(ranges="99.9", correct=True)) == "biases corrected, ranges 99.9 %"
