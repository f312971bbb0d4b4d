"""Archives for a Coral, an Ethos-U and a microcontroller, as the installed command packs them."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.targets import edgetpu
from tests.targets.test_compilers import EDGETPU
from tflite_edge.deploy import archive, coral
from tflite_edge.flatbuffer import appended, inspect
from tflite_edge.records.board import BOARDS
from tflite_edge.targets import compilers

pytestmark = pytest.mark.slow
needs_vela = pytest.mark.skipif(not compilers.find("vela"), reason="needs ethos-u-vela")


def compiled_bytes(files, folder):
    """What the C array in `files` comes to, compiled by gcc and run."""
    for name in ("small_model.h", "small_model.c"):
        (folder / name).write_bytes(files[name])
    (folder / "main.c").write_text(
        '#include <stdio.h>\n#include "small_model.h"\n'
        "int main(void) { return fwrite(small_model, 1, small_model_bytes, stdout) != small_model_bytes; }\n"
    )
    argv = ["gcc", "-Wall", "-Wextra", "-Werror", "main.c", "small_model.c", "-o", "main"]
    subprocess.run(argv, cwd=folder, check=True, timeout=120)
    return subprocess.run([folder / "main"], capture_output=True, check=True, timeout=60).stdout


@needs_vela
@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
def test_an_ethos_archive_holds_what_vela_made_and_estimates(converted, edge, tmp_path):
    told = edge.json("package", converted[0], "--for", "ethos-u55-256", "-o", tmp_path)
    assert (told["verdict"], told["findings"]) == ("ok", [])
    estimate = told["accelerator"]["estimate"]
    assert (estimate["accelerator"], estimate["cpu_operators"]) == ("Ethos_U55_256", 0)
    assert any("estimated by Vela, not measured" in note for note in told["notes"])
    files = archive.contents(tmp_path / "small-ethos-u55-256.tar.gz")
    compiled = files["small-static-wi8ai8_vela.tflite"]
    assert compiled_bytes(files, tmp_path) == compiled
    facts = inspect(compiled)
    assert [operator.name for operator in facts.operators] == ["ethos-u"]
    assert facts.file.described is None  # labels and names are no use in a firmware
    assert json.loads(files["vela.json"]) == estimate
    assert b"resolver.AddEthosU()" in files["small_ops.h"]
    read_me = files["README.md"].decode()
    assert f"{estimate['cycles']:,} cycles" in read_me
    assert "6 of 6 operators on the Ethos-U55" in read_me
    scratch = next(tensor.shape[0] for tensor in facts.tensors if tensor.name == "scratch")
    assert f"{scratch:,} bytes that Vela reserves" in read_me
    again = edge.json("package", converted[0], "--for", "ethos-u55-256", "-o", tmp_path / "again")
    assert again["sha256"] == told["sha256"]


@needs_vela
def test_a_model_of_which_the_npu_takes_nothing_is_refused_unless_told(converted, edge, tmp_path):
    refused = edge("package", converted[0], "--for", "ethos-u55-256", "--model", "float32", "-o", tmp_path, code=3)
    assert "nothing of small-float.tflite runs on the Ethos-U55" in refused.stderr
    assert "--quantize int8" in refused.stderr
    assert not list(tmp_path.iterdir())
    arguments = ("--for", "ethos-u55-256", "--model", "float32", "--accept-degraded", "-o", tmp_path)
    told = edge.json("package", converted[0], *arguments)
    assert told["verdict"] == "degraded"
    assert told["accelerator"]["estimate"]["npu_operators"] == 0
    assert told["accelerator"]["estimate"]["cycles"] is None


def test_without_vela_it_says_how_to_get_it(converted, edge, tmp_path):
    """With a Python that has no Vela beside it, as the program is found by both."""
    code = "import sys; sys.executable = '/nowhere/python'; from tflite_edge.__main__ import main; sys.exit(main())"
    argv = ["package", str(converted[0]), "--for", "ethos-u55-256", "-o", str(tmp_path)]
    env = {**os.environ, "PATH": str(tmp_path)}
    python = edge.path.parent / "python"
    done = subprocess.run([python, "-c", code, *argv], capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 4, done.stderr
    assert "pip install ethos-u-vela" in done.stderr


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
def test_a_microcontroller_s_archive_holds_the_stripped_model(converted, edge, tmp_path):
    told = edge.json("package", converted[0], "--for", "mcu", "-o", tmp_path)
    files = archive.contents(tmp_path / "small-mcu.tar.gz")
    model = files["small-static-wi8ai8-mcu.tflite"]
    assert compiled_bytes(files, tmp_path) == model
    assert len(model) < (converted[0] / "small-static-wi8ai8.tflite").stat().st_size
    assert (inspect(model).file.described, appended.split(model)[1]) == (None, {})
    (arena,) = told["notes"]
    assert "measured: " in arena or ("an estimate: " in arena and "not measured" in arena)


@pytest.fixture
def supplied(boards, monkeypatch):
    monkeypatch.setenv("TFLITE_EDGE_CACHE", str(boards))


def test_a_coral_archive_says_what_runs_where_and_how_to_compile(converted, edge, tmp_path, supplied):
    told = edge.json("package", converted[0], "--for", "coral-usb", "-o", tmp_path)
    assert told["accelerator"]["placement"]["macs_share"] == 1.0
    assert told["accelerator"]["compiled"] == ""
    assert told["accelerator"]["command"] == "edgetpu_compiler --show_operations small-static-wi8ai8.tflite"
    files = archive.contents(tmp_path / "small-coral-usb.tar.gz")
    card = json.loads(files["bundle.json"])
    assert (card["delegate"], card["compiled_sha256"], card["board"]) == ("edgetpu", "", "pi4")
    assert card["compiled"] == "small-static-wi8ai8_edgetpu.tflite"
    assert card["compiled"] not in files
    read_me = files["CORAL.md"].decode()
    for words in ("6 of 6 operators", told["accelerator"]["command"], "classify --smoke", "crashes (1, 2)"):
        assert words in read_me
    assert "@" not in read_me.replace("coral-usb@", "")


def test_a_compiler_that_is_there_is_used_for_the_board_that_is_named(converted, edge, tmp_path, supplied):
    """Coral's compiler does not run here: a script with its interface and its words."""
    model = converted[0] / "small-static-wi8ai8.tflite"
    (tmp_path / "made").write_bytes(edgetpu.compiled(model.read_bytes()))
    program = tmp_path / "bin" / "edgetpu_compiler"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\n[ "$1 $2" = "--show_operations --out_dir" ] || exit 1\n'
        f'cp {tmp_path}/made "$3/$(basename "$4" .tflite)_edgetpu.tflite"\ncat <<E\n{EDGETPU}E\n'
    )
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    argv = ["package", converted[0], "--for", "coral-usb@pi5", "-o", tmp_path, "--format", "json"]
    told = json.loads(edge(*argv, env=env).stdout)
    assert told["accelerator"]["compiled"] == "small-static-wi8ai8_edgetpu.tflite"
    assert "31 of 32 operators" in told["accelerator"]["compiler"]
    files = archive.contents(tmp_path / "small-coral-usb-pi5.tar.gz")
    card = json.loads(files["bundle.json"])
    assert card["board"] == "pi5"
    assert archive.sums({card["compiled"]: files[card["compiled"]]}).decode().startswith(card["compiled_sha256"])
    assert f"SHA-256 `{card['compiled_sha256']}`" in files["CORAL.md"].decode()


def test_what_no_edge_tpu_takes_is_refused_in_the_words_of_check(converted, edge, tmp_path):
    argv = ["package", converted[0], "--for", "coral-usb", "-o", tmp_path]
    refused = edge(*argv, "--model", "float16", code=3)
    assert "runs on the Edge TPU" in refused.stderr
    assert "--quantize int8" in refused.stderr
    assert "did you mean 'coral-usb@pi5'" in edge(*argv[:3], "coral-usb@pi55", code=2).stderr


def test_the_matrix_is_the_same_in_the_bundle_and_in_the_documentation():
    bundle = (Path(coral.__file__).parent / "coral.md").read_text(encoding="utf-8")
    docs = (Path(__file__).parents[2] / "docs" / "how-to" / "coral.md").read_text(encoding="utf-8")
    rows = [line for line in bundle.splitlines() if line.startswith("| 3.")]
    assert len(rows) == 4
    assert [line for line in docs.splitlines() if line.startswith("| 3.")] == rows
    assert all(f"coral-usb@{name}" in coral.CORALS for name in BOARDS)
