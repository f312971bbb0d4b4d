"""Ranking and findings on measured sums that are made up to be easy."""

from dataclasses import replace

import pytest

from tflite_edge.records.job import LayerStats
from tflite_edge.records.layers import dead_range, findings, layer_errors, ranked, saturation, short

GOOD = LayerStats(
    signal=100.0, noise=0.1, cosine=0.999, max_difference=0.5, scale=0.1, low=0.0, high=25.0,
    used_low=-128, used_high=120, limits=(-128, 127), clipped=0.0, clipped_samples=0.0,
)  # fmt: skip
QUIET = replace(GOOD, noise=0.0, max_difference=0.0)


def errors(*stats, operator="CONV_2D", sources=None, zero_point=-128):
    names = [(f"net/conv_{i}/Relu;net/conv_{i}/BiasAdd", operator, (1, 4), "name") for i in range(len(stats))]
    sources = sources or [() if i == 0 else (i - 1,) for i in range(len(stats))]
    return layer_errors(names, sources, stats, [zero_point] * len(stats))


def test_one_layer_by_hand():
    (layer,) = errors(GOOD)
    assert layer.sqnr_db == pytest.approx(30.0)
    assert (layer.noise, layer.added) == (0.001, 0.001)
    assert layer.most_steps == pytest.approx(5.0)
    assert (layer.used_steps, layer.all_steps) == (249, 256)
    assert (layer.held_low, layer.held_high) == (0.0, 25.5)
    assert findings([layer]) == ()


def test_what_cannot_be_said_is_none():
    quiet, silent, plain = errors(
        QUIET,
        replace(QUIET, signal=0.0, cosine=None),
        replace(GOOD, scale=0.0, used_low=None, used_high=None, limits=()),
    )
    assert (quiet.sqnr_db, quiet.noise) == (None, 0.0)
    assert (silent.sqnr_db, silent.noise) == (None, None)
    assert (plain.most_steps, plain.used_steps, plain.held_high) == (None, None, None)
    assert dead_range(plain) is None


def test_the_layer_that_adds_most_is_first_not_the_one_after_it():
    layers = errors(GOOD, replace(GOOD, noise=20.0), replace(GOOD, noise=22.0), replace(GOOD, noise=1.0))
    assert [layer.number for layer in ranked(layers)] == [1, 2, 0, 3]
    assert layers[2].added == pytest.approx(0.02)
    assert layers[3].added == 0.0


def test_a_sum_is_measured_against_its_worst_input():
    layers = errors(
        replace(GOOD, noise=1.0), replace(GOOD, noise=5.0), replace(GOOD, noise=6.0), sources=[(), (), (0, 1)]
    )
    assert layers[2].added == pytest.approx(0.01)


def test_saturation_is_told_with_both_ranges():
    (layer,) = errors(replace(GOOD, clipped=0.05, clipped_samples=0.5, high=40.0))
    finding = saturation(layer)
    assert finding.what == "layer 0 (CONV_2D, conv_0) saturates: 5.0% of its values lie outside of its range"
    assert "reaches 0 to 40, the file holds 0 to 25.5; 50% of the samples" in finding.evidence
    assert finding.do
    assert saturation(errors(replace(GOOD, clipped=0.005))[0]) is None


def test_a_softmax_holds_at_most_255_of_256_and_that_is_no_saturation():
    (layer,) = errors(replace(GOOD, clipped=0.05, used_high=-120), operator="SOFTMAX")
    assert findings([layer]) == ()


def test_a_range_too_wide_is_told_in_steps_but_not_where_the_scale_is_the_input_s():
    narrow = replace(GOOD, used_high=-89)
    assert dead_range(errors(narrow)[0]).what.endswith("uses 40 of 256 steps")
    assert dead_range(errors(replace(narrow, used_high=-64))[0]) is None
    assert dead_range(errors(narrow, operator="AVERAGE_POOL_2D")[0]) is None
    assert "is dead" in dead_range(errors(replace(narrow, used_high=-128))[0]).what


def test_a_noisy_layer_is_told_unless_the_reason_is_known():
    (finding,) = findings(errors(GOOD, replace(GOOD, noise=50.0)))
    assert finding.what == "layer 1 (CONV_2D, conv_1) adds noise of 50% of its signal"
    (finding,) = findings(errors(GOOD, replace(GOOD, noise=50.0, clipped=0.2)))
    assert "saturates" in finding.what


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("net/conv_1/Relu;net/conv_1/BiasAdd", "conv_1"),
        ("PartitionedCall:0", "PartitionedCall:0"),
        ("", ""),
        ("net/a_very_long_name_of_a_layer/add", "...e_of_a_layer"),
    ],
)
def test_the_keras_layer_is_what_is_shown(name, layer):
    assert short(name, 15 if "long" in name else 40) == layer
