"""`convert --trainable`, `learn` and `average` through the installed command."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.deploy.board import Home
from tflite_edge.deploy.build import open_build
from tflite_edge.deploy.bundle import own_files
from tflite_edge.records.board import BOARDS


@pytest.fixture(scope="module")
def trainable(tmp_path_factory, edge, model_file, image_folder):
    """The folder and the document of a conversion whose recipe asks for two spare outputs."""
    out = tmp_path_factory.mktemp("trainable")
    recipe = out / "small.toml"
    recipe.write_text(
        f'[model]\nfile = "{model_file}"\n[data]\nsource = "{image_folder}"\n'
        '[convert]\nquantize = ["float32", "int8"]\n[head]\nspare_classes = 1\nbatch = 8\nlearning_rate = 0.01\n'
        "[gates]\nmax_drop = 10.0\n"
    )
    return out / "made", edge.json("convert", recipe, "--trainable", "-o", out / "made")


def with_turned(image_folder, photos):
    """`photos`: the images, and a fifth class of them."""
    shutil.copytree(image_folder, photos)
    (photos / "turned").mkdir()
    for path in (image_folder / "b-one").glob("*.png"):
        with Image.open(path) as image:
            turned = image.rotate(90)
        turned.save(photos / "turned" / path.name)


@pytest.mark.slow
def test_convert_makes_and_proves_what_learns(trainable):
    folder, document = trainable
    assert document["verdict"] == "ok"
    made = {model["scheme"]: model for model in document["models"]}
    assert list(made) == ["float", "static-wi8ai8", "trainable-float", "trainable-static-wi8ai8"]
    one, pair = made["trainable-float"], made["trainable-static-wi8ai8"]
    assert one["file"] == "small-trainable-float.tflite"
    assert one["features"] == ""
    assert pair["file"] == "small-trainable-head-float.tflite"
    assert pair["features"] == "small-trainable-features-static-wi8ai8.tflite"
    assert pair["bytes"] == sum((folder / pair[key]).stat().st_size for key in ("file", "features"))
    for model in (one, pair):
        assert model["learning"]["exact"]
        assert model["learning"]["epochs"][-1]["loss"] < model["learning"]["start"]["loss"]
        assert model["score"]["agreement"] > 0.9
    assert one["score"]["max_difference"] < 1e-4


@pytest.mark.slow
def test_learn_and_average(trainable, edge, image_folder, tmp_path):
    """A fifth class that the model has never seen, on two boards, and one head of both."""
    folder, _ = trainable
    photos = tmp_path / "photos"
    with_turned(image_folder, photos)
    for name in ("float", "head-float"):
        model = folder / f"small-trainable-{name}.tflite"
        heads = []
        for board, seed in (("a", 1), ("b", 2)):
            heads.append(tmp_path / f"{name}-{board}.npz")
            learnt = edge.json("learn", model, "--data", photos, "--seed", seed, "--epochs", 15, "-o", heads[-1])
            assert learnt["verdict"] == "ok"
            assert learnt["new_classes"] == [4]
            assert learnt["after"]["top1"] > learnt["before"]["top1"]
        mean = tmp_path / f"{name}-mean.npz"
        averaged = edge.json("average", *heads, "-o", mean)
        assert averaged["samples"] == sum(edge.json("average", head, head, "-o", mean)["samples"] for head in heads) / 2
        assert averaged["labels"] == ["a-zero", "b-one", "c-two", "d-three", "turned"]
        edge("average", *heads, "-o", mean)
        scored = edge.json("learn", model, "--data", photos, "--head", mean, "--epochs", 0)
        assert scored["before"]["top1"] > 0.8
        text = edge("learn", model, "--data", photos, "--head", mean, "--epochs", 1, code=None).stdout
        assert "held-out top-1 %" in text
        assert all(len(line) <= 100 for line in text.splitlines())


@pytest.mark.slow
def test_modes_are_of_models_that_do_not_learn_and_those_that_do_have_names_of_their_own(trainable, edge, tmp_path):
    folder, _ = trainable
    for name, file in (
        ("float32", "small-float.tflite"),
        ("int8", "small-static-wi8ai8.tflite"),
        ("trainable-float", "small-trainable-float.tflite"),
        ("small-trainable-float.tflite", "small-trainable-float.tflite"),
        ("trainable", "small-trainable-float.tflite"),
    ):
        assert open_build(folder, name).variant.file == file
    one = ("package", folder, "--model", "trainable-float", "-o", tmp_path)
    assert "Micro does not" in edge(*one, "--for", "mcu", code=2).stderr
    assert "an Edge TPU does not" in edge(*one, "--for", "coral-usb", code=2).stderr


@pytest.mark.slow
def test_a_bundle_learns_and_answers_with_its_head(trainable, image_folder, tmp_path):
    """A class that the model has never seen, taught on the board and recognised there."""
    bundle, photos = tmp_path / "bundle", tmp_path / "photos"
    bundle.mkdir()
    build = open_build(trainable[0], "trainable-float")
    for name, content in own_files(build, BOARDS["pi4"], "ai-edge-litert")[1].items():
        (bundle / name).write_bytes(content)
    with_turned(image_folder, photos)
    (photos / "turned" / "torn.png").write_bytes(b"no image")

    def classify(*words, code=0):
        command = [sys.executable, "-I", bundle / "app.pyz", *words]
        environment = {**os.environ, "TFLITE_EDGE_BUNDLE": str(bundle)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    assert classify("--smoke")[0][0]["verdict"] == "ok"
    assert classify("--info")[0][0]["labels"][4:] == ["spare 1"]
    (learnt,), told = classify("learn", "photos", "--epochs", "15")
    assert "left out" in told
    assert (learnt["out"], learnt["new_classes"]) == ("head.npz", [4])
    assert learnt["after"]["top1"] > learnt["before"]["top1"]
    for head, share in (((), 0.0), (("--head", "head.npz"), 0.8)):
        lines, _ = classify(*head, "photos/turned", code=3)  # torn.png
        right = [line["label"] == "turned" for line in lines if "error" not in line]
        assert np.mean(right) >= share
        assert head or not any(right)
    first = classify("--head", "head.npz", "photos/c-two")[0]
    assert np.mean([line["label"] == "c-two" for line in first]) > 0.8
    assert len(first[0]["top"]) == 5
    (tmp_path / "junk.npz").write_bytes(b"x")
    assert "not a file of saved weights" in classify("--head", "junk.npz", "photos", code=3)[1]
    before = (tmp_path / "head.npz").read_bytes()
    for words, says in (
        (("--learning-rate", "1e38"), "a smaller --learning-rate"),
        (("--learning-rate", "nan"), "must be above 0"),
        (("--epochs", "-1"), "epochs >= 0"),
        (("--head", "junk.npz"), "not a file of saved weights"),
    ):
        assert says in classify("learn", "photos", *words, code=3)[1]
    shutil.copytree(photos / "turned", photos / "unknown")
    told = classify("learn", "photos", code=3)[1]
    assert "'unknown'" in told
    assert "1 spare" in told  # which the head has given away
    assert (tmp_path / "head.npz").read_bytes() == before


@pytest.mark.slow
def test_an_installed_bundle_learns_on_an_emulated_board(trainable, boards, edge, image_folder, tmp_path, monkeypatch):
    """A lesson that is killed and goes on, what it comes to, and one that makes it worse and is taken back."""
    monkeypatch.setenv("TFLITE_EDGE_CACHE", str(boards))
    edge("package", trainable[0], "--for", "pi4", "--model", "trainable-float", "-o", tmp_path)
    home = Home(tmp_path / "home", "pi4", boards)
    home("tar", "xzf", tmp_path / "small-pi4.tar.gz")
    done = home(home.folder / "small-pi4" / "install.sh")
    assert done.returncode == 0, done.stderr
    with_turned(image_folder, home.folder / "photos")

    lesson = home.start("classify", "learn", "photos", "--epochs", "200")
    for line in lesson.stderr:
        if line.startswith("epoch 4/"):
            break
    lesson.kill()
    lesson.communicate(timeout=60)
    assert not (home.folder / "head.npz").exists()
    done = home("classify", "learn", "photos", "--epochs", "200")
    assert done.returncode == 0, done.stderr
    learnt = json.loads(done.stdout)
    assert 3 <= learnt["resumed"] < 200
    assert learnt["after"]["top1"] > learnt["before"]["top1"]
    assert learnt["runtime"]["machine"] == "aarch64"
    assert not list(home.folder.glob("*.checkpoint*"))

    turned = sorted((home.folder / "photos" / "turned").iterdir())[:10]
    answers = [json.loads(line) for line in home("classify", "--head", "head.npz", *turned).stdout.splitlines()]
    assert sum(answer["label"] == "turned" for answer in answers) >= 8

    names = ("a-zero", "b-one", "c-two", "d-three")
    for wrong, name in zip(names, reversed(names), strict=True):
        shutil.copytree(image_folder / name, home.folder / "lies" / wrong)
    before = (home.folder / "head.npz").read_bytes()
    done = home("classify", "learn", "lies", "--epochs", "1", "--learning-rate", "1e-9")
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["rolled_back"]
    assert (home.folder / "head.npz").read_bytes() == before


@pytest.mark.slow
def test_a_bundle_that_cannot_learn_says_so(unpacked, image_folder):
    app = [sys.executable, "-I", unpacked / "app.pyz"]
    for words in (["learn", "--bundle", unpacked, image_folder], ["--bundle", unpacked, "--head", "h.npz", "x.png"]):
        done = subprocess.run([*app, *words], capture_output=True, text=True, timeout=120)
        assert done.returncode == 2
        assert "cannot learn" in done.stderr


def test_what_cannot_learn_or_be_averaged_says_why(edge, tmp_path, teachable):
    model = teachable / "adam.tflite"
    assert "--normalize" in edge("learn", model, "--data", teachable / "new.npz", code=2).stderr
    good = tmp_path / "good.npz"
    learn = ("learn", model, "--data", teachable / "new.npz", "--normalize", "none", "--epochs", 2)
    edge(*learn, "-o", good)
    other = tmp_path / "other.npz"
    edge("learn", teachable / "other.tflite", *learn[2:], "-o", other)
    assert "different models" in edge("average", good, other, "-o", tmp_path / "mean.npz", code=3).stderr
    assert not (tmp_path / "mean.npz").exists()
    assert "two heads" in edge("average", good, "-o", tmp_path / "mean.npz", code=2).stderr
    np.savez(tmp_path / "junk.npz", kernel=np.zeros(3))
    assert "not a file of saved weights" in edge("average", good, tmp_path / "junk.npz", "-o", other, code=3).stderr
    # OUT is learnt on from, or refused: never begun anew over what was there.
    assert "not a file of saved weights" in edge(*learn, "-o", tmp_path / "junk.npz", code=3).stderr
    assert "has no classes" in edge("learn", model, "--data", _without_labels(tmp_path, teachable), code=3).stderr
    rolled = edge(*learn[:-2], "--head", good, "--learning-rate", 3.0, "--epochs", 1, "-o", other, "--format", "json",
                  code=None)  # fmt: skip
    assert json.loads(rolled.stdout)["rolled_back"] == (rolled.returncode == 1)


def _without_labels(folder, teachable):
    with np.load(teachable / "new.npz") as arrays:
        np.savez(folder / "bare.npz", x=arrays["x"])
    return folder / "bare.npz"


@pytest.mark.slow
def test_a_head_beside_its_int8_features_is_one_bundle(trainable, image_folder, tmp_path):
    """It answers, learns, answers with what it learnt, and takes no other features."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    build = open_build(trainable[0], "trainable-static-wi8ai8")
    card, files = own_files(build, BOARDS["pi4"], "ai-edge-litert")
    assert {card.model, card.features} == {build.variant.file, build.variant.features} <= set(files)
    for name, content in files.items():
        (bundle / name).write_bytes(content)

    def classify(*words, code=0):
        command = [sys.executable, "-I", bundle / "app.pyz", *words]
        environment = {**os.environ, "TFLITE_EDGE_BUNDLE": str(bundle)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    (told,), _ = classify("--smoke")
    assert (told["verdict"], told["largest_difference"]) == ("ok", 0.0)
    answers, _ = classify(image_folder / "c-two")
    assert np.mean([answer["label"] == "c-two" for answer in answers]) > 0.9
    photos = tmp_path / "photos"
    shutil.copytree(image_folder, photos)
    shutil.copytree(image_folder / "b-one", photos / "turned")
    for path in (photos / "turned").glob("*.png"):
        with Image.open(path) as image:
            turned = image.rotate(90)
        turned.save(path)
    (learnt,), _ = classify("learn", photos, "--epochs", "15")
    assert learnt["after"]["top1"] > learnt["before"]["top1"]
    answers, _ = classify("--head", "head.npz", photos / "turned")
    assert np.mean([answer["label"] == "turned" for answer in answers]) > 0.8
    features = bundle / card.features
    features.write_bytes(features.read_bytes()[:-1] + b"x")
    assert "is not the model that was packed" in classify("--smoke", code=3)[1]
