"""Emulated boards: installed for real once, run for real; what goes wrong is made to go wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from tests.harness import tiny
from tflite_edge.records.board import BOARDS
from tflite_edge.records.errors import MissingError, ModelError, TargetError, UsageError
from tflite_edge.records.job import Job
from tflite_edge.targets import bench, open_machine
from tflite_edge.targets.child import ask
from tflite_edge.targets.emulator import (
    Emulated,
    apt,
    install,
    installation,
    open_board,
    proof,
    qemu,
    remove,
    status,
    wheels,
)
from tflite_edge.targets.emulator.sysroot import build, damage, record_of
from tflite_edge.targets.local import Local

PI4, PI3_32 = BOARDS["pi4"], BOARDS["pi3-32"]
# An emulated process takes seconds to start, and a busy machine many of them.
pytestmark = pytest.mark.slow


@pytest.fixture
def installed(boards, monkeypatch):
    monkeypatch.setenv("TFLITE_EDGE_CACHE", str(boards))
    return boards / "emulator"


@pytest.fixture
def scratch(monkeypatch, tmp_path):
    """An empty cache."""
    monkeypatch.setenv("TFLITE_EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "emulator"


@pytest.fixture
def board_of_links(installed, scratch):
    """A cache of its own with a pi4 whose files are hard links to the installed ones: to be damaged."""
    shutil.copytree(installed / "arm64", scratch / "arm64", symlinks=True, copy_function=os.link)
    shutil.copytree(installed / "pi4", scratch / "pi4", symlinks=True)
    return scratch


@pytest.fixture
def runnable(installed, board_of_links):
    """With the QEMU that was downloaded, where the machine's own does not do."""
    if (installed / "qemu").is_dir():
        shutil.copytree(installed / "qemu", board_of_links / "qemu", symlinks=True, copy_function=os.link)
    return board_of_links


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """float32 [24, 4] with the right labels, and what the float layer answers."""
    x = np.random.default_rng(3).uniform(0, 0.1, (24, 4)).astype(np.float32)
    y = np.arange(24) % 3
    x[np.arange(24), y] += 0.8
    path = tmp_path_factory.mktemp("pack") / "pack.npz"
    np.savez(path, x=x, y=y, reference=x @ tiny.WEIGHTS.T + tiny.BIAS)
    return str(path)


@pytest.mark.parametrize(
    ("board", "runtime", "machine"),
    [("pi4", "ai-edge-litert", "aarch64"), ("pi4", "tflite-runtime", "aarch64"), ("pi3-32", "auto", "armv7l")],
)
def test_a_board_answers_as_this_machine_does(installed, models, pack, tmp_path, board, runtime, machine):
    here, there = tmp_path / "here.npy", tmp_path / "there.npy"
    job = Job("score", str(models / "dense_int8.tflite"), runtime=runtime, workers=2, pack=pack)
    result = open_machine(f"emulator:{board}").score(replace(job, outputs=str(there)))
    expected = Local().score(replace(job, runtime=result.runtime.name, outputs=str(here)))
    assert np.array_equal(np.load(here), np.load(there))
    assert (result.top1, result.confusion, result.workers) == (expected.top1, expected.confusion, 2)
    assert result.runtime.machine == machine
    assert result.runtime.python.startswith("3.11.")
    if runtime == "auto":
        assert result.runtime.why == "tflite-runtime 2.14.0: the one for Raspberry Pi 3, 32-bit OS"


