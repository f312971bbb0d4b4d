"""The plugin that counts: its decoder against real words, its compiler, and counts of the boards' runtimes."""

import shutil
import subprocess
from collections import Counter

import pytest

from tests.flatbuffer import tiny
from tests.flatbuffer.tiny import Op, T
from tflite_edge.records.errors import MissingError, ModelError, UsageError
from tflite_edge.records.job import Job
from tflite_edge.targets import open_machine
from tflite_edge.targets.emulator import machine as machines
from tflite_edge.targets.emulator import plugin as plugins
from tflite_edge.targets.local import Local

# Words of tflite-runtime's own library, as capstone reads them.
WORDS = {
    "alu": [
        0x913FE210, 0xB00023D0, 0xEB00003F, 0x9A959262, 0x520000E7, 0x1B0304A1, 0x910003FD, 0x9B037C03, 0x9BC07CA5,
    ],  # add adrp cmp csel eor madd mov mul umulh
    "branch": [0x17FFFCD2, 0x540000E1, 0x94003009, 0xB4000160, 0xD65F03C0],  # b b.ne bl cbz ret
    "load": [0x88DFFC00, 0xA8C17BFD, 0xF947FE11, 0xB8804674, 0xF85E82A0, 0x885F7C01],  # ldar ldp ldr ldrsw ldur ldxr
    "store": [0x889FFC20, 0xA9BF7BFD, 0xF9000BF3, 0x3900027F, 0xB805E03F, 0x88037C02],  # stlr stp str strb stur stxr
    "vector_load": [0x4CDF70A0, 0x4D40CEC0, 0x0D606038, 0x6D4627E8, 0xFD403BE9, 0x3CDC8020],  # ld1 ld1r ld4 ldp ldr
    "vector_store": [0x4C83700C, 0x4C9F8880, 0x6D072FEA, 0xFD003BE9, 0x3C9E0003],  # st1 st2 stp str stur
    "fma": [0x4E21CC40, 0x4EA1CC60, 0x1F48254C, 0x1E220800, 0x1E208900],  # fmla fmls fmadd fmul fnmul
    "int_mac": [
        0x4EB19640, 0x6EB39420, 0x4EA19C00, 0x0E7780F2, 0x4E248008, 0x0EBDC091, 0x4E75B631, 0x6E67B4E5, 0x2EA4C023,
    ],  # mla mls mul smlal smlal2 smull sqdmulh sqrdmulh umull
    "dot": [0x4F8CE100, 0x6F80E201],  # sdot udot
    "vector": [
        0x4EE48422, 0x4EB4BE00, 0x4E080C01, 0x6E211C00, 0x1E6C2960, 0x1E602020, 0x1E780020, 0x1E211800, 0x4E21F400,
        0x9E660120, 0x1E633842, 0x4E181C21, 0x4F000400, 0x4E606910, 0x0EA41000, 0x1E6200C3, 0x0E214A31, 0x0F20A403,
        0x4E012042, 0x0E903953,
    ],  # add addp dup eor fadd fcmp fcvtzs fdiv fmax fmov fsub mov movi sadalp saddw scvtf sqxtn sshll tbl zip1
}  # fmt: skip
# What QEMU would bring, so that the decoder can be run without it.
DRIVER = r"""
#include "{source}"
void qemu_plugin_register_vcpu_tb_trans_cb(
    qemu_plugin_id_t i, void (*f)(qemu_plugin_id_t, struct qemu_plugin_tb *)) {{}}
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *t) {{ return 0; }}
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *t, size_t i) {{ return 0; }}
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *i) {{ return 0; }}
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *t, int o, void *p, uint64_t v) {{}}
void qemu_plugin_register_vcpu_syscall_cb(
    qemu_plugin_id_t i, void (*f)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                  uint64_t, uint64_t, uint64_t)) {{}}
int main(void) {{ unsigned word; while (scanf("%x", &word) == 1) puts(NAMES[classify(word)]); }}
"""
needs_compiler = pytest.mark.skipif(not any(map(shutil.which, plugins.COMPILERS)), reason="there is no C compiler")


@needs_compiler
def test_every_word_is_of_its_class(tmp_path):
    driver = tmp_path / "driver.c"
    driver.write_text(DRIVER.format(source=plugins.SOURCE))
    subprocess.run(["cc", "-o", tmp_path / "driver", driver], check=True)
    expected = [name for name, words in WORDS.items() for _ in words]
    words = "\n".join(f"{word:x}" for words in WORDS.values() for word in words)
    told = subprocess.run([tmp_path / "driver"], input=words, check=True, capture_output=True, text=True)
    assert told.stdout.split() == expected


