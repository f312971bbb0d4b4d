"""Which machine the tables of a conversion say that they are of, on records made by hand."""

from dataclasses import replace

import pytest

from tests.flatbuffer import real
from tests.harness import tiny
from tests.records.test_realised import BENCH, FLOAT, RUNTIME
from tflite_edge.cli import show, show_model, show_timing
from tflite_edge.evaluation import Evaluation
from tflite_edge.flatbuffer import inspect
from tflite_edge.flatbuffer.embed import About, embed
from tflite_edge.records.estimate import Estimate, Prediction
from tflite_edge.records.job import ScoreResult
from tflite_edge.records.manifest import Manifest, Provenance
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import ModelSource, Recipe, Target
from tflite_edge.records.sensors import Sensors, Snapshot
from tflite_edge.records.timing import Matrix, OperatorTime, ProfileResult
from tflite_edge.targets.matrix import cell

THERE = replace(RUNTIME, machine="aarch64")
SCORE = ScoreResult(THERE, "classification", 12, 1.0, 12.0, 1)


def shown(on, **changes):
    variant = replace(FLOAT, original=False, score=SCORE, **changes)
    manifest = Manifest(
        name="m", tool={}, versions={}, host={"cpu": "the host's CPU"}, argv=[], created="", complete=True,
        recipe=Recipe(ModelSource("mobilenet"), target=Target(on)),
        preprocess=Preprocess(), samples_sha256="", models=[variant], verdict="ok",
        seconds={}, source=Provenance("m", "", 1, "digits", "", "", {}, "classification", None, []),
    )  # fmt: skip
    return "\n".join(line for line in show.conversion(manifest, "out") if isinstance(line, str))


def test_times_of_a_board_do_not_name_the_host_s_cpu():
    there = shown("ssh://pi@board", bench=replace(BENCH, runtime=THERE))
    assert "1 thread, aarch64, ssh://pi@board" in there
    assert "host's CPU" not in there
    assert "this machine (the host's CPU)" in shown("local", bench=BENCH)


def test_scores_of_a_board_name_it():
    found = Evaluation(SCORE, Preprocess(), "", (), ())
    there, here = ("\n".join(map(str, show.evaluation(found, "m", on))) for on in ("ssh://pi@board", "local"))
    assert "ran on ssh://pi@board" in there
    assert "ran on" not in here


@pytest.mark.parametrize("on", ["local", "ssh://pi@board"])
def test_only_an_emulated_clock_is_called_one(on):
    assert "emulated clock" not in shown(on, bench=None)
    assert "emulator:pi4; no times, because an emulated clock" in shown("emulator:pi4", bench=None)


def test_a_prediction_below_the_fit_says_so():
    one = Prediction("pi4", "r", "builtin", 4, 1e-3, 0.0, 2e-3, "figures", "extrapolated: below", extrapolated=True)
    assert "0.0000 to 2.000 ms predicted, extrapolated: below" in shown(
        "emulator:pi4", bench=None, estimate=Estimate("pi4", None, [one])
    )
    known = replace(one, extrapolated=False)
    assert "extrapolated" not in shown("emulator:pi4", bench=None, estimate=Estimate("pi4", None, [known]))


def test_a_table_of_very_many_operators_is_cut_and_says_so():
    """Laying out 190,000 rows takes minutes, and a file of 0.8 MB can hold them (operators share their table)."""
    one = inspect(tiny.dense())
    many = replace(one, nodes=one.nodes * 5000, tensors=one.tensors * 5000)
    for table, count in ((show_model.operators(many), 5000), (show_model.tensors(many), 5000 * len(one.tensors))):
        assert len(table.rows) == show_model.MOST_ROWS
        assert f"the first 1,000 of {count:,}" in table.title
    assert show_model.operators(one).title == "operators"


def test_inspect_tells_what_a_model_says_of_itself_and_what_of_it_cannot_be_read():
    whole = embed(real.PATH.read_bytes(), About("m", "m: digits", "0123", ("a", "b"), Preprocess((12, 14), 3)))
    lines = list(show_model.described(inspect(whole)))
    assert lines[0] == "says of itself: m: digits (version 0123)"
    assert lines[1].startswith("  input image: RGB 12 x 14, (raw - 0) / 1, values 0 to 255, ")
    assert lines[2] == "  output probabilities: a score for each class, labels in labels.txt"
    assert lines[3] == "  appended: labels.txt (4 bytes)"
    assert len(lines) == 4
    broken = list(show_model.described(inspect(whole.replace(b"labels.txt", b"../bels.tx"))))
    assert "cannot be read: the files appended to this model" in broken[-1]
    assert list(show_model.described(inspect(real.PATH))) == []


def test_a_board_that_was_held_back_is_said_of_every_measurement():
    """Also where it was so in the first of several rounds alone."""
    fine = Sensors(4, Snapshot(), Snapshot())
    hot = replace(fine, trouble="the board is held back: throttled")
    rounds = [replace(BENCH, samples_s=[0.002], sensors=one) for one in (hot, fine)]
    matrix = Matrix([cell(rounds), cell(rounds[::-1])], (1, 1), "the fastest")
    assert list(show_timing.matrix(matrix, "m")).count(f"not to be trusted: {hot.trouble}") == 1
    profile = ProfileResult(RUNTIME, 1, 2.0, 1.0, [OperatorTime(0, "ADD", 1.0, 0.1, 0.5)], "by cuts", hot)
    assert f"not to be trusted: {hot.trouble}" in list(show_timing.profile(profile, "m"))