def test_the_guest_sees_the_board_s_processor_and_none_of_our_python(installed, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code = "import os, sys; print(open('/proc/cpuinfo').read()); print(os.uname().machine, sys.path)"
    for name, part, machine in (("pi4", "0xd08", "aarch64"), ("pi3-32", "0xd03", "armv7l")):
        done = subprocess.run([*open_machine(f"emulator:{name}").argv(), "-c", code], capture_output=True, text=True)
        assert BOARDS[name].cpuinfo in done.stdout, done.stderr
        assert f"CPU part\t: {part}" in done.stdout
        assert done.stdout.splitlines()[-1].startswith(machine)
        assert str(tmp_path) not in done.stdout


def test_nothing_is_timed(installed, models):
    with pytest.raises(UsageError, match="timing under emulation says nothing"):
        bench(Job("bench", str(models / "dense.tflite")), "emulator:pi4")


def test_a_runtime_that_the_board_has_not(installed, models, pack):
    with pytest.raises(UsageError, match="has no ai-edge-litert") as caught:
        open_machine("emulator:pi3-32").score(
            Job("score", str(models / "dense.tflite"), runtime="ai-edge-litert", pack=pack)
        )
    assert caught.value.do == "--runtime tflite-runtime"


def test_an_operator_that_the_board_s_runtime_does_not_know(installed, models, pack):
    with pytest.raises(ModelError, match="does not know RELU version 99") as caught:
        open_machine("emulator:pi4").score(Job("score", str(models / "future_relu.tflite"), pack=pack))
    assert "--on emulator:pi4 --runtime ai-edge-litert" in caught.value.do
    assert caught.value.do.endswith("--runtime tflite-runtime")


def test_a_damaged_model_kills_the_guest_and_leaves_no_core(installed, models, pack, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError, match="killed by SIGSEGV"):
        open_machine("emulator:pi4").score(
            Job("score", str(models / "wild.tflite"), runtime="tflite-runtime", pack=pack)
        )
    assert not list(tmp_path.iterdir())


def test_an_illegal_instruction_names_the_processor(installed):
    """UDOT, which the Cortex-A76 has and the A72 has not, written into memory and called."""
    code = (
        "import ctypes, mmap; page = mmap.mmap(-1, 4096, prot=7); page.write(bytes.fromhex('0094826ec0035fd6'));"
        "ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))(); print('ran')"
    )
    machine = open_machine("emulator:pi4")
    has_it = Emulated(BOARDS["pi5"], machine.root, machine.qemu)
    assert "ran" in subprocess.run([*has_it.argv(), "-c", code], capture_output=True, text=True).stdout
    with pytest.raises(TargetError, match="SIGILL") as caught:
        ask([*machine.argv(), "-c", code], Job("bench", "m.tflite"), 60)
    told = machine._explained(caught.value)
    assert "on cortex-a72" in told.what
    assert "--runtime" in told.do


@pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))
def test_what_is_known_of_the_boards(board):
    assert board.cpuinfo.count("processor") == 4
    assert board.default_runtime in board.runtimes
    assert (board.machine == "armv7l") == (board.runtimes == ("tflite-runtime",))
    assert board.architecture in wheels.WHEELS


def test_an_unknown_board():
    with pytest.raises(UsageError, match="no board 'pi44'") as caught:
        open_machine("emulator:pi44")
    assert caught.value.do == "did you mean 'pi4'?"


def test_the_layer_of_the_proof_is_the_tiny_one():
    assert tiny.dense_int8() == proof.LAYER


def test_a_board_that_is_not_installed(scratch):
    with pytest.raises(MissingError) as caught:
        open_machine("emulator:pi5")
    assert caught.value.do == "tflite-edge emulator install pi5"


def test_installing_again_finds_everything(installed):
    began = time.monotonic()
    assert install(PI4).state == "installed"
    assert time.monotonic() - began < 20  # nothing is downloaded or emulated
    assert not (installed / "downloads").exists()


def test_the_record_holds_what_is_inside(installed):
    record = record_of(installed / "arm64")
    named = {part.name: part for part in (*record.packages, *record.wheels)}
    assert named["libc6"].version.startswith("2.36-")
    assert named["numpy"].version == "1.26.4"
    assert all(len(part.sha256) == 64 for part in named.values())
    assert damage(installed / "arm64") == ""


