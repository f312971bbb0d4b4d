"""The sentences on what an optimisation came to."""

from dataclasses import replace

import pytest

from tflite_edge.records.job import BenchResult, Runtime
from tflite_edge.records.manifest import Compression, Effect, StepRecord, Variant
from tflite_edge.records.realised import realised

RUNTIME = Runtime("ai-edge-litert", "2.3.0", "", "", "", "")
BENCH = BenchResult(
    RUNTIME, 1, [], [], 0.0, 0.0, [], [], 1e-3, 1e-3, 1e-3, 1e-3, 0.0, True, "", None, "", 400_000, ""
)  # fmt: skip
FLOAT = Variant("float32", "o.tflite", "original-float", False, "", 400, 200, "ok", original=True, bench=BENCH)
PLAIN = replace(FLOAT, mode="int8", scheme="original-static-wi8ai8", bytes=200, gzip_bytes=100)
MADE = replace(
    PLAIN, scheme="static-wi8ai8-s50-c16", bytes=200, gzip_bytes=50, original=False, file="m.tflite",
    compression=Compression(0.48, 0.5, 16, 12),
)  # fmt: skip
BIG, SMALL = Effect(1000, 0.0, (), 2000), Effect(600, 0.0, (), 1000)


def step(name, before=BIG, after=BIG):
    return StepRecord(name, {}, before, after)


def faster(model, factor):
    return replace(model, bench=replace(BENCH, median_s=BENCH.median_s / factor))


def test_sizes_are_told_against_the_float_file_and_against_plain_int8():
    lines = realised([FLOAT, PLAIN, MADE], [step("prune"), step("cluster")])
    assert (
        lines[0] == "static-wi8ai8-s50-c16 against original-float: 0.50 x the bytes, 0.25 x gzipped, 1.00 x in memory"
    )
    assert "against original-static-wi8ai8: 1.00 x the bytes, 0.50 x gzipped" in lines[1]
    assert "48% are zeros" in lines[2]
    assert "16 different values" in lines[2]


def test_zeros_and_shared_values_are_told_however_few_they_are():
    few = replace(MADE, scheme="static-wi8ai8", compression=Compression(0.1, 0.12, 200, 90))
    for name in ("prune", "cluster"):
        assert any("of all kernels 10% are zeros" in line for line in realised([FLOAT, few], [step(name)]))
    assert not any("zeros" in line for line in realised([FLOAT, few], [step("distill")]))


@pytest.mark.parametrize(("factor", "says"), [(1.02, "as fast as"), (0.95, "as fast as"), (1.7, "1.70 x as fast as")])
def test_speed_within_the_noise_is_no_speed_up(factor, says):
    line = realised([FLOAT, PLAIN, faster(MADE, factor)], [step("prune")])[-1]
    assert line.startswith(says)
    assert "dense kernels gain no speed from zeros" in line
    assert ("no step explains that" in line) == (factor > 1.1)


def test_removed_channels_are_what_makes_it_faster():
    line = realised([FLOAT, PLAIN, faster(MADE, 1.9)], [step("channels", BIG, SMALL)])[-1]
    assert "50% fewer multiply-accumulates, 40% fewer parameters" in line
    assert "dense kernels" not in line


def test_what_was_not_measured_is_left_out():
    blind = replace(MADE, bench=None, compression=None)
    assert realised([FLOAT, blind], [step("prune")]) == [
        (
            "static-wi8ai8-s50-c16 against original-float: 0.50 x the bytes, 0.25 x gzipped "
            "(what int8 alone saves is in it)"
        ),
        "no speed was measured against original-float",
    ]
    assert realised([MADE], []) == []
    assert realised([FLOAT], [step("prune")]) == []


def test_what_is_stored_sparsely_is_said_to_be_faster_nowhere_but_where_it_was_seen():
    sparse = replace(MADE, sparse_tensors=13)
    assert not any("13 kernels" in line for line in realised([FLOAT, PLAIN, sparse], [step("prune")]))
    lines = realised([FLOAT, faster(replace(sparse, mode="float32"), 1.67)], [step("prune")])
    (line,) = [line for line in lines if "13 kernels" in line]
    assert "ai-edge-litert on ARM" in line
    assert "dense kernels" not in lines[-1]


def test_the_int8_file_is_what_is_told_of_whatever_comes_last():
    half = replace(MADE, mode="float16", scheme="weightonly-wf16-s50")
    lines = realised([FLOAT, PLAIN, MADE, half], [step("prune"), step("qat")])
    assert all(MADE.scheme in line for line in lines[:2])
    (alone, *_) = realised([FLOAT, half], [step("prune")])
    assert alone.endswith("(what float16 alone saves is in it)")


def test_unsteady_times_are_called_so():
    shaky = replace(MADE, bench=replace(BENCH, stable=False, median_s=5e-4))
    assert "not steady" in realised([FLOAT, PLAIN, shaky], [step("prune")])[-1]
    assert "not steady" not in realised([FLOAT, PLAIN, MADE], [step("prune")])[-1]


def test_times_of_another_machine_are_not_called_this_machine_s():
    line = realised([FLOAT, PLAIN, MADE], [step("prune")], "ssh://pi@board")[-1]
    assert "measured on ssh://pi@board" in line
    assert "this machine" not in line
    assert "measured on this machine" in realised([FLOAT, PLAIN, MADE], [step("prune")])[-1]
