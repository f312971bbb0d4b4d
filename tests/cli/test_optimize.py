"""Optimisation steps through the installed command: what is said meanwhile, what is kept, and going on after a kill."""

import os
import re
import signal
import subprocess

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recipe(model_file, image_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "small.toml"
    path.write_text(
        f'[model]\nfile = "{model_file}"\n[data]\nsource = "{image_folder}"\n[tune]\nepochs = 8\n'
        '[[optimize]]\nstep = "prune"\n[[optimize]]\nstep = "qat"\nepochs = 1\n[convert]\nquantize = ["int8"]\n'
        "[gates]\nmax_drop = 50.0\nmin_agreement = 0.0\n"
    )
    return path


def test_a_killed_run_goes_on_at_the_epoch_where_it_was(recipe, edge, tmp_path):
    environment = {**os.environ, "TFLITE_EDGE_CACHE": str(tmp_path / "cache")}
    arguments = [edge.path, "convert", recipe, "-o", tmp_path / "out", "--format", "json"]
    with subprocess.Popen(
        arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
    ) as run:
        # Keras's backup of an epoch is on the disk before the next epoch ends.
        assert any(line.startswith(("prune 3", "prune 8")) for line in run.stderr)
        run.send_signal(signal.SIGKILL)
    assert not list((tmp_path / "out").glob("*.tflite"))

    again = edge("convert", recipe, "-o", tmp_path / "out", "--format", "json", env=environment)
    epochs = [int(number) for number in re.findall(r"^prune (\d+)/8 loss", again.stderr, re.MULTILINE)]
    assert epochs[-1] == 8
    assert epochs == list(range(epochs[0], 9))
    assert epochs[0] >= 3
    once_more = edge("convert", recipe, "-o", tmp_path / "again", "--format", "json", env=environment)
    assert "prune" not in once_more.stderr, "a finished step is found, not trained again"


def test_the_manifest_says_what_each_step_did_and_what_came_of_it(recipe, edge, tmp_path):
    document = edge.json("convert", recipe, "-o", tmp_path)
    prune, qat = document["source"]["steps"]
    assert (
        prune["before"]["sparsity"]
        < 0.01
        < 0.4
        < prune["after"]["sparsity"]
        == pytest.approx(qat["after"]["sparsity"], abs=1e-6)
    )
    float_file, plain, made = document["models"]
    assert (float_file["original"], plain["original"], made["original"]) == (True, True, False)
    assert made["compression"]["sparsity"] >= qat["after"]["sparsity"]
    assert made["gzip_bytes"] < plain["gzip_bytes"]
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.tflite")} == {
        model["file"] for model in document["models"]
    }
    scored = edge.json("evaluate", tmp_path / plain["file"])
    assert scored["score"]["top1"] == plain["score"]["top1"]
    assert document["realised"][0].startswith(f"{made['scheme']} against original-float: ")
    told = edge("convert", recipe, "-o", tmp_path).stdout
    assert "zeros %" in told
    assert "prune left conv, probabilities alone: the first and the last layer hold few weights" in told
    assert set(prune["spared"]) == {"conv", "probabilities"}
    assert "against original-static-wi8ai8" in told
    assert all(len(line) <= 100 for line in told.splitlines())
