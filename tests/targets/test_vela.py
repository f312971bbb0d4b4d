"""Arm's Vela itself, on small models."""

import sys

import pytest

from tests.flatbuffer import real, tiny
from tflite_edge.flatbuffer import inspect
from tflite_edge.records.errors import MissingError, ModelError, TargetError
from tflite_edge.targets import compilers, vela

needs_vela = pytest.mark.skipif(not compilers.find("vela"), reason="needs ethos-u-vela")


@needs_vela
@pytest.mark.parametrize("accelerator", ["ethos-u55-256", "ethos-u65-512", "ethos-u85-256"])
def test_an_int8_model_goes_to_the_npu(accelerator):
    content, estimate = vela.compile_for(real.PATH, accelerator)
    assert [operator.name for operator in inspect(content).operators] == ["ethos-u"]
    assert estimate.accelerator.lower().replace("_", "-") == accelerator
    assert (estimate.npu_operators > 0, estimate.cpu_operators) == (True, 0)
    assert estimate.cycles >= estimate.npu_cycles > 0
    assert 0 < estimate.inference_s < 1e-3
    assert estimate.macs >= inspect(real.PATH).macs
    assert estimate.sram_bytes > 0
    assert estimate.vela[0].isdigit()


@needs_vela
def test_what_vela_refuses_is_said_in_its_words_and_without_its_traceback(tmp_path):
    """It wants options even where the format lets them be left out."""
    (tmp_path / "bare.tflite").write_bytes(tiny.build([tiny.X, tiny.Y, tiny.KERNEL, tiny.BIAS], [tiny.DENSE]))
    with pytest.raises(ModelError, match=r"Vela refuses bare\.tflite") as refused:
        vela.compile_for(tmp_path / "bare.tflite", "ethos-u55-32")
    assert "Failed to Parse TFLite file" in refused.value.evidence
    assert "File " not in refused.value.evidence
    assert refused.value.do


@needs_vela
def test_a_damaged_model_that_ends_vela_and_one_that_takes_too_long_are_errors(tmp_path):
    short = tmp_path / "short.tflite"
    short.write_bytes(real.PATH.read_bytes()[:6000])
    with pytest.raises(TargetError, match=r"Vela ended on short\.tflite: killed by SIG") as refused:
        vela.compile_for(short, "ethos-u55-256")
    assert refused.value.do
    with pytest.raises(TargetError, match=r"within 0\.01 s"):
        vela.compile_for(real.PATH, "ethos-u55-256", deadline_s=0.01)


def test_without_vela_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(MissingError) as refused:
        vela.compile_for(real.PATH, "ethos-u55-256")
    assert "pip install ethos-u-vela" in refused.value.do
