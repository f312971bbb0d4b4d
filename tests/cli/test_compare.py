"""`tflite-edge compare` through the installed entry point."""

import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from tests.harness import twins
from tflite_edge.layers import compare_layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("compare")
    for name, content in {
        "float": twins.float_chain(),
        "int8": twins.int8_chain(),
        "short": twins.int8_chain(1, 0.2),
    }.items():
        (root / f"{name}.tflite").write_bytes(content)
    np.savez(root / "data.npz", x=twins.X, y=twins.LABELS)
    return root


def test_parity_as_a_table_and_as_a_document(folder, edge):
    arguments = ["compare", folder / "int8.tflite", "--data", folder / "data.npz"]
    done = edge(*arguments)
    assert "between families" in done.stdout
    assert done.stdout.rstrip().endswith("verdict: ok")
    assert max(len(line) for line in done.stdout.splitlines() if str(folder) not in line) <= 100
    document = edge.json(*arguments)
    assert document["verdict"] == "ok"
    assert len(document["runs"]) == 3
    assert document["rule"]["share"] == 0.99
    assert {"one", "other", "difference", "verdict", "why"} <= set(document["comparisons"][0])


def test_a_target_that_is_not_there_is_exit_code_4_and_the_others_are_told(folder, edge):
    document = edge.json("compare", folder / "int8.tflite", "--on", "local,emulator:pi4", "--samples", 5, code=4)
    assert document["verdict"] == "degraded"
    assert sum(run["score"] is not None for run in document["runs"]) == 3
    assert document["findings"][0]["what"] == "nothing ran on emulator:pi4"


def test_layers_as_a_table_a_document_and_a_figure(folder, edge):
    figure = folder / "layers.svg"
    arguments = ["compare", "--layers", folder / "float.tflite", folder / "short.tflite", "--data", folder / "data.npz"]
    done = edge(*arguments, "--figure", figure, code=1)
    rows = [line.split() for line in done.stdout.splitlines() if " FULLY_CONNECTED " in line]
    assert rows[0][:3] == ["2", "FULLY_CONNECTED", "dense_1"]
    assert "finding: layer 2 (FULLY_CONNECTED, dense_1) saturates" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines() if str(folder) not in line) <= 100
    root = ET.parse(figure).getroot()
    bars = [bar for bar in root.iter("{http://www.w3.org/2000/svg}rect") if bar.find("{*}title") is not None]
    assert len(bars) == 5
    lengths = [float(bar.get("width")) for bar in bars]
    assert lengths.index(max(lengths)) == 0  # the input is least noisy
    document = edge.json(*arguments, code=1)
    assert document["ranked"][0] == 2
    assert len(document["layers"]) == 5


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--layers", "float.tflite"], 2, "--layers takes two models, not 1"),
        (["float.tflite", "int8.tflite"], 2, "compare takes one model, not 2"),
        (["int8.tflite", "--on", "moon"], 2, "no target 'moon'"),
        (["int8.tflite", "--on", ","], 2, "--on names no target"),
        (["int8.tflite", "--figure", "x.svg"], 2, "--figure draws what --layers finds"),
        (["--layers", "float.tflite", "int8.tflite", "--on", "emulator:pi4"], 2, "runs on this machine"),
        (["--layers", "float.tflite", "int8.tflite"], 3, "layers are compared on real samples"),
        (["--layers", "int8.tflite", "float.tflite"], 3, "int8.tflite is not a float model"),
        (["data.npz"], 3, "is not a TFLite model"),
        (["none.tflite"], 3, "cannot read the model"),
        (
            ["--layers", "float.tflite", "int8.tflite", "--data", "data.npz", "--figure", "none/x.svg"],
            4,
            "no folder for the figure",
        ),
    ],
)
def test_bad_input_gets_one_clear_error_and_its_exit_code(folder, edge, arguments, code, message):
    done = edge("compare", *arguments, code=code, cwd=folder)
    assert message in done.stderr
    assert "do: " in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_samples_beside_the_model_are_used_and_held_against_keras(converted, edge):
    """What `convert` left is enough: no data, no TensorFlow."""
    out, _ = converted
    found = edge.json("compare", out / "small-static-wi8ai8.tflite")
    assert (found["samples"], found["random"]) == (32, False)
    assert all(run["score"]["agreement"] > 0.9 for run in found["runs"])
    assert all(run["score"]["reference_top1"] is not None for run in found["runs"])
    layers = compare_layers(out / "small-float.tflite", out / "small-static-wi8ai8.tflite")
    assert layers.samples == 32
    assert layers.agreement > 0.9
    assert layers.unmatched_float == layers.unmatched_quantized == []


def test_the_interpreter_s_process_never_sees_tensorflow(folder, edge):
    """With data in an .npz nothing of the command needs it either."""
    arguments = ["tflite-edge", "compare", str(folder / "int8.tflite"), "--samples", "4", "--format", "quiet"]
    code = (
        f"import sys; from tflite_edge.cli import main; sys.argv = {arguments!r}\n"
        "assert main() == 0; assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
