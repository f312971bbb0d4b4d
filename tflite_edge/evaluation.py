"""Accuracy of any flatbuffer on any data, measured on the target's runtime."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tflite_edge import flatbuffer
from tflite_edge.artifact import MANIFEST, ORIGINAL
from tflite_edge.records.errors import EdgeError
from tflite_edge.records.event import Event, Listener, silent
from tflite_edge.records.job import Job, ScoreResult, cores
from tflite_edge.records.manifest import Manifest, Variant
from tflite_edge.records.plain import from_plain
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import DataSource, Recipe, Target, read_recipe
from tflite_edge.targets import open_machine
from tflite_edge.targets.machine import Machine, scored_note

if TYPE_CHECKING:
    from tflite_edge.flatbuffer.facts import Facts
    from tflite_edge.tf.data.sources import Pool


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

    Of the data that the manifest beside the model names, however they are spelt, it takes the samples that
    `convert` did not train or calibrate with, and the same preprocessing;
    target.samples of them at most. task "auto" is what the manifest says;
    without a manifest and with normalize "auto" the normalisation is chosen on the other samples. Raises EdgeError.
    """
    from tflite_edge.tf.data.dataset import split
    from tflite_edge.tf.data.packs import write_pack
    from tflite_edge.tf.data.sources import open_source, refuse_other_classes

    path, target = Path(model), target or Target()
    machine, facts = open_machine(target.on), flatbuffer.inspect(path)
    made = _made(path, facts.file.sha256)
    source = data or (made.recipe.data.source if made else "digits")
    if made and task == "auto":
        task = made.recipe.data.task
    listen(Event("load", source))
    pool = open_source(source)
    if len(facts.outputs[0].shape) == 2 and task != "anomaly":
        refuse_other_classes(pool, facts.outputs[0].shape[-1], str(path))
    notes = []
    if made and pool.sha256 == made.manifest.source.data_sha256:
        asked = replace(made.recipe.data, source=source, task=task, normalize=normalize)
    else:
        asked = DataSource(source, task, normalize)
        if made:
            notes.append(f"not the data this model was made with: {asked.test:.0%} of it are scored")
    if made and normalize == "auto":
        preprocess, why = made.manifest.preprocess, "the manifest beside the model says so"
    else:
        preprocess, why = _choose(facts, pool, asked, path, target, machine=machine)
    dataset = split(pool, asked, preprocess)
    most = target.samples or machine.samples
    chosen = dataset.test.spread(most)
    if len(chosen) < len(dataset.test):
        notes.append(scored_note(len(chosen), len(dataset.test), machine))
    fed = Preprocess(channels=preprocess.channels) if made and made.variant.baked else preprocess
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        y = None if dataset.test.y is None else dataset.test.y[chosen]
        pack = write_pack(Path(work) / "test.npz", dataset.test.raw[chosen], y, anomaly=dataset.anomaly)
        listen(Event("score", f"{len(chosen)} samples on {machine.name}"))
        score = machine.score_of(facts, _job(path, pack, fed, target), deadline_s=target.deadline_s)
    return Evaluation(score, preprocess, why, pool.classes, tuple(dict.fromkeys([*notes, *dataset.notes, *pool.notes])))


@dataclass(frozen=True)
class _Made:
    """The manifest beside a model, its recipe with the paths as they are from here, and this model's entry."""

    manifest: Manifest
    recipe: Recipe
    variant: Variant


def _made(path: Path, digest: str) -> _Made | None:
    """None when there is no manifest, or none of these bytes."""
    folder = path.absolute().parent
    beside = (folder.parent if folder.name == ORIGINAL else folder) / MANIFEST
    if not beside.is_file():
        return None
    try:
        manifest = from_plain(Manifest, json.loads(beside.read_text()))
        recipe = read_recipe(str(beside))
    except (OSError, ValueError, EdgeError):
        return None  # somebody else's manifest.json, or another version's
    matching = [variant for variant in manifest.models if variant.sha256 == digest]
    return _Made(manifest, recipe, matching[0]) if matching else None


def _choose(
    facts: Facts, pool: Pool, data: DataSource, path: Path, target: Target, *, machine: Machine
) -> tuple[Preprocess, str]:
    """(preprocess, why) for a model that came without a manifest."""
    from tflite_edge.tf.data.dataset import split
    from tflite_edge.tf.data.normalization import choose, trials
    from tflite_edge.tf.data.packs import write_pack

    raw_bytes = facts.inputs[0].dtype == "uint8" and facts.inputs[0].scale in (None, 1.0)
    if data.normalize == "auto" and raw_bytes:
        data = replace(data, normalize="none")
    tried = trials(pool, tuple(facts.inputs[0].shape[1:]), data)
    if len(tried) == 1:
        ((name, preprocess),) = tried.items()
        return preprocess, "the model takes raw bytes" if raw_bytes else f"{name}: as asked, or the data are not images"
    samples = split(pool, data, next(iter(tried.values()))).unseen_by_the_test(machine.samples or 500)
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        pack = write_pack(Path(work) / "samples.npz", samples.raw, None)

        def answer(preprocess: Preprocess) -> NDArray[np.float32]:
            outputs = Path(work) / "outputs.npy"
            job = replace(_job(path, pack, preprocess, target), outputs=str(outputs))
            machine.score_of(facts, job, deadline_s=target.deadline_s)
            answers: NDArray[np.float32] = np.load(outputs)
            return answers

        name, why = choose(samples, tried, answer)
    return tried[name], f"{name}: {why}"


def _job(path: Path, pack: Path, preprocess: Preprocess, target: Target) -> Job:
    return Job(
        "score",
        str(path),
        target.runtime,
        target.threads,
        workers=cores(),
        pack=str(pack),
        preprocess=preprocess,
    )
