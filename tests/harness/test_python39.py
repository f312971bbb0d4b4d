"""The board may have Python 3.9 (Raspberry Pi OS Bullseye): what runs there keeps to its syntax."""

import ast
from pathlib import Path

import pytest

import tflite_edge

PACKAGE = Path(tflite_edge.__file__).parent
ON_THE_BOARD = [
    PACKAGE / "__init__.py",
    *sorted((PACKAGE / "records").glob("*.py")),
    *sorted((PACKAGE / "harness").glob("*.py")),
    *sorted((PACKAGE / "runner").glob("*.py")),
    *(PACKAGE / "targets" / name for name in ("__init__.py", "child.py", "local.py", "machine.py", "zipapp.py")),
    PACKAGE.parent / "scripts" / "pi_benchmark.py",
]


@pytest.mark.parametrize("path", ON_THE_BOARD, ids=lambda path: path.name)
def test_syntax(path):
    ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 9))


@pytest.mark.parametrize("path", ON_THE_BOARD, ids=lambda path: path.name)
def test_annotations_are_not_evaluated(path):
    """`X | None` in an annotation is only text then; 3.9 would fail on evaluating it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    annotated = any(getattr(node, "annotation", None) or getattr(node, "returns", None) for node in ast.walk(tree))
    future = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    assert future or not annotated
