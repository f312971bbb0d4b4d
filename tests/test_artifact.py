import json
import multiprocessing
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.report import made
from tflite_edge.artifact import Artifact, cached, key_of, sha256, write
from tflite_edge.records.errors import MissingError
from tflite_edge.records.recipe import Convert, recipe_for
from tflite_edge.records.repair import Ladder, Repair


def test_write_replaces_or_leaves_the_old_file(tmp_path):
    path = write(tmp_path / "a", "old")
    with pytest.raises(TypeError):
        write(path, 3)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    assert write(path, b"new").read_bytes() == b"new"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path):
    small = tmp_path / "disk"
    small.mkdir()
    # A real full disk: a tmpfs of a few pages, in a mount namespace of its own.
    script = (
        f"mount -t tmpfs -o size=16k none {small} && "
        'python -c "from pathlib import Path; from tflite_edge.artifact import write; '
        f"write(Path('{small}/a'), b'x' * 100_000)\"; ls -A {small}"
    )
    environment = {**os.environ, "PATH": f"{Path(os.sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", script], capture_output=True, text=True, env=environment
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mount namespace here: {done.stderr.strip()}")
    assert "no space left on the disk" in done.stderr
    assert done.stdout == ""


def test_a_read_only_or_blocked_folder_is_named_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingError, match="a file is in the way") as caught:
        Artifact(tmp_path / "file" / "out", recipe_for("mobilenet"), [])
    assert caught.value.exit_code == 4
    with pytest.raises(MissingError, match="cannot write /proc"):
        Artifact(Path("/proc/out"), recipe_for("mobilenet"), [])


def test_a_step_is_made_once_and_only_appears_complete(tmp_path, monkeypatch):
    monkeypatch.setenv("TFLITE_EDGE_CACHE", str(tmp_path))
    calls = []

    def make(folder):
        calls.append(folder)
        (folder / "a").write_text("x")
        if len(calls) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached("step", "key", make)
    assert not (tmp_path / "step" / "key").exists()
    assert not list((tmp_path / "step").glob("key.tmp*"))
    for _ in range(2):
        assert (cached("step", "key", make) / "a").read_text() == "x"
    assert len(calls) == 2


def _make_slowly(root, results):
    os.environ["TFLITE_EDGE_CACHE"] = root

    def make(folder):
        (folder / "pid").write_text(str(os.getpid()))

    results.put((cached("step", "key", make) / "pid").read_text())


def test_two_processes_share_one_step(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_make_slowly, args=(str(tmp_path), results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert results.get(timeout=60) == results.get(timeout=60)
    for worker in workers:
        worker.join()


def test_keys_and_hashes(tmp_path):
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1}) != key_of({"a": 1})
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").write_text("1")
    before = sha256(tmp_path / "d")
    (tmp_path / "d" / "x").rename(tmp_path / "d" / "y")
    assert sha256(tmp_path / "d") != before


def test_an_earlier_manifest_names_nothing_outside_its_folder(tmp_path):
    from tflite_edge.artifact import _earlier_files

    for name in ("a.tflite", "original/b.tflite", "other/c.tflite"):
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text("x")
    (tmp_path / "outside.tflite").write_text("x")
    listed = ["a.tflite", "original/b.tflite", "other/c.tflite", "../outside.tflite", "original/../a.tflite", "gone"]
    (tmp_path / "out" / "manifest.json").write_text(json.dumps({"models": [{"file": name} for name in listed]}))
    found = [path.relative_to(tmp_path / "out").as_posix() for path in _earlier_files(tmp_path / "out")]
    assert found == ["a.tflite", "original/b.tflite"]


@pytest.mark.parametrize(("quantizer", "kept"), [("converter", Repair(ranges="mse")), ("litert", None)])
def test_what_a_ladder_came_to_is_in_the_recipe_that_can_make_it(quantizer, kept, tmp_path):
    folder, manifest = made.folder(tmp_path)
    recipe = replace(manifest.recipe, convert=Convert(quantizer=quantizer))
    artifact = Artifact(tmp_path / "again", recipe, [])
    artifact.describe(recipe, manifest.source, manifest.preprocess, tmp_path / "pack.npz")
    repaired = replace(manifest.models[1], repair=Ladder(1.0, [], "ranges", "", settings=Repair(ranges="mse")))
    artifact.add(repaired, folder / repaired.file)
    assert artifact.finish().recipe.repair == kept
    assert recipe_for(str(tmp_path / "again" / "manifest.json")).repair == kept
