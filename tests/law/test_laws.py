"""What the house promises: import contracts, light help, boards without TensorFlow, exported names, a true README."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import tflite_edge
from tflite_edge.cli import COMMANDS, app

ROOT = Path(__file__).parents[2]
HEAVY = ("tensorflow", "tf_keras", "numpy", "PIL", "sklearn", "rich")


def python(code, *flags):
    done = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_import_contracts_hold():
    done = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_loads_nothing_heavy(arguments):
    loaded = python(
        f"import sys, json; sys.argv = ['tflite-edge', *{arguments!r}]; from tflite_edge.cli import main\n"
        "main(); print(); print(json.dumps(sorted(sys.modules)))"
    )
    modules = json.loads(loaded.splitlines()[-1])
    assert not set(HEAVY) & set(modules)


def test_the_public_names_exist_and_importing_the_package_loads_none_of_them():
    loaded = python("import tflite_edge, sys; print(*sys.modules)").split()
    assert not [name for name in loaded if name.startswith("tflite_edge.")]
    for name in tflite_edge.__all__:
        assert getattr(tflite_edge, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tflite_edge.nothing  # noqa: B018


def test_the_board_s_folders_run_without_the_host_s_packages():
    blocked = "click rich PIL platformdirs filelock tensorflow tf_keras sklearn"
    python(
        "import sys, importlib, pkgutil\n"
        f"for name in {blocked!r}.split(): sys.modules[name] = None\n"
        "import tflite_edge.records, tflite_edge.harness\n"
        "for package in (tflite_edge.records, tflite_edge.harness):\n"
        "    for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
    )


@pytest.mark.parametrize("folder", ["records", "harness"])
def test_the_board_s_folders_are_written_for_python_3_9(folder):
    for path in (ROOT / "tflite_edge" / folder).glob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 9))


def test_every_command_has_a_help_with_an_example():
    for name in COMMANDS:
        text = CliRunner().invoke(app, [name, "--help"]).output
        assert name == "models" or f"tflite-edge {name}" in text
        assert all(len(line) <= 100 for line in text.splitlines())


def test_every_module_says_what_it_is():
    for path in (ROOT / "tflite_edge").rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_nothing_of_this_machine_is_in_the_project():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    for name in files:
        path = ROOT / name
        if (
            path.is_file()
            and path.stat().st_size < 1_000_000
            and path.suffix in {".py", ".md", ".toml", ".cfg", ".txt", ""}
        ):
            assert not re.search(r"/work/|/root/|\.pyenv", path.read_text().replace(__file__, "")) or path == Path(
                __file__
            ), name