def test_damage_is_seen_and_told(runnable, models, pack):
    """Python's own modules are cut out: it does not start, and the message says why and what to do."""
    (runnable / "arm64" / "root" / "usr" / "lib" / "python3.11" / "encodings" / "__init__.py").unlink()
    assert status(PI4).state == "damaged"
    assert "encodings/__init__.py is missing" in status(PI4).why
    with pytest.raises(MissingError, match="emulated pi4 is damaged") as caught:
        open_board(PI4).score(Job("score", str(models / "dense.tflite"), pack=pack))
    assert caught.value.do == "tflite-edge emulator install pi4"


def test_a_runtime_that_has_gone_is_damage(runnable, models, pack):
    """And nothing that pip would mend on this machine."""
    shutil.rmtree(runnable / "arm64" / "root" / "usr" / "lib" / "python3" / "dist-packages" / "tflite_runtime")
    with pytest.raises(MissingError, match="emulated pi4 is damaged") as caught:
        open_board(PI4).score(Job("score", str(models / "dense.tflite"), runtime="tflite-runtime", pack=pack))
    assert "cannot be imported" in caught.value.evidence
    assert caught.value.do == "tflite-edge emulator install pi4"


def test_what_another_version_installed_is_put_together_anew(board_of_links, monkeypatch):
    pins = {"arm64": wheels.WHEELS["arm64"][1:], "armhf": wheels.WHEELS["armhf"]}
    monkeypatch.setattr(wheels, "WHEELS", pins)
    assert status(PI4).state == "damaged"
    assert status(PI4).why.startswith("made by another version")
    with pytest.raises(MissingError, match="cannot get Debian's packages"):  # it does begin
        install(PI4, "http://127.0.0.1:9/debian")


def test_a_damaged_qemu_is_mended(edge, board_of_links):
    """A downloaded one whose loader and program are gone: it is seen, and installing again makes it whole."""
    root = build(board_of_links, "qemu", (), (), []) / "root"
    (root / "usr" / "bin").mkdir(parents=True)
    (root / "usr" / "bin" / "qemu-aarch64").write_text("cut short")
    (root.parent / "record.json").unlink()
    assert status(PI4).state == "damaged"
    assert edge.json("emulator", "install", "pi4")["verdict"] == "ok"
    assert damage(root.parent) == ""
    assert status(PI4).state == "installed"


def test_a_board_whose_files_another_one_brought_is_put_together_when_it_is_asked_for(runnable):
    assert status(BOARDS["pi5"]).state == "not installed"
    open_board(BOARDS["pi5"])
    assert status(BOARDS["pi5"]).state == "installed"


def test_remove_leaves_what_others_need(board_of_links):
    shutil.copytree(board_of_links / "pi4", board_of_links / "pi5", symlinks=True)
    assert remove([PI4]) == ["pi4"]
    assert (board_of_links / "arm64").is_dir()
    assert remove(list(BOARDS.values())) == ["pi5", "arm64"]
    assert not [path for path in board_of_links.iterdir() if path.is_dir()]
    assert remove([PI4]) == []


def test_the_command(edge, runnable):
    document = edge.json("emulator", "status")
    states = {board["board"]: board["state"] for board in document["boards"]}
    assert (states["pi4"], states["pi5"]) == ("installed", "not installed")
    assert "ai-edge-litert" in edge("emulator", "status").stdout
    (runnable / "arm64" / "record.json").unlink()
    assert edge.json("emulator", "status", code=1)["verdict"] == "degraded"
    assert "which boards?" in edge("emulator", "remove", code=2).stderr
    assert "did you mean 'pi-zero2w'?" in edge("emulator", "install", "zero2w", code=2).stderr
    assert edge.json("emulator", "remove", "--all")["removed"][:2] == ["pi4", "arm64"]  # and QEMU, if it was downloaded


