"""The choice of the runtime, and its refusals in the user's words."""

import sys
import types

import numpy as np
import pytest

from tflite_edge.harness import runtime
from tflite_edge.records.errors import MissingError, ModelError


@pytest.fixture
def installed(monkeypatch):
    """A function that makes just these runtimes importable, as empty modules: none is loaded into this process."""

    def install(**versions):
        for package in runtime.PACKAGES.values():
            monkeypatch.setitem(sys.modules, package, None)  # None makes an import fail
            monkeypatch.setitem(sys.modules, package + ".interpreter", None)
        for package, version in versions.items():
            module = types.ModuleType(package)
            module.__version__ = version
            monkeypatch.setitem(sys.modules, package, module)
            monkeypatch.setitem(sys.modules, package + ".interpreter", types.ModuleType(package + ".interpreter"))

    return install


def test_auto_prefers_ai_edge_litert(installed, monkeypatch):
    installed(ai_edge_litert="2.3.0", tflite_runtime="2.14.0")
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(runtime, "_installed_version", lambda name: "2.14.0")
    told = runtime.describe(runtime.choose("auto"))
    assert (told.name, told.version) == ("ai-edge-litert", "2.3.0")
    assert told.why == "ai-edge-litert 2.3.0: faster int8 kernels; tflite-runtime 2.14.0 is installed as well"


def test_auto_takes_what_there_is(installed, monkeypatch):
    installed(tflite_runtime="2.14.0")
    monkeypatch.setattr(np, "__version__", "1.26.4")
    told = runtime.describe(runtime.choose("auto"))
    assert told.name == "tflite-runtime"
    assert told.why == "tflite-runtime 2.14.0: ai-edge-litert cannot be imported"


def test_a_named_runtime_is_that_one_or_an_error(installed):
    installed(ai_edge_litert="2.3.0")
    assert runtime.describe(runtime.choose("ai-edge-litert")).why.endswith("asked for by name")
    with pytest.raises(MissingError, match="tflite-runtime cannot be imported") as caught:
        runtime.choose("tflite-runtime")
    assert caught.value.do.startswith("pip install tflite-runtime==2.14.0")


def test_no_runtime_at_all_names_both(installed):
    installed()
    with pytest.raises(MissingError, match="no TFLite runtime can be imported") as caught:
        runtime.choose("auto")
    assert "pip install ai-edge-litert" in caught.value.do
    assert "Python 3.9 or later" in caught.value.do  # 2.1.0 has wheels for 3.9, aarch64 as well
    assert "tflite-runtime: " in caught.value.evidence


def test_numpy_2_is_named_with_tflite_runtime(installed, monkeypatch):
    installed(tflite_runtime="2.14.0")
    monkeypatch.setattr(np, "__version__", "2.2.6")
    with pytest.raises(MissingError, match=r"cannot run with NumPy 2\.2\.6") as caught:
        runtime.choose("auto")
    assert "numpy<2" in caught.value.do


@pytest.mark.parametrize(
    ("message", "says", "do"),
    [
        (
            "Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'. An older version ...",
            "does not know FULLY_CONNECTED version 12",
            "convert it for",
        ),
        (
            "Select TensorFlow op(s), included in the given model, is(are) not supported by this interpreter.",
            "Flex",
            "builtin operators only",
        ),
        ("Regular TensorFlow ops are not supported. Node number 0 (FlexErf) failed to prepare.", "Flex", "builtin"),
        (
            "Encountered unresolved custom op: Detect.See instructions: ...",
            "custom operator Detect",
            "replace the layer",
        ),
        ("Node number 3 (CONV_2D) failed to prepare.", "refuses m.tflite", "whole"),
    ],
)
def test_refusals(message, says, do):
    error = runtime.refusal("m.tflite", "tflite-runtime 2.14.0", message)
    assert says in error.what
    assert "tflite-runtime 2.14.0" in error.what
    assert error.evidence == message
    assert do in error.do


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 a zip file"])
def test_other_files_are_refused_before_the_runtime_sees_them(tmp_path, content):
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    chosen = runtime.Chosen("ai-edge-litert", None, "auto", [])
    with pytest.raises(ModelError, match="not a TFLite model"):
        runtime.open_interpreter(str(path), chosen, 1)
    with pytest.raises(ModelError, match="cannot read"):
        runtime.open_interpreter(str(tmp_path / "none.tflite"), chosen, 1)


def test_kernels_that_a_runtime_cannot_be_asked_for_are_refused_with_the_reason(installed, tmp_path):
    """TFLite before 2.5 has no OpResolverType."""
    installed(tflite_runtime="2.4.0")
    (tmp_path / "m.tflite").write_bytes(b"\0\0\0\0TFL3")
    with pytest.raises(MissingError, match="has no reference kernels to choose") as caught:
        runtime.open_interpreter(str(tmp_path / "m.tflite"), runtime.choose("tflite-runtime"), 1, "reference")
    assert "OpResolverType.BUILTIN_REF" in caught.value.evidence
    assert caught.value.do
