"""Differences and their noise from known samples."""

import numpy as np
import pytest

from tflite_edge.harness.profile import half_width, operator_time
from tflite_edge.records.cut import Cut

CUT = Cut(3, "ADD", [1], [], [])


def test_a_difference_and_its_share():
    found = operator_time(CUT, ([1.0] * 20, [1.0] * 20), ([1.5] * 20, [1.5] * 20), 2.0)
    assert (found.index, found.name, found.seconds, found.noise_s, found.share) == (2, "ADD", 0.5, 0.0, 0.25)
    assert found.clear


def test_passes_that_disagree_are_noise():
    """There the operator takes 0.1, back it takes 0.3 less: no sign can be told."""
    found = operator_time(CUT, ([1.0] * 20, [1.4] * 20), ([1.1] * 20, [1.1] * 20), 2.0)
    assert found.noise_s > 0.19
    assert not found.clear


def test_the_half_width_of_a_median_covers():
    """95 % of intervals of this width hold the true median, 0: at least 88 % of 300 do."""
    generator = np.random.default_rng(1)
    draws = generator.normal(size=(300, 100))
    held = [abs(np.median(draw)) <= half_width(draw) * 1.2 for draw in draws]
    assert np.mean(held) > 0.88
    assert half_width([1.0]) == 0.0
    assert half_width(np.arange(100.0)) == pytest.approx(10, abs=1.5)
