"""What a model is asked: the samples, and the preprocessing in front of them, found or chosen."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tflite_edge.artifact import MANIFEST, ORIGINAL
from tflite_edge.records.errors import EdgeError, ModelError
from tflite_edge.records.event import Event, Listener, silent
from tflite_edge.records.job import ALL_CORES, Job
from tflite_edge.records.manifest import Manifest, Variant
from tflite_edge.records.plain import from_plain
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import DataSource, Recipe, Target, read_recipe
from tflite_edge.targets import open_machine
from tflite_edge.targets.machine import Machine

if TYPE_CHECKING:
    from tflite_edge.flatbuffer.facts import Facts
    from tflite_edge.tf.data.sources import Pool


@dataclass(frozen=True)
class Made:
    """The manifest beside a model, its recipe with the paths as they are from here, and this model's entry."""

    manifest: Manifest
    recipe: Recipe
    variant: Variant
    folder: Path


@dataclass(frozen=True)
class Samples:
    """Test samples of some data for one model. x: uint8 or float32 [n, ...], raw; y: labels or targets [n, ...].

    available: how many test samples there are. preprocess: how the data are normalised, and why; fed: what is left to
    do in front of the model, which is nothing where it has that arithmetic baked in.
    """

    x: NDArray[Any]
    y: NDArray[Any] | None
    available: int
    anomaly: bool
    preprocess: Preprocess
    fed: Preprocess
    why: str
    labels: tuple[str, ...]
    notes: tuple[str, ...]


def made_with(path: Path, digest: str) -> Made | None:
    """None when there is no manifest beside `path` (or above `original/`), or none of these bytes."""
    folder = path.absolute().parent
    home = folder.parent if folder.name == ORIGINAL else folder
    beside = home / MANIFEST
    if not beside.is_file():
        return None
    try:
        manifest = from_plain(Manifest, json.loads(beside.read_text()))
        recipe = read_recipe(str(beside))
    except (OSError, ValueError, EdgeError):
        return None  # somebody else's manifest.json, or another version's
    matching = [variant for variant in manifest.models if variant.sha256 == digest]
    return Made(manifest, recipe, matching[0], home) if matching else None


def samples_of(
    path: Path,
    facts: Facts,
    data: str = "",
    *,
    task: str = "auto",
    normalize: str = "auto",
    target: Target | None = None,
    most: int | None = None,
    listen: Listener = silent,
) -> Samples:
    """The test samples of `data`, by default of what the model was made with, or of the digits; `most` at most.

    Of the data that the manifest beside the model names, however they are spelt, those that `convert` did not train
    or calibrate with, of other data all, and the same preprocessing. task "auto" is what the manifest says; without a
    manifest and with normalize "auto" the normalisation is chosen on the other samples, by answers from `target`.
    Raises EdgeError.
    """
    from tflite_edge.tf.data.dataset import split, unseen
    from tflite_edge.tf.data.sources import open_source, refuse_other_classes

    refuse_without_edges(path, facts)
    target = target or Target()
    machine = open_machine(target.on)
    made = made_with(path, facts.file.sha256)
    source = data or (made.recipe.data.source if made else "digits")
    if made and task == "auto":
        task = made.recipe.data.task
    listen(Event("load", source))
    pool = open_source(source)
    if len(facts.outputs[0].shape) == 2 and task != "anomaly":
        refuse_other_classes(pool, facts.outputs[0].shape[-1], str(path))
    other = made is not None and pool.sha256 != made.manifest.source.data_sha256
    if made and not other:
        asked = replace(made.recipe.data, source=source, task=task, normalize=normalize)
    else:
        asked = DataSource(source, task, normalize)
    if made and normalize == "auto":
        preprocess, why = made.manifest.preprocess, "the manifest beside the model says so"
    else:
        preprocess, why = _choose(facts, pool, asked, path, target, machine=machine)
    dataset = unseen(pool, asked, preprocess) if other else split(pool, asked, preprocess, calibrated=False)
    fed = Preprocess(channels=preprocess.channels) if made and made.variant.baked else preprocess
    new = ["not the data that this model was made with: all of them are new to it"] if other else []
    notes = list(dict.fromkeys([*new, *dataset.notes, *pool.notes]))
    test, chosen = dataset.test, dataset.test.spread(most)
    y = None if test.y is None else test.y[chosen]
    return Samples(test.raw[chosen], y, len(test), dataset.anomaly, preprocess, fed, why, pool.classes, tuple(notes))


def refuse_without_edges(path: Path, facts: Facts) -> None:
    """Raise ModelError for a model that nothing can be asked."""
    lacking = [name for name, edges in (("input", facts.inputs), ("output", facts.outputs)) if not edges]
    if lacking:
        raise ModelError(
            f"{path} has no {' and no '.join(lacking)}",
            evidence=f"its first graph has {len(facts.inputs)} inputs and {len(facts.outputs)} outputs",
            do="give a model that takes samples and answers",
        )


def score_job(path: Path, pack: Path, preprocess: Preprocess, target: Target) -> Job:
    """Every core of the target answers samples of `pack`."""
    return Job(
        "score",
        str(path),
        target.harness_runtime,
        target.threads,
        workers=ALL_CORES,
        pack=str(pack),
        preprocess=preprocess,
    )


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
    samples = split(pool, data, next(iter(tried.values())), calibrated=False).unseen_by_the_test(machine.samples or 500)
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        pack = write_pack(Path(work) / "samples.npz", samples.raw, None)

        def answer(preprocess: Preprocess) -> NDArray[np.float32]:
            outputs = Path(work) / "outputs.npy"
            job = replace(score_job(path, pack, preprocess, target), outputs=str(outputs))
            machine.score_of(facts, job, deadline_s=target.deadline_s)
            answers: NDArray[np.float32] = np.load(outputs)
            return answers

        name, why = choose(samples, tried, answer)
    return tried[name], f"{name}: {why}"
