"""The whole path against a real OpenSSH server."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.harness import tiny
from tflite_edge.harness.head import read_head
from tflite_edge.records.errors import DataError, MissingError, ModelError, TargetError, UsageError
from tflite_edge.records.job import ALL_CORES, Job, cores
from tflite_edge.records.learning import Lesson
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.targets import open_machine
from tflite_edge.targets.local import Local
from tflite_edge.targets.ssh.address import parse
from tflite_edge.targets.ssh.machine import RUN, Ssh

SLOW = '#!/bin/sh\ncase "$1" in -c) exec {python} "$@";; esac\necho working >&2\necho $$ >"$HOME/slow"\nexec sleep 60\n'


def ssh(server, options=""):
    return Ssh(parse(server.url + options))


def quick(model, **more):
    return Job("bench", str(model), runs=3, warmups=1, min_seconds=0.0, **more)


def blobs(server):
    return sorted((server.home / ".cache/tflite-edge/blobs").iterdir())


def gone(pid, seconds=5.0):
    until = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_a_model_is_timed_there_and_nothing_but_the_cache_is_left(server, dense):
    machine = ssh(server)
    result = machine.bench(quick(dense))
    assert len(result.samples_s) >= 3
    assert result.outputs[0].shape == (1, 3)
    assert list((server.home / ".cache/tflite-edge/runs").iterdir()) == []
    first = [(path.name, path.stat().st_ino) for path in blobs(server)]
    assert len(first) == 2  # the harness and the model
    machine.bench(quick(dense))
    assert [(path.name, path.stat().st_ino) for path in blobs(server)] == first  # nothing was sent again
    folder = machine.connection.folder
    machine.connection.close()
    assert not folder.exists()


def test_outputs_come_back_and_are_those_of_this_machine(server, dense, tmp_path):
    pack = tmp_path / "pack.npz"
    np.savez(pack, x=np.eye(4, dtype=np.float32), y=np.array([0, 1, 2, 0]))
    job = Job("score", str(dense), pack=str(pack), outputs=str(tmp_path / "there.npy"))
    score = ssh(server).score(job)
    Local().score(Job("score", str(dense), pack=str(pack), outputs=str(tmp_path / "here.npy")))
    assert score.images == 4
    np.testing.assert_array_equal(np.load(tmp_path / "there.npy"), np.load(tmp_path / "here.npy"))


def test_two_models_are_compared_there(server, dense, tmp_path):
    other = tmp_path / "other.tflite"
    other.write_bytes(tiny.dense() + b"\0")
    job = Job("identical", str(dense), against=str(other))
    there, here = ssh(server).run(job), Local().run(job)
    there.pop("runtime"), here.pop("runtime")
    assert there == here


def test_a_board_is_probed(server):
    server.script(server.bin / "python3", (server.bin / "python3").read_text())
    found = ssh(server).probe
    assert found.kernel.startswith("Linux")
    assert found.free_bytes > 0
    assert found.best.found["numpy"].startswith("1.")
    assert found.best.runtime


def test_a_bad_model_is_named_as_we_know_it(server, tmp_path):
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(b"not a model at all")
    with pytest.raises(ModelError) as caught:
        ssh(server).bench(quick(bad))
    assert str(bad) in caught.value.what
    assert ".cache" not in str(caught.value)


def test_a_crash_there_is_a_crash_here(server, tmp_path):
    wild = tmp_path / "wild.tflite"
    wild.write_bytes(tiny.wild_offset(tiny.dense()))
    with pytest.raises(TargetError, match="SIGSEGV"):
        ssh(server).bench(quick(wild, runtime="tflite-runtime"))


def test_a_deadline_ends_the_process_there_too(server, dense):
    server.script(server.bin / "python3", SLOW.format(python=sys.executable))
    with pytest.raises(TargetError, match="did not finish within 5 s") as caught:
        ssh(server).run(quick(dense), deadline_s=5)
    assert "working" in caught.value.evidence
    assert gone(int((server.home / "slow").read_text()))


def test_a_connection_that_dies_twice(server, dense):
    server.script(server.bin / "python3", SLOW.format(python=sys.executable))
    machine = ssh(server)
    cuts = []

    def cut():
        for _ in range(2):
            mark = server.home / "slow"
            while not mark.exists():
                time.sleep(0.02)
            cuts.append(int(mark.read_text() or 0))
            mark.unlink()
            server.cut()

    thread = threading.Thread(target=cut)
    thread.start()
    with pytest.raises(TargetError, match="no connection") as caught:
        machine.run(quick(dense), deadline_s=30)
    thread.join()
    assert caught.value.exit_code == 5
    assert len(cuts) == 2
    assert all(gone(pid) for pid in cuts)


def test_a_connection_that_dies_once_is_made_again(server, dense):
    machine = ssh(server)
    assert machine.probe.best
    server.cut()
    assert machine.bench(quick(dense)).samples_s


def test_a_run_whose_connection_dies_is_begun_again_and_says_so(server, dense):
    once = f'[ -e "$HOME/slow" ] && exec {sys.executable} "$@"'
    server.script(server.bin / "python3", SLOW.format(python=sys.executable).replace("echo working", f"{once}\necho"))
    mark = server.home / "slow"

    def cut():
        while not mark.exists():
            time.sleep(0.02)
        server.cut()

    thread = threading.Thread(target=cut)
    thread.start()
    result = ssh(server).bench(quick(dense))
    thread.join()
    assert result.samples_s
    assert "begun again over a new connection" in result.runtime.why


def test_what_a_silent_connection_left_running_ends_before_it_is_begun_again(tmp_path):
    """Nobody has told the board that the first connection is gone: the first try's stdin is still open."""
    (tmp_path / "cache" / "blobs").mkdir(parents=True)
    (tmp_path / "cache" / "runs").mkdir()
    harness = "cd; [ -e pid ] && exec echo answer; echo $$ >part; mv part pid; sleep 60"
    (tmp_path / "cache" / "blobs" / "harness").write_text(harness)
    words = ["sh", "-c", RUN, "sh", "cache", "60", "/bin/sh", "harness", "", "name"]
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": {**os.environ, "HOME": str(tmp_path)}}
    with subprocess.Popen(words, **options) as first:
        first.stdin.write(b"{}\n")
        first.stdin.flush()
        while not (tmp_path / "pid").exists():
            time.sleep(0.01)
        with subprocess.Popen(words, **options) as second:
            second.stdin.write(b"{}\n")
            second.stdin.flush()
            assert second.stdout.read() == b"name\nanswer\n"
        assert gone(int((tmp_path / "pid").read_text()))
    assert first.returncode == 128 + 9
    assert list((tmp_path / "cache" / "runs").iterdir()) == []


