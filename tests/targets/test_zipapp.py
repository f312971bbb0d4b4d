"""harness.pyz: the same bytes every time, alone on the board, and one JSON document on stdout."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from tflite_edge.records.job import Job
from tflite_edge.targets.zipapp import harness_bytes, harness_pyz

FOREIGN = ("tensorflow", "tf_keras", "keras", "click", "rich", "PIL", "filelock", "platformdirs", "flatbuffers")
# A child that runs the zipapp as Python would, with the way to everything foreign barred, and tells what it imported.
WATCHER = f"""
import runpy, sys
class Bar:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {FOREIGN!r}:
            raise ImportError("barred: " + name)
sys.meta_path.insert(0, Bar())
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.fixture
def pyz(tmp_path):
    return harness_pyz(tmp_path / "pyz")


def start(*argv):
    return subprocess.run([sys.executable, "-I", *map(str, argv)], capture_output=True, text=True, check=False)


def write(folder, **fields):
    path = folder / "job.json"
    path.write_text(json.dumps(asdict(Job(**fields))))
    return path


def test_it_is_deterministic_and_made_once(tmp_path):
    first = harness_pyz(tmp_path)
    made = first.stat().st_mtime_ns
    assert harness_pyz(tmp_path) == first
    assert first.stat().st_mtime_ns == made
    assert first.read_bytes() == harness_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


def test_a_damaged_one_is_made_again(tmp_path):
    path = harness_pyz(tmp_path)
    path.write_bytes(b"half a fi")
    assert harness_pyz(tmp_path).read_bytes() == harness_bytes()


def test_it_holds_two_folders_only(pyz):
    with zipfile.ZipFile(pyz) as archive:
        names = archive.namelist()
    assert names == sorted(names)
    folders = {name.rpartition("/")[0] for name in names}
    assert folders == {"", "tflite_edge", "tflite_edge/records", "tflite_edge/harness"}


@pytest.mark.parametrize("verb", ["bench", "score"])
def test_the_answer_is_alone_on_stdout_and_nothing_foreign_is_imported(pyz, models, tmp_path, verb):
    np.savez(tmp_path / "p.npz", x=np.zeros((2, 4), np.float32))
    model, pack = str(models / "dense.tflite"), str(tmp_path / "p.npz")
    path = write(tmp_path, verb=verb, model=model, pack=pack, runs=1, min_seconds=0.0)
    done = start("-c", WATCHER, pyz, path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True
    assert done.stdout.count("\n") == 1
    imported = done.stderr.splitlines()[-1].split()
    assert "tflite_edge.harness" in imported
    assert not {name.partition(".")[0] for name in imported} & set(FOREIGN)


def test_what_c_libraries_print_goes_to_stderr(pyz, tmp_path):
    prints = f"""
import ctypes, runpy, sys, tflite_edge.harness.__main__ as harness
def do(job):
    print("from Python")
    libc = ctypes.CDLL(None)
    libc.puts(b"from C")
    libc.fflush(None)
    return {{"median_s": 1.0}}
harness._do = do
sys.exit(harness.main([{str(write(tmp_path, verb="bench", model="m"))!r}]))
"""
    done = start("-c", f"import sys; sys.path.insert(0, {str(pyz)!r})\n" + prints)
    assert json.loads(done.stdout) == {"schema": 1, "ok": True, "median_s": 1.0}
    assert "from C" in done.stderr
    assert "from Python" in done.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("not json", "not a job"),
        ('{"verb": "bench", "model": "m", "thread": 2}', "unknown key 'thread'"),
        ('{"verb": "fly", "model": "m"}', "verb must be"),
        ('{"verb": "bench", "model": "m", "schema": 2}', "schema 2"),
        ('{"verb": "score", "model": "m"}', "needs a pack"),
        ('{"verb": "bench", "model": "m", "threads": 0}', "threads"),
        ('{"verb": "bench", "model": "m", "preprocess": {"std": [0]}}', "std must not contain 0"),
    ],
)
def test_a_bad_job_is_a_document_too(pyz, tmp_path, content, says):
    path = tmp_path / "job.json"
    path.write_text(content)
    done = start(pyz, path)
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert (document["schema"], document["ok"], document["error"]["kind"]) == (1, False, "job")
    assert says in document["error"]["what"]


def test_without_an_argument(pyz):
    done = start(pyz)
    assert (done.returncode, json.loads(done.stdout)["error"]["kind"]) == (1, "job")


def test_without_numpy(pyz, tmp_path):
    path = write(tmp_path, verb="bench", model="m")
    done = subprocess.run([sys.executable, "-I", "-S", pyz, path], capture_output=True, text=True, check=False)
    error = json.loads(done.stdout)["error"]
    assert (error["kind"], error["what"], error["do"]) == ("runtime", "NumPy cannot be imported", "pip install numpy")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_quiet(pyz, models, tmp_path, number):
    path = write(tmp_path, verb="bench", model=str(models / "dense.tflite"), runs=2**60)
    child = subprocess.Popen(
        [sys.executable, "-I", pyz, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    process = Path(f"/proc/{child.pid}")
    opened_at = None
    for _ in range(3000):  # until the model is open and has run for a while: imports print what interrupts them
        ticks = int((process / "stat").read_text().rpartition(")")[2].split()[11])
        if opened_at is None and "dense.tflite" in (process / "maps").read_text():
            opened_at = ticks
        if opened_at is not None and ticks > opened_at + 30:
            break
        time.sleep(0.01)
    os.kill(child.pid, number)
    stdout, stderr = child.communicate(timeout=60)
    assert (child.returncode, stdout) == (130, b"")
    assert b"Traceback" not in stderr
