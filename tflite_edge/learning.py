"""Teaching a trainable file new samples, on any target."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tflite_edge import flatbuffer
from tflite_edge.harness.head import read_head
from tflite_edge.records.errors import DataError, UsageError
from tflite_edge.records.event import Event, Listener, silent
from tflite_edge.records.job import Job, LearnResult
from tflite_edge.records.learning import Lesson
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import DataSource, Target
from tflite_edge.samples import Made, made_with
from tflite_edge.targets import open_machine

if TYPE_CHECKING:
    from tflite_edge.flatbuffer.facts import Facts
    from tflite_edge.tf.data.sources import Pool


def learn(
    model: str | Path,
    data: str,
    lesson: Lesson | None = None,
    *,
    normalize: str | None = None,
    target: Target | None = None,
    listen: Listener = silent,
) -> LearnResult:
    """Learn the samples of `data` as `lesson` says; where it names no `test`, this chooses what is held out.

    That is the data's own test split; of the data that the model was made with, what `convert` did not train with; else
    a share of each class. The manifest beside the model tells the file of its features, the preprocessing and the
    names of the classes: folders are matched by name, and a new name takes a spare output. Raises EdgeError.
    """
    from tflite_edge.tf.data.packs import write_pack
    from tflite_edge.tf.data.sources import open_source

    path, target, lesson = Path(model), target or Target(), lesson or Lesson()
    machine, facts = open_machine(target.on), flatbuffer.inspect(path)
    made = made_with(path, facts.file.sha256)
    if lesson.features is None and made and made.variant.features:
        lesson = replace(lesson, features=str(path.parent / made.variant.features))
    listen(Event("load", data))
    pool = open_source(data)
    if pool.y is None or not np.issubdtype(pool.y.dtype, np.integer):
        raise DataError(f"{pool.name} has no classes to learn", do="a folder with one folder per class, or integer y")
    backbone = flatbuffer.inspect(lesson.features) if lesson.features else facts
    preprocess = _preprocess(pool, backbone, made, normalize, data)
    numbers, labels = _numbered(pool, lesson, made)
    parts = _parts(pool, made, preprocess, data, lesson)
    fed = Preprocess(channels=preprocess.channels) if made and made.variant.baked else preprocess
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        packs = {}
        for name, wanted in parts.items():
            raw, kept = pool.read(wanted, preprocess)
            packs[name] = write_pack(Path(work) / f"{name}.npz", raw, numbers[kept])
        lesson = replace(lesson, labels=labels, test=str(packs["test"]) if "test" in packs else lesson.test)
        listen(Event("learn", f"{len(parts['train'])} samples on {target.on}"))
        job = Job(
            "learn",
            str(path),
            target.harness_runtime,
            target.threads,
            pack=str(packs["train"]),
            preprocess=fed,
            lesson=lesson,
        )
        return machine.learn(job, deadline_s=target.deadline_s)


def _preprocess(pool: Pool, backbone: Facts, made: Made | None, normalize: str | None, data: str) -> Preprocess:
    from tflite_edge.tf.data.normalization import preprocess

    if made and normalize is None:
        return made.manifest.preprocess
    if normalize is None:
        raise UsageError(
            "how were the samples normalised that this model was trained with?",
            evidence="there is no manifest.json of it beside the file",
            do="--normalize, or give the file in the folder that `convert` made",
        )
    shape = tuple(backbone.inputs[0].shape[1:])
    return preprocess(pool, shape, DataSource(data, normalize=normalize), normalize)


def _numbered(pool: Pool, lesson: Lesson, made: Made | None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """(class number of every sample int64 [N], names by number). Names that the head does not know yet come last."""
    assert pool.y is not None
    known: tuple[str, ...] = tuple(made.manifest.source.labels) if made else ()
    if lesson.head is not None:
        known = read_head(lesson.head).facts.labels or known
    if not pool.named or not known:
        return pool.y, known
    labels = (*known, *(name for name in pool.classes if name not in known))
    return np.array([labels.index(name) for name in pool.classes], np.int64)[pool.y], labels


def _parts(
    pool: Pool, made: Made | None, preprocess: Preprocess, data: str, lesson: Lesson
) -> dict[str, NDArray[np.int64]]:
    """Indices by part: train, and test where it is decided here and not by the harness."""
    from tflite_edge.tf.data.dataset import split

    everything = np.arange(len(pool.samples))
    if lesson.test is not None:
        return {"train": everything}
    if made and pool.sha256 == made.manifest.source.data_sha256:
        dataset = split(pool, replace(made.recipe.data, source=data), preprocess, calibrated=False)
        return {"train": dataset.train.wanted, "test": dataset.test.wanted}
    if pool.fixed is not None:
        return {name: everything[pool.fixed == name] for name in ("train", "test")}
    return {"train": everything}
