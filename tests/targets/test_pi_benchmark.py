"""The script for the board, started as a user starts it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tflite_edge
from tests.harness import tiny
from tflite_edge.artifact import sha256

ROOT = Path(tflite_edge.__file__).parent.parent
SCRIPT = ROOT / "scripts" / "pi_benchmark.py"


def start(*argv, script=SCRIPT):
    return subprocess.run([sys.executable, script, *map(str, argv)], capture_output=True, text=True, check=False)


@pytest.fixture
def build(tmp_path):
    """A folder as `tflite-edge convert` leaves it: two models, samples and the manifest."""
    (tmp_path / "tiny-float.tflite").write_bytes(tiny.dense())
    (tmp_path / "tiny-static-wi8ai8.tflite").write_bytes(tiny.dense_int8())
    x = np.array([[255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 255, 0], [0, 0, 255, 0]], np.uint8)
    reference = (x.astype(np.float32) / 255) @ tiny.WEIGHTS.T + tiny.BIAS
    np.savez(tmp_path / "samples.npz", x=x, y=np.array([0, 1, 2, 1]), reference=reference)
    write_manifest(tmp_path)
    return tmp_path


def write_manifest(folder, **changes):
    models = [{"file": path.name, "sha256": sha256(path), "baked": False} for path in folder.glob("*.tflite")]
    manifest = {
        "preprocess": {"size": None, "channels": 3, "mean": [0.0], "std": [255.0]},
        "models": models,
        "samples_sha256": sha256(folder / "samples.npz"),
    }
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def test_a_folder_is_measured_and_scored(build, tmp_path):
    out = tmp_path / "out.json"
    done = start(build, "--runs", 5, "--workers", 2, "--json", out)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["board", "cpu", "os", "governor", "throttled"]
    rows = [line for line in lines if line.startswith("tiny-") and ": " not in line]
    assert len(rows) == 2
    assert all(len(row) <= 100 and row.split()[-2:] == ["75.00%", "100.00%"] for row in rows)
    document = json.loads(out.read_text())
    assert (document["schema"], len(document["models"])) == (1, 2)
    first = document["models"][0]
    assert first["error"] is None
    assert len(first["bench"]["samples_s"]) >= 5
    assert first["score"]["top1"] == 0.75


def test_one_broken_model_does_not_stop_the_others(build, tmp_path):
    (build / "broken.tflite").write_bytes(tiny.unary(version=99))
    out = tmp_path / "out.json"
    done = start(build, "--runs", 5, "--json", out)
    assert done.returncode == 1
    assert "broken.tflite: error: " in done.stdout
    found = {Path(model["file"]).name: model for model in json.loads(out.read_text())["models"]}
    assert found["broken.tflite"]["error"]["exit_code"] == 3
    assert found["tiny-float.tflite"]["score"]["top1"] == 0.75


def test_a_baked_model_gets_raw_values(build):
    write_manifest(build, models=[{"file": "x", "sha256": sha256(build / "tiny-float.tflite"), "baked": True}])
    done = start(build / "tiny-float.tflite", "--runs", 5)
    assert done.returncode == 0, done.stderr
    assert "75.00%" in done.stdout


def test_a_model_or_samples_of_another_run_are_not_scored(build):
    (build / "tiny-float.tflite").write_bytes(tiny.unary())
    np.savez(build / "other.npz", x=np.zeros((2, 4), np.uint8))
    done = start(build / "tiny-float.tflite", "--runs", 5)
    assert "not scored: no manifest.json beside it that was made with it" in done.stdout
    (build / "other.npz").replace(build / "samples.npz")
    assert "not scored" in start(build / "tiny-static-wi8ai8.tflite", "--runs", 5).stdout


def test_a_place_that_cannot_be_written_is_said_before_measuring(build):
    done = start(build, "--json", build / "none" / "x.json")
    assert done.returncode == 4
    assert "cannot write" in done.stderr
    assert "measuring" not in done.stderr


def test_without_samples_or_manifest_it_says_why_there_is_no_score(build):
    (build / "manifest.json").unlink()
    assert "not scored: no manifest.json" in start(build, "--runs", 5).stdout
    (build / "samples.npz").unlink()
    assert "not scored: no samples.npz" in start(build, "--runs", 5).stdout


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        (lambda folder: [folder / "none.tflite"], 3),
        (lambda folder: [folder / "manifest.json"], 3),
        (lambda folder: [folder / "tiny-float.tflite", "--threads", "0"], 2),
        (lambda folder: [folder / "tiny-float.tflite", "--runs", "1000000000", "--deadline", "1"], 5),
    ],
)
def test_exit_codes(build, prepare, code):
    assert start(*prepare(build)).returncode == code


def test_no_runtime_is_4(build, tmp_path):
    """Python without site-packages has neither NumPy nor a runtime, and so have its children."""
    wrapper = tmp_path / "bare.py"
    wrapper.write_text(
        f"import runpy, sys\nsys.executable = {str(tmp_path / 'python')!r}\n"
        f"sys.argv[0] = {str(SCRIPT)!r}\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    done = start(build, script=wrapper)
    assert done.returncode == 4
    assert "NumPy cannot be imported" in done.stdout


def test_a_bad_manifest_is_told(build):
    (build / "manifest.json").write_text('{"models": 3}')
    done = start(build / "tiny-float.tflite", "--runs", 5)
    assert done.returncode == 3
    assert "not a manifest" in done.stdout


def test_a_copied_folder_will_do(build, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "tflite_edge", copy / "tflite_edge", ignore=shutil.ignore_patterns("__pycache__", "tf"))
    shutil.copytree(ROOT / "scripts", copy / "scripts")
    done = start(build / "tiny-float.tflite", "--runs", 5, script=copy / "scripts" / "pi_benchmark.py")
    assert done.returncode == 0, done.stderr


def test_help_has_examples():
    done = start("--help")
    assert done.returncode == 0
    assert "python3 scripts/pi_benchmark.py build/mobilenet" in done.stdout
