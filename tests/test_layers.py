"""Two real flatbuffers on a real runtime: the layer that was quantised wrongly on purpose is found."""

import numpy as np
import pytest

from tests.harness import tiny, twins
from tflite_edge.layers import compare_layers
from tflite_edge.records.errors import DataError, ModelError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("twins")
    built = {
        "float": twins.float_chain(),
        "good": twins.int8_chain(),
        "short": twins.int8_chain(1, 0.2),
        "wide": twins.int8_chain(2, 12.0),
        "nameless": twins.int8_chain(1, 0.2, names=False),
        "half": twins.float_chain(layers=2),
        "other": tiny.unary("SQRT", (1, 8)),
        "narrow": tiny.dense_int8(),
    }
    for name, content in built.items():
        (root / f"{name}.tflite").write_bytes(content)
    np.savez(root / "data.npz", x=twins.X, y=twins.LABELS)
    return root


def run(folder, one, other, **options):
    options = {"data": str(folder / "data.npz"), **options}
    return compare_layers(folder / f"{one}.tflite", folder / f"{other}.tflite", **options)


def test_a_good_twin_has_no_findings(folder):
    found = run(folder, "float", "good")
    assert (found.verdict, found.findings) == ("ok", [])
    assert found.agreement == 1.0
    assert [layer.operator for layer in found.layers] == ["input", *["FULLY_CONNECTED"] * 4]
    assert all(layer.sqnr_db > 30 and layer.cosine > 0.999 for layer in found.layers)
    assert all(layer.how == "name" for layer in found.layers[1:])


def test_the_sums_are_those_of_the_float_model(folder):
    """Against the same chain in NumPy, on the test samples only: their number and range."""
    found = run(folder, "float", "good")
    assert found.samples == 12
    ends = [(layer.low, layer.high) for layer in found.layers]
    everything = twins.activations(twins.X)
    for (low, high), values in zip(ends, everything, strict=True):
        assert values.min() - 1e-5 <= low <= high <= values.max() + 1e-5


def test_a_layer_whose_range_is_too_short_ranks_first_and_saturates(folder):
    found = run(folder, "float", "short")
    assert found.ranked[0] == 2
    assert found.verdict == "degraded"
    assert found.findings[0].what.startswith("layer 2 (FULLY_CONNECTED, dense_1) saturates")
    assert not any("layer 1 " in finding.what or "layer 3 " in finding.what for finding in found.findings)


def test_a_layer_whose_range_is_too_wide_ranks_first_and_says_its_steps(folder):
    found = run(folder, "float", "wide")
    assert found.ranked[0] == 3
    (finding,) = found.findings
    assert "layer 3 (FULLY_CONNECTED, dense_2) uses " in finding.what
    assert finding.what.endswith(" of 256 steps")


def test_without_names_the_same_is_found_by_place(folder):
    found, named = run(folder, "float", "nameless"), run(folder, "float", "short")
    assert {layer.how for layer in found.layers} == {"position"}
    assert [layer.added for layer in found.layers] == [layer.added for layer in named.layers]


def test_what_goes_into_a_sum_is_read_as_it_was(folder):
    """tflite-runtime 2.14 would show the sum itself for one of its inputs."""
    (folder / "sum.tflite").write_bytes(twins.sum_of_two())
    found = run(folder, "sum", "sum", samples=1)
    _, relu, tanh, total = found.layers
    assert 0 == relu.low < relu.high
    assert -1 < tanh.low < 0 < tanh.high < 1
    assert total.high > tanh.high
    assert total.low < 0
    assert all(layer.noise == 0 for layer in found.layers)


def test_fewer_samples_are_spread_over_the_data(folder):
    assert run(folder, "float", "good", samples=5).samples == 5


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ("good", "float", "good.tflite is not a float model"),
        ("float", "narrow", "do not take the same input"),
        ("float", "other", "are not the same network"),
    ],
)
def test_files_that_are_no_twins_are_refused(folder, one, other, message):
    with pytest.raises(ModelError) as caught:
        run(folder, one, other)
    assert message in caught.value.what
    assert caught.value.do


def test_random_inputs_are_refused(folder):
    with pytest.raises(DataError, match="real samples"):
        run(folder, "float", "good", data="")


def test_layers_that_only_one_file_has_are_named(folder):
    found = run(folder, "half", "good")
    assert len(found.layers) == 3
    assert len(found.unmatched_quantized) == 2
    assert found.unmatched_float == []
    assert found.agreement is None  # the two end in another shape


def test_an_image_has_no_class(folder):
    (folder / "image.tflite").write_bytes(tiny.unary("TANH", (1, 2, 2, 3)))
    np.savez(folder / "images.npz", x=np.ones((10, 2, 2, 3), np.float32), y=np.arange(10) % 2)
    assert run(folder, "image", "image", data=str(folder / "images.npz"), samples=2).agreement is None