def test_a_shell_that_greets_and_a_command_of_the_user_s_config(server, dense):
    login = server.folder / "login"
    login.write_text(login.read_text().replace("cd\n", "cd\necho Welcome\nprintf 'to the board> '\n"))
    with (server.folder / "client").open("a") as config:
        config.write("  RemoteCommand tmux\n  RequestTTY yes\n")
    assert ssh(server).bench(quick(dense)).samples_s


def test_a_copy_that_was_cut_off_is_not_used(server, dense):
    machine = ssh(server)
    machine.bench(quick(dense))
    model = next(path for path in blobs(server) if path.suffix == ".tflite")
    model.rename(model.with_name(model.name + ".abc.part"))  # what a killed copy leaves
    assert machine.bench(quick(dense)).samples_s
    assert model.read_bytes() == dense.read_bytes()


@pytest.mark.parametrize(
    "url",
    [
        "ssh://", "ssh://-oProxyCommand=x", "ssh://a:secret@host", "ssh://host:99999", "ssh://host:x", "ssh://host/path",
        "ssh://host?pyhton=x", "ssh://host?python=", "ssh://host:0", "ssh://a b@host", "ssh://host?accept-new-host-key=1",
    ],
)  # fmt: skip
def test_a_bad_url(url):
    with pytest.raises(UsageError, match="no SSH target"):
        open_machine(url)


def test_a_url_and_its_parts():
    address = parse("ssh://pi@MyBoard:2222?python=~/v/bin/python&accept-new-host-key")
    assert (address.user, address.host, address.port) == ("pi", "MyBoard", 2222)
    assert address.python == "~/v/bin/python"
    assert address.accept_new
    assert address.url == "ssh://pi@MyBoard:2222"
    assert parse("ssh://[::1]:22").host == "::1"


def test_nobody_listens(server, dense):
    server.stop()
    with pytest.raises(TargetError, match="no connection") as caught:
        ssh(server).run(quick(dense))
    assert "refused" in caught.value.evidence


def test_a_host_that_does_not_exist(dense, server):
    with pytest.raises(TargetError, match="there is no host"):
        Ssh(parse("ssh://no-such-host.invalid")).run(quick(dense))


def test_a_key_that_is_refused(server, dense):
    (server.folder / "authorized").write_text("")
    with pytest.raises(TargetError, match="does not let us in") as caught:
        ssh(server).run(quick(dense))
    assert "ssh-copy-id" in caught.value.do


