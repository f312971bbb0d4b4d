"""What NumPy a board is told to take."""

from __future__ import annotations

import platform
import struct

import pytest

from tflite_edge.targets.doctor import _python, look_here, look_there
from tflite_edge.targets.ssh.probe import Probe, Python

APT = "sudo apt install -y python3-numpy python3-venv"
LITE = {"tflite-runtime": "2.14.0"}


def numpy_of(machine, version, found, trouble=None):
    python = Python("python3", machine, "2.36", version, found, trouble or {})
    points = look_there(Probe("Pi", "Debian", "Linux", "performance", 2**40, [python]), "install")
    return next(point for point in points if point.what == "NumPy")


@pytest.mark.parametrize(
    ("machine", "version", "found", "cure"),
    [
        ("aarch64", "3.11.2", {}, "install"),  # pip may not: Raspberry Pi OS is externally managed
        ("aarch64", "3.13.1", {}, "install"),
        ("armv7l", "3.11.2", {}, APT),
        ("armv7l", "3.13.1", {}, APT),
        ("armv7l", "3.11.2", {"numpy": "2.1.0"}, f"python3 -m pip uninstall -y numpy && {APT}"),
        ("aarch64", "3.11.2", {"numpy": "2.1.0", **LITE}, "python3 -m pip install 'numpy<2'"),
    ],
)
def test_the_cure_fits_the_board(machine, version, found, cure):
    point = numpy_of(machine, version, found)
    assert (point.ok, point.do) == (False, cure)


def test_tflite_runtime_that_does_not_import_beside_numpy_2_is_named():
    point = numpy_of("aarch64", "3.11.2", {"numpy": "2.1.0"}, {"tflite-runtime": "it was built with NumPy 1"})
    assert (point.ok, point.found) == (False, "2.1.0, must be below 2 for tflite-runtime")


@pytest.mark.parametrize("found", [{"numpy": "2.1.0", "ai-edge-litert": "2.3.0"}, {"numpy": "1.26.4", **LITE}])
def test_what_is_well_has_no_cure(found):
    point = numpy_of("aarch64", "3.11.2", found)
    assert (point.ok, point.do) == (True, "")


@pytest.mark.parametrize(
    ("found", "cure"), [({}, "numpy"), ({"ai-edge-litert": "2.3.0"}, "numpy"), (LITE, "'numpy<2'")]
)
def test_here_pip_mends_numpy(found, cure):
    python = Python("python3", "x86_64", "2.36", "3.11.2", found)
    assert _python(python)[-1].do == f"python3 -m pip install {cure}"


def test_a_32_bit_system_under_a_64_bit_kernel_is_armv7l(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(struct, "calcsize", lambda code: 4)
    assert look_here()[0].found.startswith(f"{platform.python_version()} on armv7l")


def test_a_named_python_that_does_not_start():
    probe = Probe("Pi", "Debian", "Linux", "performance", 2**40, [])
    cures = [look_there(probe, "install", asked)[1].do for asked in ("/no/such", "")]
    assert cures == ["name one that is there: ?python=PATH", "there: sudo apt install python3 python3-venv"]
