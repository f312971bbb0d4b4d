"""An anomaly detector from training to the board's answer, through the installed command."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """400 normal samples of 32 values, which four numbers explain, and 100 that they do not."""
    generator = np.random.default_rng(2)
    mixing = generator.normal(size=(4, 32))
    x = np.concatenate([generator.normal(size=(400, 4)) @ mixing, generator.normal(size=(100, 32)) * 2])
    path = tmp_path_factory.mktemp("machine") / "machine.npz"
    np.savez(path, x=x.astype(np.float32), y=np.repeat([0, 1], [400, 100]))
    return path


@pytest.fixture(scope="module")
def detector(machine, edge):
    recipe = machine.with_name("detector.toml")
    recipe.write_text(
        '[model]\nname = "autoencoder"\ninput = [32]\n[data]\nsource = "machine.npz"\ntask = "anomaly"\n'
        "[train]\nepochs = 30\nlearning_rate = 1e-2\n"
    )
    out = machine.with_name("out")
    return out, edge.json("convert", recipe, "-o", out, "--quantize", "float32,int8")


def test_it_tells_the_strange_from_the_normal_in_int8_too(detector):
    out, document = detector
    assert document["verdict"] == "ok"
    assert document["source"]["task"] == "anomaly"
    assert document["source"]["samples"] == {"train": 270, "calibration": 50, "test": 180}
    for model in document["models"]:
        score = model["score"]
        assert score["auc"] > 0.95
        assert score["reference_auc"] > 0.95
        assert model["drop"] == pytest.approx(100 * (score["reference_auc"] - score["auc"]))
        assert (score["top1"], score["agreement"], score["mae"]) == (None, None, None)
    with np.load(out / "samples.npz") as pack:
        assert str(pack["task"]) == "anomaly"


def test_evaluate_scores_the_same_with_the_manifest_and_without_it(detector, machine, edge, tmp_path):
    out, document = detector
    made = document["models"][1]
    beside = edge.json("evaluate", out / made["file"])
    assert beside["score"]["auc"] == made["score"]["auc"]
    alone = tmp_path / made["file"]
    alone.write_bytes((out / made["file"]).read_bytes())
    assert edge.json("evaluate", alone, "--data", machine, "--task", "anomaly")["score"]["auc"] == made["score"]["auc"]


def test_people_read_the_auc(detector, edge):
    out, document = detector
    said = edge("evaluate", out / document["models"][0]["file"], "--format", "human").stdout
    assert f"AUC of the reconstruction error {document['models'][0]['score']['auc']:.4f}" in said
    assert "AUC %" in edge("convert", out / "manifest.json", "-o", out.with_name("again"), "--format", "human").stdout


def test_the_wrong_task_is_refused_before_any_training(machine, edge, tmp_path):
    said = edge("convert", "autoencoder", "--input", "32", "--data", machine, "-o", tmp_path / "a", code=3).stderr
    assert "--task anomaly" in said
    options = ["--task", "anomaly", "--data", machine, "--input", "32,32,1"]
    assert "holds samples of [32]" in edge("convert", "resnet8", *options, "-o", tmp_path / "b", code=3).stderr
    assert not [name for name in ("a", "b") if (tmp_path / name).exists()], "a refused recipe leaves no folder"
    (tmp_path / "mine").mkdir()
    edge("convert", "autoencoder", "--input", "32", "--data", machine, "-o", tmp_path / "mine", code=3)
    assert (tmp_path / "mine").is_dir()