def test_an_unknown_host_key_is_taken_only_when_asked(server, dense):
    known = server.folder / "known"
    known.write_text("")
    with pytest.raises(TargetError, match="is not known") as caught:
        ssh(server).run(quick(dense))
    assert "?accept-new-host-key" in caught.value.do
    assert known.read_text() == ""
    assert ssh(server, "?accept-new-host-key").bench(quick(dense)).samples_s
    assert known.read_text()


def test_a_changed_host_key_is_never_taken(server, dense):
    server.key("key2")
    other = (server.folder / "key2.pub").read_text()
    (server.folder / "known").write_text(f"[127.0.0.1]:{server.port} {other}")
    for options in ("", "?accept-new-host-key"):
        with pytest.raises(TargetError, match="has changed") as caught:
            ssh(server, options).run(quick(dense))
        assert f"ssh-keygen -R '[127.0.0.1]:{server.port}'" in caught.value.do


def test_no_python_there(server, dense):
    with pytest.raises(MissingError, match="no Python /no/such starts"):
        ssh(server, "?python=/no/such").run(quick(dense))


def test_a_python_without_a_runtime_gets_the_command(server, dense):
    server.python("/usr/bin/python3", "-S")
    with pytest.raises(MissingError, match="no TFLite runtime is installed") as caught:
        ssh(server).run(quick(dense))
    assert "pip install ai-edge-litert==" in caught.value.do
    assert f"doctor --on {server.url} --install" in caught.value.do


def test_no_room_there(server, dense):
    (server.home / ".cache").mkdir()
    (server.home / ".cache/tflite-edge").write_text("a file where the folder should be")
    with pytest.raises(MissingError, match="cannot store") as caught:
        ssh(server).run(quick(dense))
    assert caught.value.exit_code == 4


def test_the_installed_command(edge, server, dense):
    document = edge.json("bench", dense, "--on", server.url, "--runs", "3")
    assert document["median_s"] > 0
    assert document["on"] == server.url
    assert f"ran on {server.url}" in edge("bench", dense, "--on", server.url, "--runs", "3").stdout
    assert getpass.getuser() in server.url
    (server.folder / "authorized").write_text("")
    assert "ssh-copy-id" in edge("bench", dense, "--on", server.url, code=5).stderr


@pytest.mark.slow
def test_the_whole_path_down_to_an_emulated_pi(server, dense, tmp_path, boards, monkeypatch):
    """The board's Python is that of an emulated Pi 4: ARM kernels answer what x86 does, within float rounding."""
    from tflite_edge.records.board import BOARDS
    from tflite_edge.targets.emulator import open_board

    monkeypatch.setenv("TFLITE_EDGE_CACHE", str(boards))
    server.python(*open_board(BOARDS["pi4"]).argv())
    pack = tmp_path / "pack.npz"
    np.savez(pack, x=np.eye(4, dtype=np.float32), y=np.array([0, 1, 2, 0]))
    job = Job("score", str(dense), pack=str(pack), outputs=str(tmp_path / "there.npy"))
    score = ssh(server).score(job)
    Local().score(Job("score", str(dense), pack=str(pack), outputs=str(tmp_path / "here.npy")))
    assert score.runtime.machine == "aarch64"
    np.testing.assert_allclose(np.load(tmp_path / "there.npy"), np.load(tmp_path / "here.npy"), atol=1e-6)


def lesson(folder, out, **more):
    files = {"features": str(folder / "features.tflite"), "test": str(folder / "test.npz"), **more}
    return Job(
        "learn", str(folder / "head.tflite"), pack=str(folder / "new.npz"), preprocess=Preprocess(channels=1),
        lesson=Lesson(**files, out=str(out), checkpoint=f"{out}.checkpoint"),
    )  # fmt: skip


@pytest.mark.slow
def test_a_head_is_learnt_there_and_comes_back(server, teachable, tmp_path, monkeypatch):
    """No path of this machine is in what the board is told."""
    here, there = tmp_path / "here.npz", tmp_path / "there.npz"
    expected = Local().learn(lesson(teachable, here, epochs=2))
    ours = [str(folder).encode() for folder in (teachable, tmp_path)]
    sent = []
    machine = ssh(server)
    run = machine.connection.run
    monkeypatch.setattr(
        machine.connection, "run", lambda *words, **more: (sent.append(more.get("data")), run(*words, **more))[1]
    )
    result = machine.learn(lesson(teachable, there, epochs=2))
    papers = [data for data in sent if isinstance(data, bytes) and data]
    assert papers
    assert not [path for path in ours for data in papers if path in data]
    assert result.after.top1 == expected.after.top1
    assert read_head(str(there)).facts == read_head(str(here)).facts
    assert there.stat().st_size == result.head_bytes
    assert sorted(path.name for path in tmp_path.glob("there*")) == ["there.npz"]

    again = machine.learn(lesson(teachable, there, head=str(there), epochs=0))
    assert again.before.top1 == result.after.top1
    before = there.read_bytes()
    assert again.head_bytes is None
    assert there.read_bytes() == before


