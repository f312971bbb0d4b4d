"""scripts/pi_benchmark.sh, here and on a board behind a real OpenSSH server."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "pi_benchmark.sh"


def run(folder, *words, code=0):
    done = subprocess.run(
        ["sh", str(SCRIPT), *map(str, words)], check=False, cwd=folder, capture_output=True, text=True, timeout=200
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


def test_on_the_board_itself(dense, tmp_path, monkeypatch):
    import sys

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
