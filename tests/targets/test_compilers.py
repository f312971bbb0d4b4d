"""The accelerators' compilers: their words are read, and a missing one is said."""

import pytest

from tests.flatbuffer import real, tiny
from tests.targets.edgetpu import compiled
from tflite_edge.targets import compilers

EDGETPU = """Edge TPU Compiler version 16.0.384591198
Number of operations that will run on Edge TPU: 31
Number of operations that will run on CPU: 1
"""
VELA = """Warning: SOFTMAX operation is unknown or unsupported, placing on CPU
CPU operators = 1 (7.7%)
NPU operators = 12 (92.3%)
"""


def test_what_the_compilers_print_is_read():
    edgetpu, vela = compilers.read_edgetpu(EDGETPU), compilers.read_vela(VELA)
    assert (edgetpu.mapped, edgetpu.total, vela.mapped, vela.total) == (31, 32, 12, 13)
    whole = compilers.read_edgetpu(
        "Number of Edge TPU subgraphs: 1\nTotal number of operations: 246\nOperation log: m.log\n"
    )
    assert (whole.mapped, whole.total) == (246, 246)
    refused = compilers.read_edgetpu("ERROR: Registration failed.\n\nModel could not be parsed\n")
    assert (refused.mapped, refused.said) == (None, "edgetpu_compiler refuses it: Model could not be parsed")


def test_a_compiler_is_not_required(tmp_path, monkeypatch):
    (tmp_path / "m.tflite").write_bytes(tiny.int8_model())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not installed" in compilers.compiled("coral-usb", str(tmp_path / "m.tflite")).said
    assert compilers.compiled("xnnpack", str(tmp_path / "m.tflite")).program == ""


@pytest.fixture
def edgetpu(tmp_path, monkeypatch):
    """Makes an edgetpu_compiler that prints EDGETPU, leaves `content` (None: no file), and ends with `status`."""

    def make(content, status=0):
        program, made = tmp_path / "edgetpu_compiler", tmp_path / "made"
        made.write_bytes(content or b"")
        copy = f'cp {made} "$3/$(basename "$4" .tflite)_edgetpu.tflite"' if content is not None else "true"
        program.write_text(f'#!/bin/sh\n[ -f "$4" ] && cat <<E\n{EDGETPU}E\n{copy}\nexit {status}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    (tmp_path / "m.tflite").write_bytes(tiny.int8_model())
    return make


def test_a_compiler_that_is_there_is_run_on_the_model(tmp_path, edgetpu):
    made = compiled(tiny.int8_model())
    edgetpu(made)
    assert compilers.compiled("coral-usb", str(tmp_path / "m.tflite")).said == "31 of 32 operators on the Edge TPU"
    assert compilers.edgetpu(tmp_path / "m.tflite")[0] == made


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        (
            compiled(tiny.int8_model()),
            1,
            "edgetpu_compiler failed (exit 1): Number of operations that will run on CPU: 1",
        ),
        (None, 0, "edgetpu_compiler failed (exit 0): Number of operations that will run on CPU: 1"),
        (b"garbage", 0, "cannot be used: "),
        (tiny.int8_model(), 0, "cannot be used: it has no edgetpu-custom-op"),
        (compiled(real.PATH.read_bytes()), 0, "cannot be used: it takes or gives other tensors"),
    ],
)
def test_what_is_not_the_compiled_model_is_not_taken_for_it(tmp_path, edgetpu, content, status, says):
    edgetpu(content, status)
    made, said = compilers.edgetpu(tmp_path / "m.tflite")
    assert (made, said.mapped) == (b"", None)
    assert says in said.said
    assert compilers.compiled("coral-usb", str(tmp_path / "m.tflite")) == said
