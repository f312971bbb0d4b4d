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


COLUMNS = (
    "accelerator_configuration,system_config,memory_mode,nn_macs,cycles_total,cycles_npu,inference_time,"
    "sram_memory_used,dram_memory_used,on_chip_flash_memory_used,off_chip_flash_memory_used"
)
ROW = "Ethos_U55_256,s,m,1,2,2,1e-6,1,0,0,1"


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """Puts another program called vela first: what it does after the compiled model is there, and for --version."""

    def make(then, version="echo 9.0"):
        program = tmp_path / "vela"
        model = real.PATH.stem
        program.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && {{ {version}; exit; }}\ncp "$1" "$5/{model}_vela.tflite"\n'
            f'echo "NPU operators = 1"\ntable="$5/{model}_summary_x.csv"\n{then}\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return make


def test_a_vela_that_answers_as_ours_is_read(stranger):
    stranger(f'printf "{COLUMNS}\\n{ROW}\\n" > "$table"')
    assert vela.compile_for(real.PATH, "ethos-u55-256")[1].vela == "9.0"


@pytest.mark.parametrize(
    "then",
    [
        'true > "$table"',
        f'echo "{COLUMNS}" > "$table"',
        'printf "a,b\\n1,2\\n" > "$table"',
        f'printf "{COLUMNS}\\n{ROW.replace("1e-6", "soon")}\\n" > "$table"',
        f'printf "{COLUMNS}\\n{ROW.replace("256,s,m,1", "256,s,m,inf")}\\n" > "$table"',
        'printf "a\\377\\n" > "$table"',
        "kill -40 $$",
    ],
)
def test_a_vela_that_answers_otherwise_is_an_error_that_says_what_to_do(stranger, then):
    stranger(then)
    with pytest.raises(TargetError) as refused:
        vela.compile_for(real.PATH, "ethos-u55-256")
    assert refused.value.do


def test_a_version_that_never_comes_or_is_no_text(stranger):
    stranger("true", version="exec sleep 20")
    with pytest.raises(TargetError, match="does not tell its version"):
        vela.version(vela.program(), deadline_s=0.1)
    stranger("true", version="printf '\\377'")
    assert vela.version(vela.program()) == "\ufffd"


def test_without_vela_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(MissingError) as refused:
        vela.compile_for(real.PATH, "ethos-u55-256")
    assert "pip install ethos-u-vela" in refused.value.do
