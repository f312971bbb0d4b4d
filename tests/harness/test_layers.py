"""The sums of one pair of tensors, against the plainest NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tflite_edge.harness.layers import Sums
from tflite_edge.harness.preprocess import dequantize, quantize

SCALE, ZERO = 0.05, -10
FLOATS = arrays.arrays(np.float32, (3, 6), elements=st.floats(-20, 20, width=32))


def sums(f, q, scale=SCALE, zero=ZERO, dtype=np.int8):
    total = Sums(scale, zero, np.dtype(dtype))
    for one, other in zip(f, q, strict=True):
        total.add(one, other)
    return total.stats()


@given(FLOATS)
def test_sums_over_samples_are_those_over_all_at_once(f):
    q = quantize(f, np.int8, SCALE, ZERO)
    back = dequantize(q, SCALE, ZERO).astype(np.float64)
    found = sums(f, q)
    assert found.signal == pytest.approx(float((f.astype(np.float64) ** 2).sum()))
    assert found.noise == pytest.approx(float(((f - back) ** 2).sum()), abs=1e-9)
    assert found.max_difference == pytest.approx(float(np.abs(f - back).max()), abs=1e-9)
    assert (found.low, found.high) == (f.min(), f.max())
    assert (found.used_low, found.used_high) == (q.min(), q.max())
    outside = (f < (-128 - ZERO) * SCALE - SCALE / 2) | (f > (127 - ZERO) * SCALE + SCALE / 2)
    assert found.clipped == pytest.approx(outside.mean())
    assert found.clipped_samples == pytest.approx(outside.any(axis=1).mean())


def test_the_limit_itself_is_no_saturation():
    """A ReLU's 0 is stored as -128, and half a step more than the last value is rounded back to it."""
    f = np.array([[0.0, 255 * SCALE, 255.4 * SCALE, 256 * SCALE]], np.float32)
    found = sums(f, quantize(f, np.int8, SCALE, -128), zero=-128)
    assert found.clipped == 0.25


def test_nothing_is_said_of_steps_where_nothing_is_quantised():
    f = np.ones((2, 3), np.float32)
    found = sums(f, f * 0.5, scale=0.0, dtype=np.float32)
    assert (found.scale, found.used_low, found.limits, found.clipped) == (0.0, None, (), 0.0)
    assert found.noise == pytest.approx(6 * 0.25)
    assert found.cosine == pytest.approx(1.0)


def test_a_cosine_with_nothing_is_none():
    assert sums(np.zeros((1, 3), np.float32), np.full((1, 3), ZERO, np.int8)).cosine is None
