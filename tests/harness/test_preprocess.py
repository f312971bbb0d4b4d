"""The arithmetic between raw values and the input tensor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflite_edge.harness.preprocess import dequantize, encoder, normalize, quantize, to_input
from tflite_edge.records.errors import DataError
from tflite_edge.records.preprocess import NORMALIZATIONS, Preprocess

EVERY_LEVEL = np.arange(256, dtype=np.uint8)
scales = st.floats(2**-13, 8.0, width=32)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_normalize_is_float32_in_one_order(name):
    mean, std = NORMALIZATIONS[name]
    raw = np.stack([EVERY_LEVEL] * 3, axis=-1)
    found = normalize(raw, Preprocess(mean=mean, std=std))
    assert found.dtype == np.float32
    for channel in range(3):
        m, s = np.float32(mean[channel % len(mean)]), np.float32(std[channel % len(std)])
        expected = [(np.float32(level) - m) / s for level in EVERY_LEVEL]
        assert found[:, channel].tolist() == expected


def test_quantize_rounds_half_to_even_and_clips():
    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 1000.0, -1000.0], np.float32)
    assert quantize(values, np.int8, 1.0, 0).tolist() == [0, 2, 2, 0, -2, 127, -128]
    assert quantize(values, np.uint8, 1.0, 10).tolist() == [10, 12, 12, 10, 8, 255, 0]


@given(
    st.sampled_from(sorted(NORMALIZATIONS)), st.sampled_from(["int8", "uint8", "int16"]), scales, st.integers(-128, 127)
)
def test_the_table_answers_what_the_arithmetic_answers(name, dtype, scale, zero_point):
    mean, std = NORMALIZATIONS[name]
    record = Preprocess(mean=mean, std=std)
    raw = np.stack([EVERY_LEVEL, EVERY_LEVEL[::-1], np.roll(EVERY_LEVEL, 7)], axis=-1)
    direct = to_input(raw, record, dtype, scale, zero_point)
    by_table = encoder(np.uint8, record, dtype, scale, zero_point)(raw)
    assert by_table.dtype == direct.dtype == np.dtype(dtype)
    assert np.array_equal(by_table, direct)


@given(scales, st.integers(-128, 127))
def test_every_step_survives_the_round_trip(scale, zero_point):
    steps = np.arange(-128, 128).astype(np.int8)
    assert np.array_equal(quantize(dequantize(steps, scale, zero_point), np.int8, scale, zero_point), steps)


def test_a_float_input_gets_the_normalised_values():
    record = Preprocess(mean=(127.5,), std=(127.5,))
    found = encoder(np.uint8, record, np.float32, 0.0, 0)(EVERY_LEVEL)
    assert found.dtype == np.float32
    assert np.array_equal(found, normalize(EVERY_LEVEL, record))


def test_baked_preprocessing_passes_raw_values_through():
    assert np.array_equal(encoder(np.uint8, Preprocess(), np.uint8, 1.0, 0)(EVERY_LEVEL), EVERY_LEVEL)
    assert np.array_equal(to_input(EVERY_LEVEL, Preprocess(), np.uint8, 0.0, 0), EVERY_LEVEL)


def test_raw_values_only_fit_the_identity():
    with pytest.raises(DataError, match="without a scale"):
        to_input(EVERY_LEVEL, Preprocess(std=(255.0,)), np.uint8, 0.0, 0)


def test_values_that_the_type_cannot_hold_are_refused():
    with pytest.raises(DataError, match="do not fit"):
        to_input(np.array([0.5], np.float32), Preprocess(), np.int32, 0.0, 0)


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_the_number_of_channels_is_checked(dtype):
    encode = encoder(np.uint8, Preprocess(mean=(1.0, 2.0, 3.0)), dtype, 1.0, 0)
    with pytest.raises(DataError, match="3 channels"):
        encode(np.zeros((2, 2, 4), np.uint8))
