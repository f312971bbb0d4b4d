from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.targets.ssh.conftest import server  # noqa: F401 - a fixture


def test_this_machine(edge):
    done = subprocess.run([edge.path, "doctor", "--format", "json"], check=False, capture_output=True, text=True)
    document = json.loads(done.stdout)
    points = {point["what"]: point for point in document["points"]}
    assert points["wheel that fits"]["ok"]
    assert points["NumPy"]["found"].startswith(np.__version__)
    assert done.returncode == any(point["ok"] is False for point in points.values())


def test_a_board_without_a_runtime_and_one_with_it(edge, server):  # noqa: F811 - the fixture
    fine = {point["what"]: point for point in edge.json("doctor", "--on", server.url)["points"]}
    assert fine["runtime"]["ok"]
    server.python("/usr/bin/python3", "-S")
    lacking = edge.json("doctor", "--on", server.url, code=1)
    bad = {point["what"]: point for point in lacking["points"] if point["ok"] is False}
    assert bad["runtime"]["do"] == f"tflite-edge doctor --on {server.url} --install"
    named = f"{server.url}?python=python3"
    assert "would not be it" in edge("doctor", "--on", named, "--install", code=2).stderr
    lacking = edge.json("doctor", "--on", named, code=1)
    assert bad["runtime"] in lacking["points"]  # the cure is one that is not refused


def test_what_it_does_not_look_at(edge):
    assert "emulator status" in edge("doctor", "--on", "emulator:pi4", code=2).stderr
    assert "--install is for a board" in edge("doctor", "--install", code=2).stderr


@pytest.mark.slow
def test_a_runtime_is_installed_into_a_venv_of_ours(edge, server):  # noqa: F811 - the fixture
    server.python(sys._base_executable, "-s")
    done = edge.json("doctor", "--on", server.url, "--install")
    assert any("pip install ai-edge-litert==" in line for line in done["installed"])
    python = next(point["found"] for point in done["points"] if point["what"] == "Python")
    assert str(server.home / ".local/share/tflite-edge/venv") in python
    assert edge.json("doctor", "--on", server.url, "--install")["installed"] == []
