"""A trial's process: what it leaves, and what is said when it dies or the worker that began it does."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tflite_edge.records.errors import DataError, EdgeError, MissingError, TargetError
from tflite_edge.records.recipe import Convert, DataSource, ModelSource, Recipe
from tflite_edge.search import trial
from tflite_edge.search.trial import Task, run

RECIPE = Recipe(ModelSource("resnet8", input=(8, 8, 1), weights="random"), convert=Convert(("int8",)))


def as_python(tmp_path, monkeypatch, script):
    """Let `script` stand where the trial's Python is started."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(trial.sys, "executable", str(path))


@pytest.mark.parametrize(
    ("script", "kind", "what", "do"),
    [
        ("echo last words >&2; kill -SEGV $$", TargetError, "killed by SIGSEGV", ""),
        ("kill -KILL $$", TargetError, "killed by SIGKILL", "fewer workers"),
        ("echo last words; exit 3", EdgeError, "exit status 3 and without a result", ""),
        ('echo "{" > $3/result.json', EdgeError, "exit status 0 and without a result", ""),
    ],
)
def test_a_process_that_dies_is_a_failed_trial_with_its_reason(tmp_path, monkeypatch, script, kind, what, do):
    as_python(tmp_path, monkeypatch, script)
    found = run(Task(RECIPE, str(tmp_path)))
    assert type(found.error) is kind
    assert what in found.error.what
    assert do in found.error.do
    assert ("last words" in found.error.evidence) == ("last words" in script)
    assert not found.files


def test_what_the_recipe_is_at_fault_for_comes_back_as_it_was_raised(tmp_path):
    found = run(Task(Recipe(RECIPE.model, DataSource(str(tmp_path / "nothing.npz"))), str(tmp_path)))
    assert type(found.error) is DataError
    assert "nothing.npz" in found.error.what


def test_a_bug_in_one_trial_is_that_trial_s(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(trial, "_make", lambda task, out: {}["layer"])
    monkeypatch.setattr(trial, "_end_with_parent", lambda: None)
    monkeypatch.setattr(trial, "from_plain", lambda cls, values: None)
    (tmp_path / "task.json").write_text("{}")
    assert trial.main(tmp_path) == 70
    assert "KeyError" in (tmp_path / trial.RESULT).read_text()
    assert "Traceback" in capsys.readouterr().err


def test_a_disk_that_is_full_is_no_fault_of_the_recipe(tmp_path, monkeypatch):
    def full(task, out):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trial, "_make", full)
    monkeypatch.setattr(trial, "_end_with_parent", lambda: None)
    monkeypatch.setattr(trial, "from_plain", lambda cls, values: None)
    (tmp_path / "task.json").write_text("{}")
    trial.main(tmp_path)
    assert MissingError.__name__ in (tmp_path / trial.RESULT).read_text()


def test_a_machine_that_has_no_place_for_the_trial_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(trial.tempfile, "tempdir", str(tmp_path / "nowhere"))
    found = run(Task(RECIPE, str(tmp_path)))
    assert type(found.error) is MissingError
    assert "nowhere" in found.error.evidence


def test_the_process_ends_with_the_one_that_began_it(tmp_path):
    """Also when that one is killed and can do nothing about it."""
    code = (
        "import sys, threading, time; from pathlib import Path; from tflite_edge.search import trial\n"
        "threading.Thread(target=trial._end_with_parent, daemon=True).start()\n"
        f"Path({str(tmp_path / 'alive')!r}).touch()\n"
        f"time.sleep(1)\nwhile True: Path({str(tmp_path / 'alive')!r}).touch(); time.sleep(0.1)\n"
    )
    outer = (
        "import subprocess, sys; "
        f"subprocess.Popen([sys.executable, '-c', {code!r}], stdin=subprocess.PIPE, start_new_session=True).wait()"
    )
    with subprocess.Popen([sys.executable, "-c", outer], cwd=Path(__file__).parents[2]) as parent:
        _until((tmp_path / "alive").exists)
        parent.send_signal(signal.SIGKILL)
    _until(lambda: time.time() - (tmp_path / "alive").stat().st_mtime > 1.5)


def _until(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_a_trial_brings_back_its_files_with_paths_from_where_they_will_lie(tmp_path, image_folder, model_file):
    place = tmp_path / "search" / "trials" / "007"
    recipe = Recipe(ModelSource(file=str(model_file)), DataSource(str(image_folder)), convert=Convert(("int8",)))
    found = run(Task(recipe, str(place)))
    assert found.error is None
    manifest = found.manifest
    (variant,) = manifest.models
    assert len(found.files[variant.file]) == variant.bytes
    assert (place / manifest.recipe.model.file).resolve() == model_file
    assert (place / manifest.recipe.data.source).resolve() == image_folder
    assert sum(found.hits.values()) >= 1
