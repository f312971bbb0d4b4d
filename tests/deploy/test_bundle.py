"""Bundles, packed with real wheels, installed and run on emulated Raspberry Pis, offline."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.board import Home
from tflite_edge.deploy import archive
from tflite_edge.deploy.build import open_build
from tflite_edge.records.board import BOARDS
from tflite_edge.records.errors import ModelError, UsageError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["pi4", "pi3-32"])
def packed(request, boards, converted, edge, tmp_path_factory):
    """(board's name, archive) as the command packs it, signed."""
    out = tmp_path_factory.mktemp("dist")
    before, os.environ["TFLITE_EDGE_CACHE"] = os.environ["TFLITE_EDGE_CACHE"], str(boards)
    try:
        edge("keygen", "-o", out / "key")
        done = edge.json("package", converted[0], "--for", request.param, "-o", out, "--sign", out / "key")
    finally:
        os.environ["TFLITE_EDGE_CACHE"] = before
    assert done["model"].endswith("-static-wi8ai8.tflite")
    return request.param, out / f"small-{request.param}.tar.gz"


@pytest.fixture
def home(packed, boards, tmp_path):
    place = Home(tmp_path / "home", packed[0], boards)
    place("tar", "xzf", str(packed[1]))
    return place


def refuse_to_take_over(install, home):
    """Another installation does not take the command over, nor does a relative place confuse it."""
    elsewhere = subprocess.run(
        [install], env={**home.env, "PREFIX": "opt"}, cwd=home.folder, capture_output=True, text=True, timeout=600
    )
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert "was left alone" in elsewhere.stdout
    assert (home.folder / "opt" / "current" / "bin" / "classify").exists()


def test_it_installs_offline_and_answers_as_the_host_does(packed, home, image_folder, edge, converted):
    board, _ = packed
    install = home.folder / f"small-{board}" / "install.sh"
    done = home(install)
    assert done.returncode == 0, done.stderr
    assert '"largest_difference": 0.0' in done.stdout
    assert done.stdout.endswith("verdict: ok\n")
    images = [image_folder / name / "1.png" for name in ("a-zero", "b-one", "c-two", "d-three")]
    answered = home("classify", *images)
    assert answered.returncode == 0, answered.stderr
    answers = [json.loads(line) for line in answered.stdout.splitlines()]
    machine = json.loads(home("classify", "--info").stdout)["machine"]
    assert machine == BOARDS[board].machine
    assert [answer["label"] for answer in answers] == ["a-zero", "b-one", "c-two", "d-three"]
    if board == "pi4":  # once is enough
        refuse_to_take_over(install, home)
    # A damaged bundle does not replace what is installed.
    (install.parent / "labels.txt").write_text("changed\n")
    again = home(install)
    assert again.returncode == 3
    assert "changed or is damaged" in again.stderr
    assert json.loads(home("classify", images[0]).stdout)["label"] == "a-zero"


def test_another_python_and_another_machine_are_refused(packed, home):
    board, _ = packed
    install = home.folder / f"small-{board}" / "install.sh"
    fake = home.folder / "fake"
    fake.mkdir()
    for name, line in (("python3", 'exec /usr/bin/python3 "$@"'),):
        (fake / name).write_text(f"#!/bin/sh\n{line}\n")
        (fake / name).chmod(0o755)
    if not Path("/usr/bin/python3").exists():
        pytest.skip("no other Python here")
    done = subprocess.run(
        [install], env={**home.env, "PATH": f"{fake}:/usr/bin:/bin"}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 4
    assert f"this bundle is for {BOARDS[board].title}" in done.stderr
    assert not (home.folder / ".local/share/tflite-edge/small/current").exists()


def test_the_archive_is_verified_by_the_command(packed, edge):
    _, bundle = packed
    told = edge.json("verify", bundle, "--key", bundle.parent / "key.pub")
    assert {"install.sh", "app.pyz", "smoke.npz", "sbom.cdx.json", "MODEL_CARD.md"} <= set(told["files"])
    assert told["signature"]["comment"].startswith(f"file:{bundle.name}")
    wrong = bundle.with_name("wrong.tar.gz")
    shutil.copy(bundle, wrong)
    edge("verify", wrong, "--key", bundle.parent / "key.pub", code=3)


def test_the_bill_of_materials_names_every_file_of_another_maker(packed):
    files = archive.contents(packed[1])
    bill = json.loads(files["sbom.cdx.json"])
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    listed = {part["bom-ref"] for part in bill["components"]}
    assert {name.split("/")[1] for name in files if name.startswith(("wheels/", "debs/"))} <= listed
    text = files["manifest.json"].decode() + files["bundle.json"].decode() + files["MODEL_CARD.md"].decode()
    assert str(Path.home()) not in text
    assert "/tmp" not in text


def test_what_cannot_be_packed_is_refused(edge, converted, tmp_path):
    out, _ = converted
    assert "not a folder that" in edge("package", tmp_path, "--for", "pi4", code=3).stderr
    assert "did you mean 'pi4'" in edge("package", out, "--for", "pi44", code=2).stderr
    assert "no model 'int9'" in edge("package", out, "--for", "pi4", "--model", "int9", code=2).stderr
    refused = edge("package", out, "--for", "pi3-32", "--runtime", "ai-edge-litert", "-o", tmp_path, code=2)
    assert "has no ai-edge-litert" in refused.stderr
    assert not list(tmp_path.iterdir())


def test_a_name_that_a_shell_would_run_is_refused(converted, tmp_path):
    shutil.copytree(converted[0], tmp_path / "small")
    place = tmp_path / "small" / "manifest.json"
    for name in ("x$(touch PWNED)", "bob's", '"', "../x", "-x"):
        document = json.loads(place.read_text())
        place.write_text(json.dumps({**document, "name": name}))
        with pytest.raises(ModelError, match="cannot be packed"):
            open_build(tmp_path / "small")


def test_a_model_that_was_changed_since_is_refused(converted, tmp_path):
    shutil.copytree(converted[0], tmp_path / "small")
    build = open_build(tmp_path / "small", "float16")
    build.model.write_bytes(build.model.read_bytes() + b"x")
    with pytest.raises(ModelError, match="is not what was converted"):
        open_build(tmp_path / "small", "float16")
    with pytest.raises(UsageError, match="no model"):
        open_build(tmp_path / "small", "nothing")
