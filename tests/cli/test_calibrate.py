"""`tflite-edge calibrate` through the installed entry point."""

import numpy as np
import pytest

from tflite_edge.tf.data.sources import open_source

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def raw(tmp_path_factory, image_folder):
    """As many take them from a loader that does not normalise: float32, 0..255."""
    from tflite_edge.records.preprocess import Preprocess

    pool = open_source(str(image_folder))
    x, _ = pool.read(np.arange(0, len(pool.samples), 2), Preprocess((12, 12), 3))
    path = tmp_path_factory.mktemp("calibration") / "raw.npz"
    np.savez(path, x=x.astype(np.float32))
    return path


def test_a_good_set_is_exit_0(edge, model_file, image_folder):
    done = edge("calibrate", model_file, "--data", image_folder)
    assert done.stdout.rstrip().endswith("verdict: ok")
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "reached %" in done.stdout


def test_a_bad_set_is_exit_1_with_the_effect_of_what_mends_it(edge, model_file, image_folder, raw):
    document = edge.json("calibrate", model_file, "--data", image_folder, "--representative", raw, code=1)
    assert (document["command"], document["verdict"], document["mode"]) == ("calibrate", "degraded", "int8")
    assert document["problems"][0]["kind"] == "redraw"
    assert document["effects"][0]["after"]["top1"] > document["before"]["top1"]
    assert document["better"] == "redraw"


def test_wrong_calls(edge, model_file, image_folder):
    assert (
        "not dynamic" in edge("calibrate", model_file, "--data", image_folder, "--quantize", "dynamic", code=2).stderr
    )
    assert "no model file" in edge("calibrate", "none.h5", "--data", image_folder, code=3).stderr
    assert "which data is" in edge("calibrate", model_file, code=3).stderr
    missing = edge("calibrate", model_file, "--data", image_folder, "--representative", "nothing.npz", code=3)
    assert "nothing.npz" in missing.stderr
