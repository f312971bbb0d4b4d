"""The accelerators' compilers: their words are read, and a missing one is said."""

from tests.flatbuffer import tiny
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


def test_a_compiler_that_is_there_is_run_on_the_model(tmp_path, monkeypatch):
    model, program = tmp_path / "m.tflite", tmp_path / "edgetpu_compiler"
    model.write_bytes(tiny.int8_model())
    program.write_text(f'#!/bin/sh\n[ -f "$4" ] && cat <<E\n{EDGETPU}E\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert compilers.compiled("coral-usb", str(model)).said == "31 of 32 operators on the Edge TPU"
