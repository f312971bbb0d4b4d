"""What the house promises: import contracts, light help, boards without TensorFlow, exported names, a true README."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

import tflite_edge
from tflite_edge.cli import COMMANDS, app
from tflite_edge.records.learning import HeadPlan
from tflite_edge.records.recipe import Convert, DataSource, ModelSource, Recipe, Target, Training, Tuning, read_recipe
from tflite_edge.records.verdict import Gates

ROOT = Path(__file__).parents[2]
HEAVY = ("tensorflow", "tf_keras", "numpy", "PIL", "sklearn", "rich")


def python(code, *flags):
    done = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_import_contracts_hold():
    done = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS), ["emulator", "install", "--help"]],
)
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


def test_the_generated_pages_are_what_the_code_says():
    spec = importlib.util.spec_from_file_location("write_docs", ROOT / "scripts" / "write_docs.py")
    write_docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(write_docs)
    for name, text in write_docs.pages().items():
        assert (ROOT / "docs" / name).read_text() == text, f"run scripts/write_docs.py: docs/{name} is out of date"


def test_the_recipe_s_page_is_a_recipe_of_all_defaults(tmp_path):
    page = (ROOT / "docs" / "recipe.md").read_text()
    path = tmp_path / "recipe.toml"
    path.write_text(re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1])
    assert read_recipe(str(path)) == Recipe(ModelSource("mobilenet"))
    keys = set(re.findall(r"^#? ?(\w+) = ", path.read_text(), re.MULTILINE))
    tables = (ModelSource, DataSource, Training, Tuning, Convert, HeadPlan, Target, Gates)
    assert keys == {field.name for table in tables for field in fields(table)} - {"file"}


@pytest.mark.slow
def test_the_readme_s_python_runs(tmp_path, cache):
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mobilenet-static-wi8ai8.tflite ")
    assert done.stdout.splitlines()[1].startswith("static-wi8ai8 int8 ")


def test_the_readme_s_links_and_tree_are_there():
    text = (ROOT / "README.md").read_text()
    assert all((ROOT / link).exists() for link in re.findall(r"\]\(([^)#:]+)\)", text))
    tree = re.search(r"## The house\s+```\n(.*?)```", text, re.DOTALL)[1]
    folders = []
    for line in tree.splitlines():
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        folders[depth:] = [name]
        assert (ROOT / "/".join(folders)).exists(), name


def test_nothing_of_this_machine_is_in_the_project():
    """What git holds names no home folder and no checkout: whoever clones it has others."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    texts = {".py", ".md", ".toml", ".cfg", ".txt", ""}
    for path in (ROOT / name for name in files):
        if path.is_file() and path.suffix in texts and path != Path(__file__):
            assert not re.search(r"/work/|/root/|/home/|\.pyenv", path.read_text()), path
