"""Accuracy of any flatbuffer on any data, measured on the target's runtime."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tflite_edge import flatbuffer
from tflite_edge.records.event import Event, Listener, silent
from tflite_edge.records.job import ScoreResult
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import Target
from tflite_edge.samples import samples_of, score_job
from tflite_edge.targets import open_machine
from tflite_edge.targets.machine import scored_note


@dataclass(frozen=True)
class Evaluation:
    """score: on the test samples. why: how the preprocessing was chosen. labels: by class number."""

    score: ScoreResult
    preprocess: Preprocess
    why: str
    labels: tuple[str, ...]
    notes: tuple[str, ...]


def evaluate(
    model: str | Path,
    data: str = "",
    *,
    task: str = "auto",
    normalize: str = "auto",
    target: Target | None = None,
    listen: Listener = silent,
) -> Evaluation:
    """Score `model` on the test samples of `data`, by default of what it was made with, or of the digits.

    target.samples of them at most. task and normalize "auto": as the manifest beside the model says, else chosen
    (`samples_of`). Raises EdgeError.
    """
    from tflite_edge.tf.data.packs import write_pack

    path, target = Path(model), target or Target()
    machine, facts = open_machine(target.on), flatbuffer.inspect(path)
    most = target.samples or machine.samples
    samples = samples_of(path, facts, data, task=task, normalize=normalize, target=target, most=most, listen=listen)
    count, notes = len(samples.x), samples.notes
    if count < samples.available:
        notes = (scored_note(count, samples.available, machine), *notes)
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        pack = write_pack(Path(work) / "test.npz", samples.x, samples.y, anomaly=samples.anomaly)
        listen(Event("score", f"{count} samples on {machine.name}"))
        job = score_job(path, pack, samples.fed, target)
        score = machine.score_of(facts, job, deadline_s=target.deadline_s)
    return Evaluation(score, samples.preprocess, samples.why, samples.labels, notes)
