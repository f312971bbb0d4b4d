"""Parity on real runtimes: one file, this machine, and a target that answers otherwise."""

from dataclasses import replace

import numpy as np
import pytest

from tests.harness import tiny, twins
from tests.targets.conftest import INSTALLED
from tflite_edge import comparison, inputs
from tflite_edge.comparison import compare, difference, step_of
from tflite_edge.flatbuffer import inspect
from tflite_edge.records.errors import DataError, MissingError, ModelError, UsageError
from tflite_edge.records.job import KERNELS, Job
from tflite_edge.records.parity import EXPECTED, FAULT, RULES, SAME
from tflite_edge.targets import open_machine
from tflite_edge.targets.local import Local

pytestmark = pytest.mark.skipif(len(INSTALLED) < 2, reason="needs both runtimes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("parity")
    built = {
        "int8": twins.int8_chain(),
        "stale": twins.int8_chain(1, 0.2),
        "float": twins.float_chain(),
        "future": tiny.unary("RELU", (1, 8), version=99),
        "wild": tiny.wild_offset(tiny.dense()),
    }
    for name, content in built.items():
        (root / f"{name}.tflite").write_bytes(content)
    np.savez(root / "data.npz", x=twins.X, y=twins.LABELS)
    np.savez(root / "wide.npz", x=np.zeros((40, 9), np.float32), y=np.arange(40) % 4)
    return root


class Board(Local):
    """Stands for an ARM board of family A: this machine's reference kernels, of another file if there is one."""

    name = "board"
    instead = None

    def run(self, job, **options):
        if job.runtime != "tflite-runtime":
            raise MissingError("no wheel of ai-edge-litert")
        document = super().run(replace(job, kernels="reference", model=self.instead or job.model), **options)
        document["runtime"]["machine"] = "aarch64"
        return document


@pytest.fixture
def board(monkeypatch):
    made = Board()
    monkeypatch.setattr(comparison, "open_machine", lambda on: made if on == "board" else open_machine(on))
    return made


def test_this_machine_s_three_kernels_are_two_oracles_and_one_of_its_own(folder):
    found = compare(folder / "int8.tflite", data=str(folder / "data.npz"))
    assert found.verdict == "ok"
    assert [(run.family, run.oracle) for run in found.runs] == [("C", False), ("A", True), ("B", True)]
    assert [c.verdict in (SAME, EXPECTED) for c in found.comparisons] == [True] * 3
    assert all(c.difference.samples == found.samples == 12 for c in found.comparisons)
    assert all(c.drop is not None for c in found.comparisons)


def test_float_answers_are_the_same_everywhere(folder):
    found = compare(folder / "float.tflite", data=str(folder / "data.npz"))
    assert {c.verdict for c in found.comparisons} == {SAME}
    assert all(c.difference.most < 1e-5 and c.difference.most_steps is None for c in found.comparisons)


def test_a_board_with_the_same_file_is_the_same(folder, board):
    found = compare(folder / "int8.tflite", ("board",), str(folder / "data.npz"))
    (within,) = [c for c in found.comparisons if c.same_family and c.one == "tflite-runtime on board"]
    assert (within.verdict, within.other) == (SAME, "tflite-runtime (reference) on local")
    assert within.difference.identical == 12
    assert [run.absent for run in found.runs if run.target == "board"] == [False, False, True]
    # This machine was not asked: its oracles run, its own default kernels do not.
    assert [(run.runtime, run.kernels) for run in found.runs if run.target == "local"] == [
        ("tflite-runtime", "reference"),
        ("ai-edge-litert", "default"),
    ]
    assert found.verdict == "ok"


def test_a_board_with_another_file_is_a_fault(folder, board):
    board.instead = str(folder / "stale.tflite")
    found = compare(folder / "int8.tflite", ("board",), str(folder / "data.npz"))
    assert found.verdict == "degraded"
    assert {c.verdict for c in found.comparisons if c.same_family} == {FAULT}
    assert found.findings[0].what.startswith("tflite-runtime on board and tflite-runtime (reference) on local: ")


def test_an_emulated_board_that_lacks_a_runtime_is_at_fault(folder, board, monkeypatch):
    """It was installed with it: its files are damaged."""
    monkeypatch.setattr(board, "emulated", True)
    found = compare(folder / "int8.tflite", ("board",), str(folder / "data.npz"))
    assert not any(run.absent for run in found.runs)
    (finding,) = found.findings
    assert (finding.what, finding.exit_code) == ("ai-edge-litert on board failed", 4)


def test_a_target_that_is_not_there_gets_its_reason_and_the_others_go_on(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TFLITE_EDGE_CACHE", str(tmp_path))  # no board is installed there
    found = compare(folder / "int8.tflite", ("local", "emulator:pi4"), str(folder / "data.npz"))
    assert sum(run.score is not None for run in found.runs) == 3
    (finding,) = found.findings
    assert (finding.what, finding.exit_code) == ("nothing ran on emulator:pi4", 4)
    assert "emulator install pi4" in finding.do


def test_without_data_random_inputs_are_made_up_and_said(folder):
    found = compare(folder / "int8.tflite", samples=9)
    assert found.random
    assert found.samples == 9
    assert found.inputs.startswith("random values")
    assert all(c.drop is None for c in found.comparisons)


def test_bad_input(folder):
    with pytest.raises(UsageError, match="no target 'moon'"):
        compare(folder / "int8.tflite", ("local", "moon"))
    with pytest.raises(DataError):
        compare(folder / "int8.tflite", data=str(folder / "wide.npz"))
    with pytest.raises(ModelError):
        compare(folder / "data.npz")
    with pytest.raises(ModelError, match="no target answers"):
        compare(folder / "future.tflite")
    with pytest.raises(ModelError):
        compare(folder / "wild.tflite")


@pytest.mark.parametrize(
    ("shape", "edges", "error", "says"),
    [
        ((1, 4), {"outputs": ()}, ModelError, "has no output"),
        ((1, 4), {"inputs": ()}, ModelError, "has no input"),
        ((1, 200_000, 200_000, 1), {}, DataError, "nothing can be made up"),
        ((1, -1), {}, DataError, "nothing can be made up"),
    ],
)
def test_a_stranger_s_edges(shape, edges, error, says, tmp_path):
    from tests.flatbuffer.tiny import Op, T, build

    path = tmp_path / "m.tflite"
    path.write_bytes(build([T("x", shape=shape), T("y", shape=shape)], [Op("RELU", ("x",), ("y",))], **edges))
    with pytest.raises(error, match=says):
        compare(path)


def test_of_large_samples_fewer_are_made_up(folder, monkeypatch):
    monkeypatch.setattr(inputs, "MOST_VALUES", 20)
    path = folder / "float.tflite"
    found = inputs.find_inputs(path, inspect(path), "", 200)
    assert found.pack.x.shape == (2, 8)
    assert found.notes == ("2 of 200 samples are made up: more of 8 values each are too large",)


@pytest.mark.parametrize("runtime", INSTALLED)
def test_each_runtime_runs_the_kernels_that_are_asked_for(folder, runtime, tmp_path):
    """All answers are those of the same network, and the reference kernels of both runtimes are one family."""
    np.savez(tmp_path / "pack.npz", x=twins.X[:8])
    answers = {}
    for kernels in KERNELS:
        out = str(tmp_path / f"{kernels}.npy")
        job = Job(
            "score", str(folder / "int8.tflite"), runtime, pack=str(tmp_path / "pack.npz"), outputs=out, kernels=kernels
        )
        Local().score(replace(job, kernels=kernels))
        answers[kernels] = np.load(out)
    wanted = twins.activations(twins.X[:8])[-1]
    assert all(np.abs(found - wanted).max() < 0.2 for found in answers.values())


def test_differences_by_hand():
    one = np.array([[1, 0, 0], [0, 2, 0], [0, 0, 3]], np.float32)
    other = np.array([[1, 0, 0], [0, 1.5, 0], [4, 0, 3]], np.float32)
    found = difference(one, other, 0.5, RULES["integer"], np.array([0, 1, 0]))
    assert (found.samples, found.identical, found.close) == (3, 1, 2)
    assert (found.most, found.most_steps, found.same_argmax) == (4.0, 8, 2)
    assert (found.gained, found.lost) == (0, 1)
    unlabelled = difference(one, other, 0.5, RULES["integer"], None)
    assert (unlabelled.gained, unlabelled.lost) == (None, None)


def test_a_map_has_no_argmax_and_a_float_no_steps():
    maps = np.zeros((2, 4, 4, 1), np.float32)
    found = difference(maps, maps + 1e-6, 0.0, RULES["float"], None)
    assert (found.same_argmax, found.most_steps, found.close, found.identical) == (None, None, 2, 0)


def test_steps_are_those_behind_a_last_dequantize(folder, tmp_path):
    """int16 files and those with float edges answer in float, but still in steps."""
    from tests.flatbuffer import tiny as graphs

    path = tmp_path / "m.tflite"
    for content, step in (
        (graphs.int8_model(), 0.5),
        (graphs.edged("FLOAT32", graphs.quantized("INT8"), [graphs.DENSE]), 0.5),
        (graphs.float_model(), 0.0),
    ):
        path.write_bytes(content)
        assert step_of(path) == step
