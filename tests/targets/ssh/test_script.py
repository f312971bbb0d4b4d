"""scripts/pi_benchmark.sh, here and on a board behind a real OpenSSH server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.harness import tiny
from tests.targets.ssh.test_ssh import SLOW, gone
from tflite_edge.artifact import sha256

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "pi_benchmark.sh"


def run(folder, *words, code=0, script=SCRIPT):
    done = subprocess.run(
        ["sh", str(script), *map(str, words)], check=False, cwd=folder, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done


def test_on_a_board(server, dense, tmp_path):
    (tmp_path / "it's odd").mkdir()
    odd = dense.rename(tmp_path / "it's odd" / "dense model.tflite")
    done = run(tmp_path, "127.0.0.1", odd.parent, "--", "--runs", "3")
    assert "dense model.tflite" in done.stdout
    document = json.loads((tmp_path / "pi_benchmark.json").read_text())
    assert document["models"][0]["bench"]["median_s"] > 0
    assert [path.name for path in server.home.iterdir() if path.name != ".cache"] == []


def test_ctrl_c_ends_the_benchmark_on_the_board(server, dense, tmp_path):
    server.script(server.bin / "python3", SLOW.format(python=sys.executable))
    script = subprocess.Popen(["sh", str(SCRIPT), "127.0.0.1", dense], cwd=tmp_path, start_new_session=True)
    slow, until = server.home / "slow", time.monotonic() + 30
    while not (slow.exists() and slow.read_text()) and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(script.pid, signal.SIGINT)
    assert script.wait(10) == 130
    assert gone(int(slow.read_text()))


def test_on_the_board_itself(dense, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "dense.tflite" in run(tmp_path, dense, "--", "--runs", "3").stdout
    assert json.loads((tmp_path / "pi_benchmark.json").read_text())["models"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [(["no.tflite"], 3, "there is no no.tflite"), (["-x"], 2, "is no host"), (["host", "none"], 3, "there is no none")],
)
def test_wrong_use(words, code, says, tmp_path):
    assert says in run(tmp_path, *words, code=code).stderr


def test_no_connection(server, dense, tmp_path):
    server.stop()
    assert "no connection" in run(tmp_path, "127.0.0.1", dense, code=5).stderr
    assert not (tmp_path / "pi_benchmark.json").exists()


def test_one_file_is_scored_with_what_lies_beside_it(server, tmp_path, monkeypatch):
    """By a URL with a port, as --on takes it."""
    model = tmp_path / "build" / "dense.tflite"
    model.parent.mkdir()
    model.write_bytes(tiny.dense())
    x = np.eye(3, 4, dtype=np.uint8) * 255
    np.savez(model.with_name("samples.npz"), x=x, y=(x / 255.0 @ tiny.WEIGHTS.T + tiny.BIAS).argmax(1))
    manifest = {
        "preprocess": {"size": None, "channels": 3, "mean": [0.0], "std": [255.0]},
        "models": [{"file": model.name, "sha256": sha256(model), "baked": False}],
        "samples_sha256": sha256(model.with_name("samples.npz")),
    }
    model.with_name("manifest.json").write_text(json.dumps(manifest))
    run(tmp_path, server.url, model, "--", "--runs", "3")
    (found,) = json.loads((tmp_path / "pi_benchmark.json").read_text())["models"]
    assert found["score"]["top1"] == 1.0
    assert not (tmp_path / "pi_benchmark.json.part").exists()


def test_a_result_that_cannot_be_written_is_said_before_measuring(server, dense, tmp_path, monkeypatch):
    monkeypatch.setenv("RESULT", str(tmp_path / "none" / "x.json"))
    done = run(tmp_path, "127.0.0.1", dense, code=4)
    assert "cannot write" in done.stderr
    assert done.stdout == ""


def test_all_of_build_is_what_has_models(dense, tmp_path, monkeypatch):
    """In a copy of the tree, whose build/ has a folder without a model, and a file."""
    for folder in ("tflite_edge", "scripts"):
        (tmp_path / folder).symlink_to(SCRIPT.parents[1] / folder)
    for name in ("a", "empty", "z"):
        (tmp_path / "build" / name).mkdir(parents=True)
    for name in ("a", "z"):
        (tmp_path / "build" / name / f"{name}.tflite").write_bytes(dense.read_bytes())
    (tmp_path / "build" / "empty" / "labels.txt").write_text("")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    run(tmp_path, "--", "--runs", "3", script=tmp_path / "scripts" / "pi_benchmark.sh")
    models = json.loads((tmp_path / "pi_benchmark.json").read_text())["models"]
    assert sorted(Path(model["file"]).name for model in models) == ["a.tflite", "z.tflite"]
