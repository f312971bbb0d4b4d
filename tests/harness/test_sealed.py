"""Saved weights: whole or not at all, through a kill at any moment; damage is noticed."""

import signal
import subprocess
import sys

import numpy as np
import pytest

from tflite_edge.harness.head import Checkpoint, Head, last_checkpoint, read_head, write_checkpoint, write_head
from tflite_edge.harness.sealed import read_sealed, write_sealed
from tflite_edge.records.errors import DataError, MissingError
from tflite_edge.records.learning import Epoch, HeadFacts, Progress

ARRAYS = {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(3, np.float32)}
FACTS = HeadFacts("ab" * 32, (0, 1, 2), samples=10, epochs=2, top1=0.5, labels=("a", "b", "c"))


def checkpoint(epoch):
    arrays = {name: array + np.float32(epoch) for name, array in ARRAYS.items()}
    start = Epoch(1.0, 1.0, 0.0)
    return Checkpoint(arrays, ARRAYS, Progress("model-rest", start, [start] * epoch, best=0))


def test_a_head_comes_back_as_it_was(tmp_path):
    path = str(tmp_path / "head.npz")
    size = write_head(path, Head(ARRAYS, FACTS))
    back = read_head(path)
    assert back.facts == FACTS
    assert all(np.array_equal(back.weights[name], array) for name, array in ARRAYS.items())
    assert (tmp_path / "head.npz").stat().st_size == size
    assert [file.name for file in tmp_path.iterdir()] == ["head.npz"]


def test_every_changed_byte_is_noticed_or_changes_nothing(tmp_path):
    path = tmp_path / "head.npz"
    write_head(str(path), Head(ARRAYS, FACTS))
    whole = path.read_bytes()
    refused = 0
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        try:
            back = read_head(str(path))
        except DataError:
            refused += 1
        else:  # a zip has bytes that mean nothing, such as times
            assert back.facts == FACTS
            assert all(np.array_equal(back.weights[name], array) for name, array in ARRAYS.items())
    assert refused > len(whole) / 6
    for size in range(0, len(whole), 50):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError):
            read_head(str(path))


@pytest.mark.parametrize(
    ("arrays", "what"),
    [({"kernel": np.array([np.nan], np.float32)}, "NaN"), ({"kernel": np.zeros(3)}, "float64")],
)
def test_weights_that_are_none_are_refused(tmp_path, arrays, what):
    path = str(tmp_path / "head.npz")
    write_sealed(path, arrays, {"kind": "head"})
    with pytest.raises(DataError, match=what):
        read_sealed(path)


def test_a_checkpoint_is_no_head_and_a_head_no_checkpoint(tmp_path):
    path = str(tmp_path / "file.npz")
    write_checkpoint(path, checkpoint(1))
    with pytest.raises(DataError, match="not a saved head"):
        read_head(path)
    write_head(path, Head(ARRAYS, FACTS))
    (tmp_path / "file.npz.previous").unlink(missing_ok=True)
    found, wrong = last_checkpoint(path)
    assert found is None
    assert "not a checkpoint" in wrong


def test_of_a_damaged_checkpoint_the_one_before_it_is_taken(tmp_path):
    path = tmp_path / "c"
    for epoch in (1, 2):
        write_checkpoint(str(path), checkpoint(epoch))
    assert len(last_checkpoint(str(path))[0].progress.epochs) == 2
    path.write_bytes(path.read_bytes()[:-40])
    found, wrong = last_checkpoint(str(path))
    assert len(found.progress.epochs) == 1
    assert str(path) in wrong


KILLED = """
import os, signal, sys
from tests.harness.test_sealed import checkpoint
from tflite_edge.harness.head import write_checkpoint
write_checkpoint(sys.argv[1], checkpoint(1))
write_checkpoint(sys.argv[1], checkpoint(2))
name, number, calls = sys.argv[2], int(sys.argv[3]), []
real = getattr(os, name)
def deadly(*args):
    calls.append(args)
    if len(calls) == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)
setattr(os, name, deadly)
write_checkpoint(sys.argv[1], checkpoint(3))
"""


@pytest.mark.parametrize(("call", "number"), [("fsync", 1), ("replace", 1), ("replace", 2), ("fsync", 2)])
def test_a_kill_in_the_middle_of_a_write_leaves_a_whole_checkpoint(tmp_path, call, number):
    path = tmp_path / "checkpoint"
    done = subprocess.run([sys.executable, "-c", KILLED, path, call, str(number)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    found, wrong = last_checkpoint(str(path))
    assert wrong == ""
    assert len(found.progress.epochs) == (3 if (call, number) == ("fsync", 2) else 2)
    write_checkpoint(str(path), checkpoint(4))  # what the kill left is in nobody's way
    assert len(last_checkpoint(str(path))[0].progress.epochs) == 4


def test_where_nothing_can_be_written_the_old_file_stays(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(MissingError, match="cannot write"):
        write_head(str(tmp_path / "nowhere" / "head.npz"), Head(ARRAYS, FACTS))
    with pytest.raises(MissingError):
        write_head(str(tmp_path / "folder"), Head(ARRAYS, FACTS))
