"""What the pipeline chooses with nothing run: a target's runtime, and how it is known that a file loads there."""

from tests.flatbuffer import tiny
from tflite_edge.proof import measure, proven, settled
from tflite_edge.records.board import BOARDS
from tflite_edge.records.conversion import Conversion, for_runtime
from tflite_edge.records.errors import TargetError
from tflite_edge.records.job import Job, Runtime
from tflite_edge.records.recipe import Target
from tflite_edge.targets.emulator import Emulated
from tflite_edge.targets.emulator.qemu import Qemu
from tflite_edge.targets.local import Local

LITE = Runtime("tflite-runtime", "2.14.0", "asked for", "3.11.2", "x86_64", "1.26.4")


def test_a_board_s_runtime_is_what_files_are_made_for_unless_one_is_named(tmp_path):
    board = Emulated(BOARDS["pi4-32"], tmp_path, Qemu(("qemu-arm",), "10.0", own=True))
    assert settled(Target(), board).runtime == "tflite-runtime"
    assert settled(Target(runtime="tflite-runtime==2.14"), board).runtime == "tflite-runtime==2.14"
    assert settled(Target(), Local()).runtime == "auto"
    conversion, why = for_runtime(Conversion("dynamic"), settled(Target(), board).runtime_name)
    assert conversion.dense_per_tensor
    assert "FULLY_CONNECTED 12" in why


def test_a_file_is_proven_by_running_it_or_else_by_a_table(tmp_path):
    made = tmp_path / "dynamic.tflite"
    made.write_bytes(tiny.dynamic_model())
    for runtime in ("auto", "tflite-runtime", "tflite-runtime==2.14", "tflite-runtime==2.14.0"):
        assert proven(made, Target(runtime=runtime), LITE) == ("loaded and run on tflite-runtime 2.14.0", [])
    proof, _ = proven(made, Target(runtime="ai-edge-litert==1.0.1"), LITE)
    assert proof.startswith("loads on ai-edge-litert 1.0.1 by its table of ")
    assert "not installed here" in proof
    proof, (hybrid,) = proven(made, Target(runtime="tflite-micro"), LITE)
    assert proof.startswith("does not load on tflite-micro")
    assert hybrid.fatal


class Crashing(Local):
    """An emulated board on which counting fails. It stands for QEMU's death, which cannot be had at will."""

    name, emulated = "emulator:pi4", True

    def estimate(self, job, *, operators=False, deadline_s=0.0):
        raise TargetError("m.tflite ended the harness: killed by SIGSEGV", do="try the other runtime")


def test_a_crash_while_counting_does_not_lose_the_proof():
    bench, estimate = measure(Crashing(), Job("bench", "m.tflite"), 1.0)
    assert bench is None
    assert (estimate.board, estimate.count, estimate.predictions) == ("pi4", None, [])
    assert (
        estimate.why == "no instructions counted: m.tflite ended the harness: killed by SIGSEGV; try the other runtime"
    )