@pytest.mark.slow
def test_what_is_wrong_with_a_lesson_there_is_told_in_our_words(server, teachable, tmp_path):
    bad = tmp_path / "bad.npz"
    bad.write_bytes(b"no head")
    with pytest.raises(DataError) as caught:
        ssh(server).learn(lesson(teachable, tmp_path / "out.npz", head=str(bad), epochs=1))
    assert str(bad) in caught.value.what
    assert ".cache" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_an_error_of_ours(server, dense, tmp_path):
    pack = tmp_path / "pack.npz"
    np.savez(pack, x=np.eye(4, dtype=np.float32))
    with pytest.raises(MissingError, match="cannot write"):
        ssh(server).score(Job("score", str(dense), pack=str(pack), outputs=str(tmp_path / "none" / "there.npy")))


def test_the_board_s_own_cores_answer(server, dense, tmp_path):
    """The board has one core, whatever this machine has."""
    pack = tmp_path / "pack.npz"
    np.savez(pack, x=np.eye(4, dtype=np.float32))
    job = Job("score", str(dense), workers=ALL_CORES, pack=str(pack))
    assert Local().score(job).workers == min(cores(), 4)
    server.python(shutil.which("taskset"), "-c", str(min(os.sched_getaffinity(0))), sys.executable)
    assert ssh(server).score(job).workers == 1


def test_a_blob_that_was_damaged_is_sent_again(server, dense):
    machine = ssh(server)
    machine.bench(quick(dense))
    model = next(path for path in blobs(server) if path.suffix == ".tflite")
    model.write_bytes(b"\0" * model.stat().st_size)
    assert machine.bench(quick(dense)).samples_s
    assert model.read_bytes() == dense.read_bytes()


def test_blobs_go_30_days_after_their_last_use(server, dense):
    machine = ssh(server)
    machine.bench(quick(dense))
    model, unused = next(path for path in blobs(server) if path.suffix == ".tflite"), "0" * 64 + ".tflite"
    model.with_name(unused).write_bytes(b"of last year")
    node = model.stat().st_ino
    for path in blobs(server):
        os.utime(path, (time.time() - 40 * 86400,) * 2)
    machine.bench(quick(dense))
    assert unused not in [path.name for path in blobs(server)]
    assert model.stat().st_ino == node  # it was not sent again
    assert time.time() - model.stat().st_mtime < 3600


def test_nothing_is_installed_beside_a_named_python(server):
    with pytest.raises(UsageError, match=r"\?python=python3 would not be it"):
        ssh(server, "?python=python3").install()


BARE = '#!/bin/sh\ncase "$1" in -c) printf %s\\\\n \'{answer}\';; *) echo "$@" >>"$HOME/ran"; exit 1;; esac\n'


@pytest.mark.parametrize("numpy", [{}, {"numpy": "2.1.0"}])
def test_a_32_bit_board_without_debian_s_numpy_gets_the_command_of_root(server, numpy):
    answer = {"machine": "armv7l", "glibc": "2.36", "version": "3.11.2", "found": numpy, "trouble": {}}
    server.script(server.bin / "python3", BARE.format(answer=json.dumps(answer)))
    with pytest.raises(MissingError, match="only root can install") as caught:
        ssh(server).install()
    assert "there: sudo apt install -y python3-numpy python3-venv" in caught.value.do
    assert not (server.home / "ran").exists()


def test_a_32_bit_board_with_debian_s_numpy_goes_on(server):
    answer = {"machine": "armv7l", "glibc": "2.36", "version": "3.11.2", "found": {"numpy": "1.24.2"}, "trouble": {}}
    server.script(server.bin / "python3", BARE.format(answer=json.dumps(answer)))
    with pytest.raises(MissingError, match="could not be installed"):  # this Python makes no venv
        ssh(server).install()
    assert "-m venv --system-site-packages" in (server.home / "ran").read_text()


def test_a_numpy_that_is_too_new_for_tflite_runtime_is_told(server, tmp_path):
    for name, version in (("numpy", "2.1.0"), ("tflite_runtime", "2.14.0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"__version__ = {version!r}\n")
    server.python("/usr/bin/env", f"PYTHONPATH={tmp_path}", "/usr/bin/python3", "-S")
    found = ssh(server).probe.best
    assert found.runtime == ""
    assert "built with NumPy 1, and 2.1.0 is there" in found.trouble["tflite-runtime"]
