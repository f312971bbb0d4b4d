"""C source for microcontrollers, compiled and compared byte for byte."""

import shutil
import subprocess

import pytest

from tests.flatbuffer import tiny
from tests.flatbuffer.tiny import Op, T
from tests.harness import tiny as harness_tiny
from tflite_edge.deploy import mcu
from tflite_edge.flatbuffer import rules
from tflite_edge.flatbuffer.schema import BUILTIN_OPERATORS
from tflite_edge.records.errors import ModelError


def test_every_method_stands_for_a_builtin_operator():
    assert set(mcu.METHODS) <= set(BUILTIN_OPERATORS)
    assert mcu.METHODS["CONV_2D"] == "AddConv2D"
    assert mcu.METHODS["FULLY_CONNECTED"] == "AddFullyConnected"
    assert mcu.METHODS["RESIZE_NEAREST_NEIGHBOR"] == "AddResizeNearestNeighbor"


@pytest.mark.parametrize(
    ("name", "symbol"), [("mobilenet_v2", "mobilenet_v2"), ("8-bit net", "m_8_bit_net"), ("größe", "gr_e"), ("", "m_")]
)
def test_any_name_becomes_an_identifier(name, symbol):
    assert mcu.symbol_of(name) == symbol


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
@pytest.mark.parametrize("language", ["c", "c++"])
def test_the_array_compiles_and_holds_the_model_s_bytes(tmp_path, language):
    model = tmp_path / "dense_int8.tflite"
    model.write_bytes(harness_tiny.dense_int8())
    for name, content in mcu.sources(model, "my net", 2048, "an estimate").items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include <stdint.h>\n#include "my_net_model.h"\n'
        "int main(void) { if ((uintptr_t)my_net_model % 16 || MY_NET_ARENA_BYTES != 2048) return 1;\n"
        "return fwrite(my_net_model, 1, my_net_model_bytes, stdout) != my_net_model_bytes; }\n"
    )
    flags = ["-Wall", "-Wextra", "-Werror", "-x", language]
    subprocess.run(["gcc", *flags, "main.c", "my_net_model.c", "-o", "main"], cwd=tmp_path, check=True, timeout=120)
    ran = subprocess.run([tmp_path / "main"], capture_output=True, check=True, timeout=60)
    assert ran.stdout == model.read_bytes()
    ops = (tmp_path / "my_net_ops.h").read_text()
    assert "MicroMutableOpResolver<1>" in ops
    assert "resolver.AddFullyConnected()" in ops


@pytest.mark.parametrize(
    ("content", "evidence", "do"),
    [
        (harness_tiny.unary("ATAN2"), "#0 ATAN2: ", "use layers"),
        (tiny.dynamic_model(), "#0 FULLY_CONNECTED: ", "--quantize int8"),  # every operator is there, no kernel is
        (tiny.build([tiny.X, T("y")], [Op("CUSTOM", ("x",), ("y",), custom="Mine")]), "not a builtin", "AddCustom"),
    ],
)
def test_what_does_not_start_is_refused_as_check_says(tmp_path, content, evidence, do):
    path = tmp_path / "strange.tflite"
    path.write_bytes(content)
    assert any(finding.fatal for finding in rules.place("mcu", rules.look(str(path))).findings)
    with pytest.raises(ModelError, match="does not start on TensorFlow Lite Micro") as refused:
        mcu.sources(path, "x", 1, "")
    assert evidence in refused.value.evidence
    assert do in refused.value.do


def test_every_operator_that_check_maps_can_be_registered():
    assert set(rules.named("mcu").operators) <= set(mcu.METHODS)
