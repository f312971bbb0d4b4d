"""The arena that TFLite Micro needs, measured where its package is installed, and the estimate beside it."""

import importlib.util
import sys
import time
from pathlib import Path

import pytest

from tests.flatbuffer import real
from tflite_edge.deploy import mcu
from tflite_edge.targets import micro

needs_micro = pytest.mark.skipif(importlib.util.find_spec("tflite_micro") is None, reason="needs tflite-micro")


@needs_micro
def test_the_arena_that_is_measured_is_the_smallest_and_below_the_estimate():
    found, how = micro.smallest_arena(real.PATH)
    assert found % micro.STEP_BYTES == 0
    assert "TFLite Micro 0." in how
    assert found < mcu.estimated_arena(real.PATH)[0] < 4 * found
    assert mcu.arena_of(real.PATH)[0] == found
    assert mcu.arena_of(real.PATH)[1].startswith("measured: ")


@needs_micro
def test_what_does_not_start_is_no_measurement(tmp_path):
    (tmp_path / "broken.tflite").write_bytes(real.PATH.read_bytes()[:4000])
    found, why = micro.smallest_arena(tmp_path / "broken.tflite")
    assert found is None
    assert why


def test_without_the_package_the_estimate_says_what_it_is():
    found, why = micro.smallest_arena(real.PATH, python="/usr/bin/env")  # a program that is no Python
    assert (found, "TFLite Micro cannot be asked" in why) == (None, True)
    bytes_, why = mcu.arena_of(real.PATH, python="/usr/bin/env")
    assert bytes_ == mcu.estimated_arena(real.PATH)[0]
    assert why.startswith("an estimate: ")
    assert "not measured: " in why


def test_a_measurement_that_does_not_end_is_none(tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    program.chmod(0o755)
    assert micro.smallest_arena(real.PATH, python=str(program), deadline_s=0.2) == (
        None,
        "TFLite Micro gave no answer within 0.2 s",
    )


def test_what_a_measurement_started_ends_with_it(tmp_path):
    """Each try of an arena is a fork of its own."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nsleep 30 &\necho $! > {tmp_path}/pid\nwait\n")
    program.chmod(0o755)
    start = time.monotonic()
    assert micro.smallest_arena(real.PATH, python=str(program), deadline_s=1.0)[0] is None
    assert time.monotonic() - start < 10
    pid = (tmp_path / "pid").read_text().strip()
    state = Path(f"/proc/{pid}/stat")
    while state.exists() and state.read_text().split()[2] != "Z" and time.monotonic() - start < 10:
        time.sleep(0.01)
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_no_module_of_the_folder_that_the_user_stands_in_is_run(tmp_path, monkeypatch):
    """By the Python below a virtual environment, which need not have TFLite Micro."""
    (tmp_path / "json.py").write_text("open('ran', 'w')\nraise ImportError")
    monkeypatch.chdir(tmp_path)
    micro.smallest_arena(real.PATH, python=str(Path(sys.executable).resolve()))
    assert not (tmp_path / "ran").exists()
