"""Representative datasets with one known fault each, on a real model, converted and run for real."""

from dataclasses import replace

import numpy as np
import pytest

from tflite_edge.calibration import advise
from tflite_edge.calibration.facts import _outliers, _useless, _widths_without
from tflite_edge.flatbuffer.match import Layer
from tflite_edge.records.conversion import Conversion
from tflite_edge.records.errors import DataError, RecipeError, UsageError
from tflite_edge.targets.local import Local
from tflite_edge.tf.data.dataset import Split
from tflite_edge.tf.source import open_model

INT8 = Conversion("int8", "int8")


def test_widths_without_a_sample_are_those_of_the_others():
    reached = np.random.default_rng(2).normal(0, 1, (9, 4, 2))
    reached = np.sort(reached, axis=2)
    reached[3] = reached[4]  # equal extremes: without either the other is left
    found = _widths_without(reached)
    for number in range(9):
        others = np.delete(reached, number, axis=0)
        wanted = np.maximum(others[..., 1].max(0), 0) - np.minimum(others[..., 0].min(0), 0)
        np.testing.assert_allclose(found[number], wanted)


def test_outliers_are_found_one_behind_the_other():
    reached = np.tile([-1.0, 1.0], (100, 2, 1))
    reached[7, 1], reached[30, 1] = (-1.0, 9.0), (-1.0, 4.0)
    layers = [Layer(name, "CONV_2D", (1,), 0, 0, "name", ()) for name in ("a", "b")]
    found = _outliers(reached, layers)
    assert [(one.sample, one.tensor, round(one.stretch, 2)) for one in found] == [(7, "b", 2.0), (30, "b", 2.5)]
    assert _outliers(np.tile([-1.0, 1.0], (100, 2, 1)), layers) == []


def test_constant_and_repeated_samples_are_told():
    raw = np.random.default_rng(1).integers(0, 255, (6, 4, 4, 1), dtype=np.uint8)
    raw[1], raw[4] = 7, raw[0]
    assert _useless(raw) == ([1], [4])


def calibrated(source, **changes):
    """The source as `convert` opens it with these changes of [data]."""
    recipe = replace(source.recipe, data=replace(source.recipe.data, **changes))
    return open_model(recipe, lambda event: None)


def values(source, count=60):
    """float32 as the model takes them, of every class."""
    return source.data.train.x[np.linspace(0, len(source.data.train) - 1, count).astype(int)]


def kinds(advice):
    return [problem.kind for problem in advice.found.problems]


@pytest.mark.slow
def test_what_convert_draws_by_itself_is_representative(source, variants):
    advice = advise(source, INT8, variants, machine=Local())
    assert advice.found.verdict == "ok"
    assert advice.better is None
    assert set(advice.found.facts.counts.values()) == {len(source.data.calibration) // 4}
    assert all(one.clipped < 0.02 and one.coverage > 0.85 for one in advice.found.facts.tensors)
    assert not set(kinds(advice)) & {"normalize", "outliers", "clean"}


@pytest.mark.slow
def test_raw_values_are_recognised_and_drawing_anew_mends_them(source, variants, tmp_path):
    np.savez(tmp_path / "raw.npz", x=(values(source) + 1) * 127.5)
    fed_raw = calibrated(source, representative=str(tmp_path / "raw.npz"))
    advice = advise(fed_raw, INT8, variants, machine=Local())
    assert advice.found.verdict == "degraded"
    assert "raw values of 0..255" in advice.found.problems[0].finding.what
    assert advice.found.problems[0].finding.exit_code == 1
    effect = next(one for one in advice.found.effects if one.kind == "redraw")
    assert advice.found.before.top1 < 0.7
    assert effect.gain > effect.gain_ci > 0
    assert effect.after.top1 > 0.9
    kind, better = advice.better
    assert kind == "redraw"
    assert set(better.data.calibration.wanted) <= set(source.data.train.wanted) | set(source.data.calibration.wanted)
    assert not set(better.data.calibration.wanted) & set(source.data.test.wanted)
    assert variants.of(better).make(INT8).read_bytes() != variants.of(fed_raw).make(INT8).read_bytes()


@pytest.mark.slow
def test_a_missing_class_is_named(source, variants):
    own = source.data.calibration
    lacking = Split(own.pool, own.wanted[own.pool.y[own.wanted] != 2], own.preprocess)
    advice = advise(source.calibrated_with(lacking), INT8, variants, machine=Local())
    assert "c-two" in advice.found.problems[0].finding.evidence
    assert advice.found.facts.counted == "labels"
    assert "redraw" in advice.fixes


@pytest.mark.slow
def test_one_sample_that_stretches_the_ranges_is_named_and_left_out(source, variants, tmp_path):
    x = values(source)
    x[11] *= 8
    np.savez(tmp_path / "outlier.npz", x=x)
    stretched = calibrated(source, representative=str(tmp_path / "outlier.npz"))
    advice = advise(stretched, INT8, variants, machine=Local())
    assert [one.sample for one in advice.found.facts.outliers] == [11]
    assert 11 not in advice.fixes["outliers"].data.calibration.wanted
    effect = next(one for one in advice.found.effects if one.kind == "outliers")
    assert effect.samples == 59
    assert effect.after.error < advice.found.before.error


@pytest.mark.slow
def test_a_wrong_normalisation_is_told_from_the_right_one(source, variants):
    wrong = calibrated(source, normalize="none")
    advice = advise(wrong, INT8, variants.of(wrong), machine=Local())
    assert kinds(advice)[0] == "normalize"
    assert advice.found.facts.doubt.used == "none"
    effect = next(one for one in advice.found.effects if one.kind == "normalize")
    assert effect.after.top1 >= advice.found.before.top1
    right = calibrated(source, normalize=advice.found.facts.doubt.better)
    assert advice.fixes["normalize"].data.preprocess == right.data.preprocess


@pytest.mark.slow
def test_what_cannot_be_calibrated_or_does_not_fit_is_refused(source, variants, tmp_path):
    with pytest.raises(UsageError, match="dynamic is not calibrated"):
        advise(source, Conversion("dynamic"), variants, machine=Local())
    np.savez(tmp_path / "few.npz", x=values(source, 5))
    with pytest.raises(DataError, match="too few calibration samples: 5"):
        calibrated(source, representative=str(tmp_path / "few.npz"))
    np.savez(tmp_path / "small.npz", x=values(source)[:, :4])
    with pytest.raises(DataError, match=r"samples of \[4, 12, 3\], but the model takes \[12, 12, 3\]"):
        calibrated(source, representative=str(tmp_path / "small.npz"))
    with pytest.raises(DataError, match="cannot read"):
        calibrated(source, representative=str(tmp_path / "none.npz"))
    np.savez(tmp_path / "ready.npz", x=values(source))
    ready = calibrated(source, representative=str(tmp_path / "ready.npz"))
    with pytest.raises(RecipeError, match="bake needs raw images"):
        variants.of(ready).make(Conversion("int8", "uint8", bake=True))