@pytest.fixture
def scratch(monkeypatch, tmp_path):
    monkeypatch.setenv("TFLITE_EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "emulator"


@needs_compiler
def test_the_plugin_is_compiled_once(scratch, monkeypatch):
    made = plugins.plugin()
    assert made.parent == scratch
    assert [path.name for path in scratch.iterdir()] == [made.name]
    monkeypatch.setenv("PATH", "/nowhere")
    assert plugins.plugin() == made


def test_without_a_compiler_it_says_what_to_install(scratch, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingError, match="no C compiler") as caught:
        plugins.plugin()
    assert "apt install gcc" in caught.value.do


def test_a_compiler_that_fails_leaves_nothing(scratch, monkeypatch, tmp_path):
    broken = tmp_path / "bin" / "cc"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho 'stdio.h: No such file' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:/bin:/usr/bin")
    with pytest.raises(MissingError, match="cannot compile") as caught:
        plugins.plugin()
    assert "stdio.h" in caught.value.evidence
    assert list(scratch.iterdir()) == []


def test_only_emulated_boards_count(tmp_path):
    with pytest.raises(UsageError, match="emulated boards"):
        Local().estimate(Job("bench", str(tmp_path / "m.tflite")), operators=True)


@pytest.fixture
def installed(boards, monkeypatch):
    monkeypatch.setenv("TFLITE_EDGE_CACHE", str(boards))


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A chain of three operators over 200,000 values, of which the second is the dearest."""
    shape = (1, 200_000)
    path = tmp_path_factory.mktemp("chain") / "chain.tflite"
    path.write_bytes(
        tiny.build(
            [T(name, shape=shape) for name in ("x", "a", "b", "y")],
            [Op("RELU", ("x",), ("a",)), Op("LOGISTIC", ("a",), ("b",)), Op("RELU6", ("b",), ("y",))],
        )
    )
    return str(path)


@pytest.mark.slow
@needs_compiler
def test_two_processes_count_the_same(installed, chain, monkeypatch):
    pi4 = open_machine("emulator:pi4")
    first = pi4.count(Job("bench", chain))
    monkeypatch.setattr(machines, "steady", list)  # as in a container that forbids it
    second = pi4.count(Job("bench", chain))
    assert first.exact
    assert second.exact
    assert sum(first.classes.values()) == first.total == sorted(first.runs)[1]
    assert first.total == pytest.approx(second.total, rel=1e-3)
    assert first.total > 100_000
    assert first.classes["dot"] == 0
    assert Counter(first.classes)["vector_load"] >= 3 * 200_000 / 4  # four values a register, or two registers at once


@pytest.mark.slow
@needs_compiler
def test_operators_add_up_and_the_dearest_is_found(installed, chain):
    told = open_machine("emulator:pi4").estimate(Job("bench", chain, runtime="tflite-runtime"), operators=True)
    assert [one.operator for one in told.operators] == ["(call)", "RELU", "LOGISTIC", "RELU6"]
    assert max(told.operators, key=lambda one: one.instructions).operator == "LOGISTIC"
    assert sum(one.instructions for one in told.operators) == pytest.approx(told.count.total, rel=0.01)
    asked, fitted = told.predictions
    assert asked.predicted_s is None
    assert "the kernels builtin and not default" in asked.why
    assert fitted.low_s < fitted.predicted_s < fitted.high_s


@pytest.mark.slow
@needs_compiler
def test_other_boards_are_not_predicted(installed, chain):
    told = open_machine("emulator:pi3-32").estimate(Job("bench", chain))
    assert list(told.count.classes) == ["total"]
    (refused,) = told.predictions
    assert refused.predicted_s is None
    assert "the board pi4 and not pi3-32" in refused.why


@pytest.mark.slow
@needs_compiler
def test_a_model_that_the_runtime_refuses_is_refused(installed, tmp_path):
    model = tmp_path / "future.tflite"
    model.write_bytes(tiny.build([T("x"), T("y")], [Op("RELU", ("x",), ("y",), version=99)]))
    with pytest.raises(ModelError, match="RELU version 99"):
        open_machine("emulator:pi4").estimate(Job("bench", str(model)))
