"""`check` through the installed command: exit codes, findings, one JSON document."""

from dataclasses import replace

import pytest

from tests.flatbuffer import tiny


@pytest.fixture
def newer(tmp_path):
    path = tmp_path / "newer.tflite"
    path.write_bytes(tiny.build(tiny.quantized("INT8"), [replace(tiny.DENSE, version=12)]))
    return path


def test_a_file_that_would_not_load_is_exit_1_and_says_what_to_do(edge, newer):
    said = edge("check", newer, "--runtime", "tflite-runtime==2.14", code=1).stdout
    assert "FULLY_CONNECTED version 12 does not load on tflite-runtime 2.14.0" in said
    assert "do: convert with --runtime tflite-runtime==2.14.0" in said
    document = edge.json("check", newer, "--runtime", "tflite-runtime==2.14", code=1)
    assert (document["verdict"], document["findings"][0]["fatal"]) == ("failed", True)
    assert edge.json("check", newer, "--runtime", "ai-edge-litert==2.3")["findings"] == []


def test_a_target_s_table_is_there_whole_with_explain(edge, tmp_path):
    path = tmp_path / "island.tflite"
    path.write_bytes(tiny.int8_with_float_island())
    said = edge("check", path, "--target", "coral-usb", "--explain", code=1).stdout
    assert all(word in said for word in ("Edge TPU", "SOFTMAX", "cuts the graph", "100.0% of the MACs"))
    assert all(len(line) <= 100 for line in said.splitlines())
    rows = edge.json("check", path, "--target", "coral-usb", code=1)["placement"]["rows"]
    assert [row["mapped"] for row in rows] == [True, False, False, False]


def test_a_board_s_runtimes_are_all_shown_and_the_best_one_decides(edge, newer):
    said = edge("check", newer, "--target", "pi4").stdout
    assert "on a Raspberry Pi 4: use ai-edge-litert" in " ".join(said.split())
    assert "tflite-runtime 2.14.0: would not load" in said
    assert "no runtime of the board loads it" in " ".join(
        edge("check", newer, "--target", "pi3-32", code=1).stdout.split()
    )
    runtimes = edge.json("check", newer, "--target", "pi4")["board"]["runtimes"]
    assert [(one["runtime"], one["loads"]) for one in runtimes] == [("ai-edge-litert", True), ("tflite-runtime", False)]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "needs something to check against"),
        (("--runtime", "tflite-runtime==2.13"), 2, "the nearest is tflite-runtime==2.14.0"),
        (("--target", "corel-usb"), 2, "did you mean 'coral-usb'?"),
        (("--target", "pi6"), 2, "did you mean 'pi"),
        (("--runtime", "libedgetpu"), 2, "crashes under"),
    ],
)
def test_bad_calls_name_the_nearest(edge, newer, arguments, code, words):
    assert words in edge("check", newer, *arguments, code=code).stderr


def test_what_is_not_a_model_is_exit_3(edge, tmp_path):
    path = tmp_path / "text.tflite"
    path.write_text("not a model")
    assert "is not a TFLite model" in edge("check", path, "--target", "mcu", code=3).stderr


@pytest.mark.slow
def test_a_dynamic_file_loads_on_tflite_runtime_when_it_was_made_for_it(edge, model_file, image_folder, tmp_path):
    made = edge.json(
        "convert", model_file, "--data", image_folder, "--quantize", "dynamic", "--runtime", "tflite-runtime==2.14",
        "--max-drop", "10", "-o", tmp_path / "out",
    )  # fmt: skip
    (model,) = made["models"]
    assert model["score"]["runtime"]["name"] == "tflite-runtime"
    assert model["proof"] == "loaded and run on tflite-runtime 2.14.0"
    assert "one scale" in model["why"]
    edge("check", tmp_path / "out" / model["file"], "--runtime", "tflite-runtime==2.14")
