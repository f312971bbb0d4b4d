"""Where trials run: a cluster of this machine whose worker dies under one trial again and again."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tflite_edge.records.errors import UsageError
from tflite_edge.search.pool import Cluster, about

CODE = """
import queue
from contextlib import closing
from tests.search import test_pool
from tflite_edge.search import pool

if __name__ == "__main__":
    pool.run = test_pool.kills
    said = queue.Queue()
    with closing(pool.Cluster(1)) as cluster:
        assert cluster.size == 1
        cluster.submit("a task", said.put)
        error = said.get(timeout=100).error
        print(type(error).__name__, error.what)
        pool.run = test_pool.answers
        cluster.submit("a task", said.put)
        print(said.get(timeout=100))
"""


def kills(task):
    os.kill(os.getpid(), signal.SIGKILL)


def answers(task):
    return f"{task} was done, with {os.environ.get('OMP_NUM_THREADS')} threads"


def test_a_trial_that_kills_its_worker_is_begun_once_more_then_failed_and_the_next_one_runs():
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["TargetError its worker died 2 times", "a task was done, with None threads"]
    assert "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    "address",
    ["tls://127.0.0.1:1", "ucx://127.0.0.1:1", "nonsense", "inproc://x", "tcp://127.0.0.1:x", "tcp://:1", "tcp://[::1"],
)
def test_what_is_no_scheduler_is_refused_at_once(address):
    """Dask's own client is not begun: a half-made one takes 20 s to be let go."""
    with pytest.raises(UsageError, match="is no scheduler that can be asked") as refused:
        Cluster(1, address)
    assert "tcp://HOST:8786" in refused.value.do


def test_what_a_worker_is_asked_for_is_what_bytes_depend_on():
    assert {"tflite-edge", "python", "tensorflow", "tf-keras", "numpy"} <= set(about())