def test_evaluate_on_a_board(edge, installed, converted):
    out, _ = converted
    model = out / "small-static-wi8ai8.tflite"
    there = edge.json("evaluate", model, "--on", "emulator:pi4", "--samples", "12")
    assert there["score"]["images"] == 12
    assert there["score"]["runtime"]["machine"] == "aarch64"
    assert sum(there["score"]["confusion"].values()) == 12
    assert "12 of 32 test samples are scored (--samples 32 scores all)" in there["notes"]


def test_convert_for_a_board(edge, installed, model_file, image_folder, tmp_path):
    """Every file runs on the board; nothing is timed, its instructions are counted."""
    made = edge(
        "convert", model_file, "--data", image_folder, "--quantize", "int8", "--on", "emulator:pi3-32",
        "--max-drop", "10", "-o", tmp_path / "out",
    )  # fmt: skip
    (model,) = json.loads((tmp_path / "out" / "manifest.json").read_text())["models"]
    assert model["bench"] is None
    assert model["score"]["runtime"]["machine"] == "armv7l"
    assert "emulator:pi3-32; no times" in made.stdout
    count, (refused,) = model["estimate"]["count"], model["estimate"]["predictions"]
    assert count["exact"]
    assert f"{count['total'] / 1e6:.3f}" in made.stdout
    assert "M instr" in made.stdout
    assert refused["predicted_s"] is None
    wrong = ("convert", model_file, "--data", image_folder, "--on", "emulator:pi3-32", "--runtime", "ai-edge-litert")
    assert "has no ai-edge-litert" in edge(*wrong, "-o", tmp_path / "none", code=2).stderr


def test_a_mirror_that_is_not_there(scratch):
    with pytest.raises(MissingError, match=r"cannot get Debian's packages from http://127\.0\.0\.1:9") as caught:
        install(PI4, "http://127.0.0.1:9/debian")
    assert "--mirror" in caught.value.do


def test_a_mirror_that_is_not_debian_s(scratch, tmp_path):
    """A repository that signs nothing."""
    release = tmp_path / "mirror" / "dists" / "bookworm"
    release.mkdir(parents=True)
    (release / "Release").write_text("Origin: Debian\nSuite: bookworm\nCodename: bookworm\n")
    with pytest.raises(MissingError, match="is not signed with a key of Debian's keyring"):
        install(PI4, f"file:{tmp_path / 'mirror'}")
    assert status(PI4).state == "not installed"


def test_what_is_missing_is_named(scratch, monkeypatch):
    with monkeypatch.context() as only:
        only.setenv("PATH", "/nowhere")
        with pytest.raises(MissingError, match="apt-get is missing") as caught:
            install(PI4)
        assert "dnf install apt" in caught.value.do
    with monkeypatch.context() as only:
        only.setattr(apt, "KEYRING", scratch / "none.gpg")
        with pytest.raises(MissingError, match="keyring is missing") as caught:
            install(PI4)
        assert caught.value.do == "sudo apt install debian-archive-keyring"
    with monkeypatch.context() as only:
        only.setattr(installation, "NEEDED_BYTES", 1 << 62)
        with pytest.raises(MissingError, match="not enough room"):
            install(PI4)
    with monkeypatch.context() as only:
        only.setattr(sys, "platform", "darwin")
        with pytest.raises(MissingError, match="needs Linux"):
            install(PI4)
    with monkeypatch.context() as only:
        only.setenv("TFLITE_EDGE_CACHE", "/proc/nowhere")
        with pytest.raises(MissingError, match="cannot write /proc/nowhere"):
            install(PI4)


def test_a_python_without_pip(scratch, monkeypatch, tmp_path):
    bare = tmp_path / "python"
    bare.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    bare.chmod(0o755)
    monkeypatch.setattr(wheels.sys, "executable", str(bare))
    with pytest.raises(MissingError, match="pip cannot get ai_edge_litert") as caught:
        wheels.fetch(wheels.WHEELS["arm64"], tmp_path / "wheels", print)
    assert caught.value.do == "python -m ensurepip"


