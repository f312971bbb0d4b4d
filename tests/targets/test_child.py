"""The caller's side of the protocol against children that misbehave: scripts in the place of Python."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from tflite_edge.records.errors import (
    DataError,
    EdgeError,
    InputError,
    MissingError,
    ModelError,
    RecipeError,
    TargetError,
)
from tflite_edge.records.job import Job
from tflite_edge.targets.child import TAIL_BYTES, ask

JOB = Job("bench", "m.tflite")


@pytest.fixture
def shell(tmp_path):
    """A function that makes an argv prefix of a shell script; it gets the pyz and the job as $1 and $2."""

    def make(body):
        script = tmp_path / "child.sh"
        script.write_text(body)
        return ["/bin/sh", str(script)]

    return make


def alive(pid):
    """Running, and not merely a dead process that its new parent has yet to collect."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def gone(pid):
    """Whether `pid` ends soon: being killed takes the kernel a moment."""
    for _ in range(200):
        if not alive(pid):
            return True
        time.sleep(0.02)
    return False


def test_a_good_answer(shell):
    talk = shell('echo noise >&2; echo \'{"schema": 1, "ok": true, "median_s": 1.5}\'')
    assert ask(talk, JOB, 60) == {"median_s": 1.5}


def test_the_child_gets_a_zipapp_and_the_job(shell):
    reads = shell('test -s "$1" && cat "$2" >&2; exit 9')
    with pytest.raises(TargetError, match="exit status 9") as caught:
        ask(reads, JOB, 60)
    assert '"model": "m.tflite"' in caught.value.evidence


@pytest.mark.parametrize(
    ("kind", "cls"),
    [("model", ModelError), ("runtime", MissingError), ("data", DataError), ("job", RecipeError), ("bug", EdgeError)],
)
def test_errors_come_back_as_their_class(shell, kind, cls):
    error = f'{{"kind": "{kind}", "what": "W", "evidence": "E", "do": "D"}}'
    says = shell(f'echo trace >&2; echo \'{{"schema": 1, "ok": false, "error": {error}}}\'; exit 1')
    with pytest.raises(EdgeError) as caught:
        ask(says, JOB, 60)
    assert type(caught.value) is cls
    assert (caught.value.what, caught.value.do) == ("W", "D")
    assert caught.value.evidence == ("trace" if cls is EdgeError else "E")
    assert issubclass(cls, InputError) == (kind in {"model", "data", "job"})


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGABRT", "SIGTERM"])
@pytest.mark.parametrize("passed_on", [False, True])
def test_a_death_by_signal_is_named(shell, name, passed_on):
    number = getattr(signal, name).value
    dies = shell(f"echo last words >&2; {f'exit {128 + number}' if passed_on else f'kill -{number} $$'}")
    with pytest.raises(TargetError, match=f"m.tflite ended the harness: killed by {name}") as caught:
        ask(dies, JOB, 60)
    assert caught.value.evidence == "last words"
    assert caught.value.do


@pytest.mark.parametrize(
    "body",
    [
        "true",
        "echo hello",
        "echo '[]'",
        "echo null",
        """echo '{"schema": 1, "ok": true}'; echo more""",
        """echo '{"schema": 2, "ok": true}'""",
        """echo '{"schema": 1, "ok": true}'; exit 1""",
        """echo '{"schema": 1, "ok": false, "error": {"kind": "?"}}'; exit 1""",
        """echo '{"schema": 1, "ok": false}'; exit 1""",
    ],
)
def test_anything_but_one_document_is_a_target_error(shell, body):
    with pytest.raises(TargetError, match=r"no valid answer on m\.tflite"):
        ask(shell("echo talk >&2; " + body), JOB, 60)


def test_of_a_flood_on_stderr_the_end_is_kept(shell):
    floods = shell("i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done; exit 7")
    with pytest.raises(TargetError) as caught:
        ask(floods, JOB, 60)
    assert caught.value.evidence.endswith("line 1999")
    assert len(caught.value.evidence) < TAIL_BYTES + 200


def test_the_deadline_leaves_no_process(shell, tmp_path):
    pids = tmp_path / "pids"
    hangs = shell(f"echo waiting >&2; sleep 600 & echo $$ $! > {pids}; wait")
    with pytest.raises(TargetError, match=r"did not finish within 0\.5 s") as caught:
        ask(hangs, JOB, 0.5)
    assert caught.value.evidence == "waiting"
    assert all(gone(int(pid)) for pid in pids.read_text().split())


def test_a_grandchild_that_holds_stdout_does_not_outlive_the_deadline(shell, tmp_path):
    pids = tmp_path / "pids"
    leaves = shell(f"sleep 600 & echo $! > {pids}; exit 0")
    with pytest.raises(TargetError, match="did not finish"):
        ask(leaves, JOB, 0.5)
    assert gone(int(pids.read_text()))


def test_ctrl_c_kills_the_child_and_goes_on_up(shell, tmp_path):
    pids = tmp_path / "pids"
    hangs = shell(f"echo $$ > {pids}.part; mv {pids}.part {pids}; sleep 600")

    def interrupt():
        while not pids.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    with pytest.raises(KeyboardInterrupt):
        ask(hangs, JOB, 60)
    sender.join()
    assert gone(int(pids.read_text()))


def test_the_prefix_may_be_several_words():
    with pytest.raises(EdgeError):
        ask(["env", "-u", "NOTHING", sys.executable], Job("bench", "/no/such.tflite"), 60)
