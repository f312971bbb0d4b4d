"""The commands through the installed entry point: results, exit codes, and errors that lose nothing."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tflite_edge.artifact import sha256

pytestmark = pytest.mark.slow

NAMES = {
    "float32": "small-float.tflite",
    "float16": "small-weightonly-wf16.tflite",
    "dynamic": "small-dynamic-wi8af32.tflite",
    "int8": "small-static-wi8ai8.tflite",
    "int16x8": "small-static-wi8ai16.tflite",
}


def test_convert_makes_every_mode_with_names_that_tell_the_truth(converted):
    out, document = converted
    assert document["verdict"] == "ok"
    assert document["complete"]
    assert {model["mode"]: model["file"] for model in document["models"]} == NAMES
    for model in document["models"]:
        path = out / model["file"]
        assert (model["sha256"], model["bytes"]) == (sha256(path), path.stat().st_size)
        assert model["score"]["images"] == document["source"]["samples"]["test"] == 32
        assert model["bench"]["median_s"] > 0
    assert "-1..1" in document["source"]["why"]["normalize"]
    assert document["preprocess"] == {
        "size": [12, 12], "channels": 3, "fit": "stretch", "resample": "bilinear", "mean": [127.5], "std": [127.5]
    }  # fmt: skip


def test_the_folder_holds_the_manifest_the_labels_and_a_sample_pack(converted):
    out, document = converted
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["models"] == document["models"]
    assert (out / "labels.txt").read_text().split() == ["a-zero", "b-one", "c-two", "d-three"]
    with np.load(out / "samples.npz") as pack:
        assert pack["x"].shape == (32, 12, 12, 3)
        assert pack["reference"].shape == (32, 4)
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*NAMES.values(), "manifest.json", "labels.txt", "samples.npz"]
    )


def test_a_manifest_is_a_recipe_and_makes_the_same_bytes(edge, model_file, image_folder, tmp_path):
    """From relative paths, read from another folder, with nothing cached."""
    shutil.copy(model_file, tmp_path / "my.h5")
    shutil.copytree(image_folder, tmp_path / "photos")
    arguments = ["convert", "my.h5", "--data", "photos/", "--quantize", "float32,int8", "--max-drop", "10"]

    def fresh(cache):
        return {"cwd": tmp_path, "env": {**os.environ, "TFLITE_EDGE_CACHE": str(tmp_path / cache)}}

    first = json.loads(edge(*arguments, "-o", "out", "--format", "json", **fresh("one")).stdout)
    (tmp_path / "elsewhere").mkdir()
    options = {**fresh("two"), "cwd": tmp_path / "elsewhere"}
    again = json.loads(edge("convert", "../out/manifest.json", "-o", "again", "--format", "json", **options).stdout)
    assert [m["sha256"] for m in again["models"]] == [m["sha256"] for m in first["models"]]
    scored = json.loads(
        edge("evaluate", tmp_path / "out" / first["models"][1]["file"], "--format", "json", **options).stdout
    )
    assert scored["score"]["top1"] == first["models"][1]["score"]["top1"]


def test_the_same_data_are_known_however_they_are_spelt(converted, edge, image_folder, tmp_path):
    model = converted[0] / NAMES["int8"]
    link = tmp_path / "link"
    link.symlink_to(image_folder)
    spelt = [edge.json("evaluate", model, "--data", path)["score"] for path in (image_folder, f"{image_folder}/", link)]
    assert [score["images"] for score in spelt] == [32, 32, 32]
    chosen = edge.json("evaluate", model, "--normalize", "0..1")
    assert chosen["score"]["images"] == 32
    assert chosen["preprocess"]["std"] == [255.0]


def test_another_run_takes_the_folder_over_whole(converted, edge, model_file, image_folder, tmp_path):
    """What the new manifest does not list is gone: old models would be judged by new samples."""
    out = tmp_path / "out"
    arguments = ["convert", model_file, "--data", image_folder, "-o", out, "--max-drop", "10"]
    edge(*arguments, "--quantize", "float32,float16")
    edge(*arguments, "--quantize", "int8")
    assert {path.name for path in out.glob("*.tflite")} == {NAMES["int8"]}
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    recipe = tmp_path / "slow.toml"
    recipe.write_text(
        f'[model]\nfile = "{model_file}"\n[data]\nsource = "{image_folder}"\n[target]\ndeadline_s = 0.01\n'
    )
    document = edge.json("convert", recipe, "-o", out, code=5)
    assert {model["verdict"] for model in document["models"]} == {"failed"}
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_the_human_table_fits_100_columns_and_ends_with_the_verdict(converted, edge, model_file, image_folder):
    out, _ = converted
    done = edge(
        "convert",
        model_file,
        "--data",
        image_folder,
        "--quantize",
        "float32,int8",
        "-o",
        out.parent / "h",
        "--max-drop",
        10,
    )
    assert done.stdout.rstrip().endswith("verdict: ok")
    assert max(map(len, done.stdout.splitlines())) <= 100 + len(str(image_folder))
    assert "static-wi8ai8" in done.stdout


def test_inspect(converted, edge):
    out, _ = converted
    facts = edge.json("inspect", out / NAMES["int8"])
    assert facts["scheme"] == "static-wi8ai8"
    assert facts["float_operators"] == []
    assert len(edge.json("inspect", *(out / name for name in NAMES.values()))["models"]) == 5
    assert "CONV_2D" in edge("inspect", out / NAMES["int8"]).stdout
    assert "| count | operator | version |" in edge("inspect", out / NAMES["int8"], "--format", "md").stdout
    assert edge("inspect", out / NAMES["int8"], "--format", "quiet").stdout == ""


@pytest.mark.parametrize("content", [b"", b"no model", b"\x10\0\0\0TFL3" + b"\xff" * 40])
def test_inspect_refuses_what_is_no_model(edge, tmp_path, content):
    (tmp_path / "x.tflite").write_bytes(content)
    assert "error: " in edge("inspect", tmp_path / "x.tflite", code=3).stderr


def test_bench(converted, edge):
    result = edge.json("bench", converted[0] / NAMES["int8"], "--runs", 20)
    assert len(result["samples_s"]) >= 20
    assert len(result["warmups_s"]) == 5
    assert result["min_s"] <= result["median_s"] <= result["p90_s"] <= result["p99_s"]
    assert result["peak_rss_bytes"] > 10e6
    assert (result["resident_bytes"] is None) == bool(result["resident_why"])
    assert (result["resident_bytes"] or 1) < result["peak_rss_bytes"]
    assert result["runtime"]["why"]
    assert "median ms" in edge("bench", converted[0] / NAMES["int8"], "--runs", 5).stdout


def test_evaluate_scores_all_of_other_data(converted, edge, image_folder, tmp_path):
    """They are new to the model, however few: none is set aside to calibrate with."""
    out, _ = converted
    for folder in image_folder.iterdir():
        (tmp_path / folder.name).mkdir()
        for image in sorted(folder.iterdir())[:2]:
            shutil.copy(image, tmp_path / folder.name)
    result = edge.json("evaluate", out / NAMES["int8"], "--data", tmp_path)
    assert result["score"]["images"] == 8
    assert result["notes"] == ["not the data that this model was made with: all of them are new to it"]


def test_evaluate_repeats_what_convert_found_and_finds_the_normalisation_without_a_manifest(
    converted, edge, image_folder, tmp_path
):
    out, document = converted
    top1 = {model["file"]: model["score"]["top1"] for model in document["models"]}
    result = edge.json("evaluate", out / NAMES["int8"], "--data", image_folder)
    assert result["score"]["top1"] == top1[NAMES["int8"]]
    assert "manifest" in result["why"]
    assert result["on"] == "local"
    shutil.copy(out / NAMES["float32"], tmp_path / "alone.tflite")
    alone = edge.json("evaluate", tmp_path / "alone.tflite", "--data", image_folder)
    assert alone["why"].startswith("-1..1: ")
    assert alone["score"]["top1"] == top1[NAMES["float32"]]
    assert (
        "most confused" in edge("evaluate", out / NAMES["int8"], "--normalize", "0..1", "--data", image_folder).stdout
    )


def test_models_lists_the_zoo(edge):
    assert {entry["name"] for entry in edge.json("models")["models"]} >= {"mobilenet", "mobilenet_v2"}


def test_init_writes_a_recipe_of_defaults_and_overwrites_nothing(edge, tmp_path):
    from tflite_edge.records.recipe import ModelSource, Recipe, read_recipe

    edge("init", "mobilenet", "-o", tmp_path / "r.toml")
    assert read_recipe(str(tmp_path / "r.toml")) == Recipe(ModelSource("mobilenet"))
    assert "exists already" in edge("init", "-o", tmp_path / "r.toml", code=2).stderr


def test_init_for_a_file_asks_for_its_data_and_never_takes_the_digits(edge, model_file, tmp_path):
    from tflite_edge.records.recipe import read_recipe

    done = edge("init", model_file, "-o", tmp_path / "f.toml")
    assert "name your data in it" in " ".join(done.stdout.split())
    assert Path(read_recipe(str(tmp_path / "f.toml")).model.file).samefile(model_file)
    assert "no data called" in edge("convert", tmp_path / "f.toml", "-o", tmp_path / "o", code=3).stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["convert", "mobilenett"], 3, "did you mean 'mobilenet'"),
        (["convert", "none.h5", "--data", "digits"], 3, "no model file none.h5"),
        (["convert", "none.h5"], 3, "which data is none.h5 for?"),
        (["init", "none.h5"], 3, "no model file none.h5"),
        (["init", "mobilenett"], 3, "did you mean 'mobilenet'"),
        (["convert", "mobilenet", "--quantize", "float32", "--io", "uint8"], 2, "--io is the input and output type"),
        (["bench", "none.tflite", "--deadline", "-1"], 2, "-1"),
        (["bench", "none.tflite", "--deadline", "nan"], 2, "nan is no number"),
        (["bench", "none.tflite", "--deadline", "inf"], 2, "inf is not in the range"),
        (["bench", "none.tflite", "--threads", "4000000000"], 3, "threads and batch are at most 65,536"),
        (["convert", "none.toml"], 3, "cannot read the recipe"),
        (["convert", "mobilenet", "--quantize", "int4"], 2, "unknown quantisation 'int4'"),
        (["convert", "mobilenet", "--data", "digit"], 3, "did you mean 'digits'"),
        (["convert", "mobilenet", "--calibration-samples", "0"], 2, "at least 1"),
        (["convert", "mobilenet", "--calibration-samples", "4"], 3, "too few calibration samples"),
        (["convert", "mobilenet", "--input", "8,8,1"], 3, "cannot take an input of"),
        (["convert", "mobilenet", "--input", "a,b"], 2, "HEIGHT,WIDTH,CHANNELS"),
        (["convert", "mobilenet", "-o", "/proc/x"], 4, "cannot write /proc/x"),
        (["convert", "mobilenet", "--optimize", ""], 2, "a step has no name"),
        (["convert", "mobilenet", "--optimize", "prune=2"], 2, "sparsity must be in (0, 1), not 2"),
        (["convert", "mobilenet", "--optimize", "cluster=16.5"], 2, "must be a whole number"),
        (["convert", "mobilenet", "--optimize", "qat,prune"], 2, "order them prune, qat"),
        (["convert", "mobilenet", "--optimize", "qat", "--quantize", "float16"], 2, "qat trains for int8"),
        (["convert", "mobilenet", "--max-drop", "nan"], 2, "max_drop must be a number"),
        (["convert", "mobilenet", "--optimize", "distill=mobilenet_v"], 3, "did you mean 'mobilenet_v2'"),
        (["convert", "mobilenet", "--optimize", "cluster=99999999"], 3, "cluster applies to no layer"),
        (["conver", "mobilenet"], 2, "did you mean 'convert'"),
        (["convert"], 2, "Missing argument"),
        (["bench", "none.tflite"], 3, "none.tflite"),
        (["evaluate", "none.tflite"], 3, "none.tflite"),
        (["inspect", "."], 3, "error: "),
    ],
)
def test_bad_input_gets_one_clear_error_and_its_exit_code(edge, arguments, code, message, tmp_path):
    done = edge(*arguments, code=code, cwd=tmp_path)
    assert message in done.stderr
    assert done.stdout == ""


def test_a_model_that_does_not_fit_the_data_is_refused(edge, model_file, tmp_path):
    assert (
        "does not answer for these classes"
        in edge("convert", model_file, "--data", "digits", code=3, cwd=tmp_path).stderr
    )
    x = np.zeros((60, 5), np.float32)
    np.savez(tmp_path / "flat.npz", x=x, y=np.arange(60) % 4)
    done = edge("convert", model_file, "--data", tmp_path / "flat.npz", code=3, cwd=tmp_path)
    assert "samples of [5], but the model takes [12, 12, 3]" in done.stderr


def test_a_broken_promise_is_degraded_named_and_can_be_accepted(edge, model_file, image_folder, tmp_path):
    arguments = [
        "convert",
        model_file,
        "--data",
        image_folder,
        "--quantize",
        "dynamic",
        "-o",
        tmp_path / "d",
        "--normalize",
        "0..1",
    ]
    document = edge.json(*arguments, "--max-drop", "-100", code=1)
    assert document["verdict"] == "degraded"
    assert "the gate allows -100" in document["models"][0]["findings"][0]["what"]
    assert edge.json(*arguments, "--max-drop", "-100", "--accept-degraded")["verdict"] == "degraded"


def test_one_impossible_variant_is_recorded_and_the_others_are_made(edge, tmp_path, digits):
    from tflite_edge.tf.quiet import quiet

    with quiet():
        import tf_keras

        model = tf_keras.Sequential(
            [tf_keras.Input((8, 8, 8, 1)), tf_keras.layers.Conv3D(2, 8), tf_keras.layers.Flatten()]
        )
        model.save(tmp_path / "cubes.h5")
    x = np.random.default_rng(0).normal(size=(60, 8, 8, 8, 1)).astype(np.float32)
    np.savez(tmp_path / "cubes.npz", x=x, y=np.arange(60) % 2)
    out = tmp_path / "out"
    document = edge.json(  # CONV_3D has no 16x8 kernel
        "convert",
        tmp_path / "cubes.h5",
        "--data",
        tmp_path / "cubes.npz",
        "--quantize",
        "float32,int16x8",
        "-o",
        out,
        code=3,
    )
    assert [model["verdict"] for model in document["models"]] == ["ok", "failed"]
    assert [path.name for path in out.glob("*.tflite")] == ["cubes-float.tflite"]


def test_ctrl_c_while_training_leaves_earlier_results_alone_and_a_second_run_goes_on(edge, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mobilenet-float.tflite").write_bytes(b"an earlier result")
    recipe = tmp_path / "r.toml"
    recipe.write_text('[model]\nname = "mobilenet"\ninput = [32, 32, 1]\n[train]\nepochs = 400\n')
    environment = {**os.environ, "TFLITE_EDGE_CACHE": str(tmp_path / "cache")}
    child = subprocess.Popen(
        [edge.path, "convert", recipe, "-o", out],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    for line in child.stderr:
        if line.startswith("train"):
            break
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert (out / "mobilenet-float.tflite").read_bytes() == b"an earlier result"
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
    assert not list((tmp_path / "cache" / "weights").glob("*.tmp*"))


def test_a_model_no_step_can_train_leaves_an_earlier_result_alone(edge, converted, model_file, image_folder, tmp_path):
    out = shutil.copytree(converted[0], tmp_path / "out")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    recipe = tmp_path / "r.toml"
    for table, message in (
        ('step = "prune"\nlayers = ["nothing_*"]', "no layer matches 'nothing_*'"),
        ('step = "prune"\npattern = "1x99"', "has no two blocks of 1x99"),
        ('step = "channels"\nmacs = 1', "cannot get this model down to 1 macs"),
        ('step = "distill"\nteacher = "none.h5"', f"no teacher file {tmp_path / 'none.h5'}"),
    ):
        recipe.write_text(f'[model]\nfile = "{model_file}"\n[data]\nsource = "{image_folder}"\n[[optimize]]\n{table}\n')
        done = edge("convert", recipe, "-o", out, code=3)
        assert message in done.stderr
        assert "  do: " in done.stderr
        assert done.stdout == ""
        assert "0/8" not in done.stderr, "a step has begun to train"
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_ctrl_c_in_a_step_leaves_nothing_half_done_and_a_second_run_goes_on(edge, model_file, image_folder, tmp_path):
    out, cache = tmp_path / "out", tmp_path / "cache"
    recipe = tmp_path / "r.toml"
    text = f'[model]\nfile = "{model_file}"\n[data]\nsource = "{image_folder}"\n[convert]\nquantize = ["float32"]\n'
    recipe.write_text(text + '[gates]\nmax_drop = 100.0\n[tune]\nepochs = 10\n[[optimize]]\nstep = "prune"\n')
    environment = {**os.environ, "TFLITE_EDGE_CACHE": str(cache)}
    child = subprocess.Popen(
        [edge.path, "convert", recipe, "-o", out], stderr=subprocess.PIPE, text=True, env=environment
    )
    for line in child.stderr:  # the talk of a step is heard while it works
        if line.startswith("prune 3/10"):
            break
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Traceback" not in stderr
    assert not out.exists(), "an empty folder looks like a result"
    assert not [path for path in (cache / "optimize").iterdir() if path.is_dir()]
    done = edge("convert", recipe, "-o", out, env=environment)
    assert "prune 10/10" in done.stderr
    assert "prune 1/10" not in done.stderr
    assert "-s5" in next(out.glob("small-float-s*.tflite")).name
    assert not list((cache / "backup").iterdir())


def test_a_run_killed_after_the_first_variant_finds_it_again(edge, model_file, image_folder, tmp_path):
    environment = {**os.environ, "TFLITE_EDGE_CACHE": str(tmp_path / "cache")}
    out = tmp_path / "out"
    command = [
        edge.path,
        "convert",
        model_file,
        "--data",
        image_folder,
        "--quantize",
        "float32,int8",
        "-o",
        out,
        "--max-drop",
        "10",
    ]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment)
    deadline = time.monotonic() + 120
    while not (out / NAMES["float32"]).exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.kill()
    child.communicate()
    made = list((tmp_path / "cache" / "flatbuffer").glob("*/model.tflite"))
    assert made
    stamp = min(path.stat().st_mtime_ns for path in made)
    document = json.loads(
        subprocess.run(
            [*command, "--format", "json"], capture_output=True, text=True, env=environment, check=True
        ).stdout
    )
    assert document["complete"]
    kept = [
        path for path in (tmp_path / "cache" / "flatbuffer").glob("*/model.tflite") if path.stat().st_mtime_ns == stamp
    ]
    assert len(kept) == 1


def test_a_crashing_interpreter_is_exit_code_5_and_not_a_dead_parent(edge, tmp_path):
    from tests.harness import tiny

    (tmp_path / "wild.tflite").write_bytes(tiny.wild_offset(tiny.dense()))
    done = edge("bench", tmp_path / "wild.tflite", "--runtime", "tflite-runtime", code=5)
    assert "SIGSEGV" in done.stderr
    assert re.search(r"do: .+", done.stderr)


def test_a_deadline_ends_a_hanging_run(edge, converted):
    done = edge("bench", converted[0] / NAMES["int8"], "--runs", 10**9, "--deadline", "3", code=5)
    assert "did not finish within 3 s" in done.stderr


def test_the_python_api_does_what_its_docstring_shows(tmp_path, model_file, image_folder):
    import tflite_edge as edge

    recipe = edge.recipe_for(str(model_file), {"data.source": str(image_folder), "gates.max_drop": 10.0})
    manifest = edge.convert(recipe, out=tmp_path / "api")
    assert manifest.verdict == "ok"
    path = tmp_path / "api" / manifest.models[-1].file
    assert edge.inspect(path).scheme == "static-wi8ai8"
    assert edge.evaluate(path).score.top1 == manifest.models[-1].score.top1
    assert edge.bench(edge.Job("bench", str(path))).median_s > 0
