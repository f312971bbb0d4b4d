"""Five variants of one trained model: frozen once, against `from_keras_model` for each."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.fixture import trained
from benchmarks.process import alternate, script
from benchmarks.row import Row, ratio, seconds
from tflite_edge.flatbuffer import Facts, inspect
from tflite_edge.flatbuffer.facts import Constants
from tflite_edge.records.conversion import SCHEMES
from tflite_edge.records.job import Job, ScoreResult
from tflite_edge.records.plain import from_plain
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.targets.local import Local

MOST = 0.5


def convert(*, quick: bool) -> list[Row]:
    """Time of the conversions and of the whole processes, then top-1 and size of each pair of files."""
    source = trained()
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        folders = {side: Path(work) / side for side in ("ours", "bare")}

        def side(name: str) -> tuple[dict[str, float], float]:
            folders[name].mkdir(exist_ok=True)
            ran = script(f"{name}/convert", source / "model.h5", source / "calibration.npy", folders[name])
            return json.loads(ran.stdout), ran.seconds

        ours, bare = alternate(1 if quick else 2, lambda: side("ours"), lambda: side("bare"))
        return [*_times(ours, bare), *(_pair(mode, source, folders) for mode in SCHEMES)]


def _times(ours: list[Any], bare: list[Any]) -> list[Row]:
    conversions = [[sum(took.values()) for took, _ in runs] for runs in (ours, bare)]
    processes = [[whole for _, whole in runs] for runs in (ours, bare)]
    steps = ", ".join(f"{step} {median(took[step] for took, _ in ours):.2f}" for step in ours[0][0])
    plain = ", ".join(f"{step} {median(took[step] for took, _ in bare):.2f}" for step in bare[0][0])
    rows = []
    for what, (a, b), notes in (
        ("5 conversions, ours / plain", conversions, (f"seconds of ours: {steps}", f"seconds of plain: {plain}")),
        ("  the whole processes", processes, ("with Python, importing TensorFlow and loading the model",)),
    ):
        value, text = ratio(a, b)
        rows.append(Row(what, text, f"<= {MOST} x", value <= MOST, (f"ours {seconds(a)}, plain {seconds(b)}", *notes)))
    return rows


def _pair(mode: str, source: Path, folders: dict[str, Path]) -> Row:
    """Both files of one mode, scored on the test samples and read back."""
    preprocess = from_plain(Preprocess, json.loads((source / "preprocess.json").read_text()))

    def look(side: str) -> tuple[ScoreResult, Facts]:
        file = str(folders[side] / f"{mode}.tflite")
        job = Job("score", file, workers=2, pack=str(source / "test.npz"), preprocess=preprocess)
        return Local().score(job), inspect(file)

    (ours, facts), (bare, plain_facts) = look("ours"), look("bare")
    same = "the same" if _learnt(facts) == _learnt(plain_facts) else "NOT the same"
    sizes = f"{facts.file.size_bytes:,} / {plain_facts.file.size_bytes:,} bytes"
    operators = f"{_operators(facts)} / {_operators(plain_facts)} operators"
    return Row(
        f"{mode}: top-1, ours / plain",
        f"{100 * (ours.top1 or 0):.2f} / {100 * (bare.top1 or 0):.2f} %",
        "equal",
        ours.top1 == bare.top1,
        (f"{ours.images} test images; {sizes}; {operators}; weights {same} in number, type and size",),
    )


def _learnt(facts: Facts) -> list[Constants]:
    """Weights and biases: other constants are shapes, of which a file with an open batch size has more."""
    return [constants for constants in facts.weights.constants if constants.role != "other"]


def _operators(facts: Facts) -> int:
    return sum(operator.count for operator in facts.operators)
