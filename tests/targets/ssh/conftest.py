from __future__ import annotations

import os

import pytest

from tests.harness import tiny
from tests.targets.ssh.server import Server, sshd_path


@pytest.fixture
def server(tmp_path_factory, monkeypatch):
    """A real sshd, and our `ssh` first on the PATH."""
    if sshd_path() is None:
        pytest.skip("there is no sshd: apt install openssh-server")
    made = Server(tmp_path_factory.mktemp("sshd"))
    monkeypatch.setenv("PATH", f"{made.client}:{os.environ['PATH']}")
    yield made
    made.stop()


@pytest.fixture
def dense(tmp_path):
    path = tmp_path / "dense.tflite"
    path.write_bytes(tiny.dense())
    return path
