"""The fit that is shipped, what is computed from it, and the script that makes it, on numbers whose answer is known."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from tflite_edge.records.board import BOARDS
from tflite_edge.records.job import CountResult, Runtime
from tflite_edge.targets.emulator.estimate import refusal
from tflite_edge.targets.emulator.fit import GROUPS, TERMS, Workload, kind_of, load_fit

SCRIPT = Path(__file__).parents[2] / "scripts" / "fit_latency.py"
CLASSES = [name for classes in GROUPS.values() for name in classes]


@pytest.fixture(scope="module")
def script():
    pytest.importorskip("scipy")
    spec = importlib.util.spec_from_file_location("fit_latency", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look their types up
    spec.loader.exec_module(module)
    return module


def test_every_class_is_in_one_group():
    source = (Path(__file__).parents[2] / "tflite_edge/targets/emulator/count.c").read_text()
    assert sorted(CLASSES) == sorted(set(CLASSES))
    assert all(f'"{name}"' in source for name in CLASSES)


def test_terms_are_millions_of_instructions_and_megabytes():
    terms = Workload(dict.fromkeys(CLASSES, 1_000_000), 2_000_000, 3_000_000, 4).terms()
    assert terms == {
        **{name: float(len(classes)) for name, classes in GROUPS.items()},
        "weights": 2.0,
        "tensors": 3.0,
        "operators": 4,
    }


def test_a_prediction_is_the_sum_of_its_terms():
    fit = load_fit()
    work = Workload({"fma": 3_000_000, "load": 8_000_000}, 500_000, 250_000, 7)
    told = fit.predict(work, "float")
    c = fit.coefficients["float"]
    assert told.predicted_s == pytest.approx(
        3 * c["vector"] + 8 * c["memory"] + c["weights"] / 2 + c["tensors"] / 4 + 7 * c["operators"]
    )
    band = fit.errors_of("float").band
    assert told.low_s == pytest.approx(told.predicted_s / (1 + band))
    assert told.high_s == pytest.approx(told.predicted_s / (1 - band))
    assert told.counted == 11_000_000
    assert not told.extrapolated


@pytest.mark.parametrize("kind", ["float", "int8"])
def test_the_shipped_fit_keeps_what_was_promised(kind):
    """The errors are recomputed from the table that is shipped beside them."""
    fit = load_fit()
    errors, rows = fit.errors_of(kind), [model for model in fit.models if model.kind == kind]
    assert errors.models == len(rows) >= 30
    one = [abs(row.one_out_s / row.published_s - 1) for row in rows]
    family = [abs(row.family_out_s / row.published_s - 1) for row in rows]
    assert errors.one_out_mean == pytest.approx(np.mean(one), abs=1e-4)
    assert errors.family_out_mean == pytest.approx(np.mean(family), abs=1e-4)
    assert errors.one_out_mean <= 0.06
    assert errors.family_out_mean <= 0.10
    assert errors.spearman >= 0.99
    assert errors.macs_one_out_mean > 2 * errors.one_out_mean
    assert 0 < errors.band < 0.5
    assert set(fit.coefficients[kind]) == set(TERMS)
    assert min(fit.coefficients[kind].values()) >= 0


def counted(runtime="tflite-runtime", kernels="builtin"):
    return CountResult(
        Runtime(runtime, "2.14.0", "", "", "", ""), kernels, 1, [], [], {"alu": 1}, 1, [1], 0.0, True, ""
    )


@pytest.mark.parametrize(
    ("board", "result", "threads", "fault"),
    [
        ("pi5", counted(), 4, "the board pi4 and not pi5"),
        ("pi4", counted("ai-edge-litert", "default"), 4, "the runtime tflite-runtime and not ai-edge-litert"),
        ("pi4", counted(kernels="default"), 4, "the kernels builtin and not default"),
        ("pi4", counted(), 1, "the threads 4 and not 1"),
    ],
)
def test_what_was_not_fitted_is_refused_and_says_why(board, result, threads, fault):
    refused = refusal(load_fit(), BOARDS[board], result, threads)
    assert (refused.predicted_s, refused.low_s, refused.high_s) == (None, None, None)
    assert fault in refused.why


def test_what_was_fitted_is_not_refused():
    assert refusal(load_fit(), BOARDS["pi4"], counted(), 4) is None


@pytest.mark.parametrize(
    ("scheme", "kind"), [("float", "float"), ("static-wi8ai8", "int8"), ("dynamic-wi8af32", "dynamic-wi8af32")]
)
def test_kinds(scheme, kind):
    assert kind_of(scheme) == kind


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mobilenet-v1-0.25-128-non-quantized", ("mobilenet-v1-0.25-128", "float")),
        ("efficientnet-lite4-quantized", ("efficientnet-lite4", "int8")),
        ("mobilenet-v3-large-minimalistic_224_1.0_uint8", ("mobilenet-v3-large-minimalistic", "int8")),
        ("mobilenet-v3-small_224_1.0_float", ("mobilenet-v3-small", "float")),
    ],
)
def test_published_names_are_taken_apart(script, name, expected):
    assert script.split_name(name) == expected


def test_only_rows_of_the_board_are_read(script, tmp_path):
    table = tmp_path / "latency.csv"
    table.write_text(
        "system,model,min_ms,p50_ms,p90_ms\n"
        "rpi3-tflite-v2.7.1-ruy,mobilenet-v1-1.0-224-quantized,1,2,3\n"
        "rpi4-tflite-v2.7.1-ruy,mobilenet-v1-1.0-224-quantized,26.67,27.38,27.8\n"
    )
    (row,) = script.published(table)
    assert (row.name, row.family, row.latency_s) == (
        "mobilenet-v1-1.0-224-int8",
        "mobilenet-v1",
        pytest.approx(0.02738),
    )


def test_the_solver_finds_what_the_times_were_made_of(script):
    features = np.random.default_rng(5).uniform(1, 9, (12, 3))
    truth = np.array([0.5, 0.0, 2.0])
    seconds = features @ truth
    assert script.solve(features, seconds) == pytest.approx(truth, abs=1e-9)
    assert script.left_out(features, seconds, list("aabbccddeeff")) == pytest.approx(seconds)


def test_a_row_does_not_help_to_predict_itself(script):
    features, seconds = np.ones((4, 1)), np.array([1.0, 1.0, 1.0, 100.0])
    assert script.left_out(features, seconds, range(4))[3] == pytest.approx(1.0)


@pytest.mark.parametrize(("filters", "rounded"), [(35.2, 32), (44, 48), (12.3, 16), (3, 8)])
def test_widths_are_multiples_of_eight(script, filters, rounded):
    assert script._round(filters) == rounded


def test_below_the_smallest_fitted_model_the_band_is_wide_and_named():
    """A tenth of the smallest int8 model's instructions; its own published figure bounds what a smaller one takes."""
    fit = load_fit()
    least = min(model.published_s for model in fit.models if model.kind == "int8")
    told = fit.predict(sized(0.1 * least), "int8")
    assert told.extrapolated
    assert told.predicted_s == pytest.approx(0.1 * least, rel=1e-4)
    assert told.low_s == 0
    assert least < told.high_s == pytest.approx(least / (1 - fit.errors_of("int8").band))
    assert f"extrapolated: below the smallest fitted model ({1e3 * least:.2f} ms)" in told.why


def test_above_the_largest_fitted_model_is_refused():
    fit = load_fit()
    most = max(model.published_s for model in fit.models if model.kind == "int8")
    told = fit.predict(sized(2 * most), "int8")
    assert (told.predicted_s, told.low_s, told.high_s, told.extrapolated) == (None, None, None, False)
    assert f"above the largest fitted model ({1e3 * most:.0f} ms)" in told.why
    assert fit.predict(sized(most), "int8").predicted_s == pytest.approx(most, rel=1e-4)


@pytest.mark.parametrize("kind", ["float", "int8"])
def test_no_fitted_model_is_extrapolated(kind):
    fit = load_fit()
    for model in (model for model in fit.models if model.kind == kind):
        told = fit.predict(sized(model.one_out_s, kind), kind)
        assert told.predicted_s == pytest.approx(model.one_out_s, rel=1e-3)
        assert not told.extrapolated


def sized(seconds, kind="int8"):
    """A workload that the fit gives so many seconds, by the dearest of its terms alone."""
    return Workload({}, 0, round(1e6 * seconds / load_fit().coefficients[kind]["tensors"]), 0)
