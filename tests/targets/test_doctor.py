"""What NumPy a board is told to take."""

from __future__ import annotations

import pytest

from tflite_edge.targets.doctor import look_there
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
        ("aarch64", "3.11.2", {}, 'python3 -m pip install "numpy<2"'),
        ("aarch64", "3.13.1", {}, "python3 -m pip install numpy"),
        ("armv7l", "3.11.2", {}, APT),
        ("armv7l", "3.13.1", {}, APT),
        ("armv7l", "3.11.2", {"numpy": "2.1.0"}, f"python3 -m pip uninstall -y numpy && {APT}"),
        ("aarch64", "3.11.2", {"numpy": "2.1.0", **LITE}, 'python3 -m pip install "numpy<2"'),
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