def test_a_package_that_is_none_leaves_nothing(scratch, tmp_path):
    scratch.mkdir(parents=True)
    (tmp_path / "broken.deb").write_bytes(b"!<arch>\n")
    with pytest.raises(MissingError, match=r"cannot unpack broken\.deb"):
        build(scratch, "arm64", (), (), [tmp_path / "broken.deb"])
    assert not list(scratch.iterdir())


def test_sources_in_both_of_apt_s_formats(monkeypatch, tmp_path):
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    monkeypatch.setattr(apt, "SOURCES", tmp_path)
    assert apt.sources() == [(apt.MIRROR, "bookworm")]
    (tmp_path / "sources.list").write_text(
        "# deb http://old.example/debian bookworm main\n"
        "deb [arch=amd64] http://one.example/debian bookworm main contrib\n"
        "deb http://archive.raspberrypi.org/debian bookworm main\n"
        "deb http://shop.example/apt bookworm main\n"
    )
    (parts / "debian.sources").write_text(
        "Types: deb deb-src\nURIs: http://two.example/debian-security\nSuites: bookworm-security trixie\n"
        "Components: main\n\n"
        "Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\n"
    )
    assert apt.sources() == [
        ("http://one.example/debian", "bookworm"),
        ("http://two.example/debian-security", "bookworm-security"),
    ]
    assert apt.sources("http://mine.example/debian") == [("http://mine.example/debian", "bookworm")]


def test_a_qemu_of_another_series_or_without_plugins_does_not_do(scratch, monkeypatch, tmp_path):
    program = tmp_path / "qemu-aarch64"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for version, plugins, fits in (("7.2.1", "-plugin", True), ("9.2.0", "-plugin", False), ("7.2.1", "", False)):
        program.write_text(f"#!/bin/sh\necho qemu-aarch64 version {version} -h {plugins}\n")
        program.chmod(0o755)
        assert bool(qemu.find(PI4, scratch / "qemu")) == fits


def stopped_at(step, number, command):
    """What the command said until it began with `step`, where it was sent the signal, and how it ended."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    talk = []
    for line in process.stderr:
        talk.append(line)
        if line.startswith(step):
            process.send_signal(number)
            break
    talk.append(process.communicate(timeout=120)[1])
    return "".join(talk), process.returncode


def test_an_installation_goes_on_where_it_was_stopped_and_mends_what_was_damaged(scratch, boards):
    command = [Path(sys.executable).parent / "tflite-edge", "emulator", "install", "pi3-32"]
    talk, code = stopped_at("unpack", signal.SIGINT, command)
    assert code == 130, talk
    assert "interrupted" in talk
    kept = sorted(scratch.glob("downloads/**/*.deb"))
    assert len(kept) == 16
    assert status(PI3_32).state == "not installed"

    talk, code = stopped_at("prove", signal.SIGKILL, command)
    assert code == -signal.SIGKILL, talk
    assert "packages 0/16" not in talk  # none is downloaded again
    assert (damage(scratch / "armhf"), status(PI3_32).state) == ("", "not installed")

    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "unpack" not in done.stderr
    assert status(PI3_32).state == "installed"
    assert not [*scratch.glob("*.tmp*"), *scratch.glob("downloads")]

    library = next((scratch / "armhf" / "root").glob("usr/lib/*/libstdc++.so.6.*"))
    library.write_bytes(library.read_bytes()[:-1])
    assert "libstdc++" in status(PI3_32).why
    assert install(PI3_32).state == "installed"


def test_two_installations_at_once_wait_for_each_other(scratch, installed):
    waited = []
    lock = FileLock(installed / ".lock")
    lock.acquire()

    def listen(event):
        waited.append(event.note)
        lock.release()

    assert install(PI4, listen=listen).state == "installed"
    assert waited == ["another installation is at work: waiting for it"]
