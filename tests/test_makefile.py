"""What the Makefile would run, as make itself says."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_search_takes_its_limits_in_args():
    words = ["search", "MODEL=no-such-model", "ARGS=--max-bytes 100k"]
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "/tflite-edge search models/no-such-model.toml -o build/search-no-such-model --max-bytes 100k" in done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_package_does_not_give_its_own_options_to_convert():
    words = ["package", "MODEL=no-such-model", "TARGET=emulator:pi4", "ARGS=--sign key"]
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    convert, package = (line for line in done.stdout.splitlines() if "/tflite-edge " in line)
    assert "/tflite-edge convert models/no-such-model.toml" in convert
    assert "--sign" not in convert
    assert "--on" not in convert
    assert package.endswith("-o dist --sign key")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_report_makes_what_it_tells_of_where_that_is_not_there():
    words = ["report", "MODEL=no-such-model", "ARGS=-o public"]
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    convert, report = (line for line in done.stdout.splitlines() if "/tflite-edge " in line)
    assert "/tflite-edge convert models/no-such-model.toml" in convert
    assert "public" not in convert
    assert report.endswith("/tflite-edge report build/no-such-model -o public")
