"""Images per second of `score` with two workers, against a loop that takes one image at a time."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.fixture import zoo_files
from benchmarks.process import alternate, script
from benchmarks.row import Row, ratio
from tflite_edge.records.job import Job
from tflite_edge.records.preprocess import NORMALIZATIONS, Preprocess
from tflite_edge.targets.local import Local

LEAST = 1.7
WORKERS = 2
# Width -> images, for a second or so. The narrow one is the hard case: the less a model computes, the
# more of the time is Python's.
IMAGES = {1.0: 3000, 0.25: 10_000}
MODES = ("float32", "int8")


@dataclass(frozen=True)
class Answered:
    """steady: images per second of the loop alone. whole: of the process, start and loading included."""

    steady: float
    whole: float
    predicted: np.ndarray
    runtime: str


def evaluate(*, quick: bool) -> list[Row]:
    """Both kinds of file of two MobileNets, with the predictions compared."""
    rows = []
    for alpha, images in IMAGES.items():
        made = zoo_files("mobilenet", alpha=alpha, size=96, classes=10, modes=MODES, images=images)
        for mode in MODES:
            rows += _compare(f"{mode}, width {alpha:g}", made / f"{mode}.tflite", made / "pack.npz", 1 if quick else 5)
    return rows


def _compare(name: str, model: Path, pack: Path, pairs: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        out = Path(work) / "answers.npy"
        ours, bare = alternate(pairs, lambda: _harness(model, pack, out), lambda: _loop(model, pack, out))
    steady, steady_text = ratio([a.steady for a in ours], [b.steady for b in bare])
    _, whole_text = ratio([a.whole for a in ours], [b.whole for b in bare])
    same = sum(int((a.predicted == b.predicted).sum()) for a, b in zip(ours, bare, strict=True))
    images, classes = len(ours[0].predicted), len(np.unique(ours[0].predicted))
    total = pairs * images
    speeds = " and ".join(f"{median(a.steady for a in side):,.0f}" for side in (ours, bare))
    wholes = " and ".join(f"{median(a.whole for a in side):,.0f}" for side in (ours, bare))
    starts = " and ".join(f"{median(images / a.whole - images / a.steady for a in side):.2f}" for side in (ours, bare))
    how = f"{speeds} images/s, {WORKERS} workers, {ours[0].runtime}, {pairs} x {images:,} images"
    whole_how = f"{wholes} images/s from the start of the process to its end, {starts} s of it outside the loop"
    many = f"{classes} different classes among them"
    return [
        Row(f"{name}: `score` / loop", steady_text, f">= {LEAST} x", steady >= LEAST, (how,)),
        Row("  the whole processes", whole_text, notes=(whole_how,)),
        Row("  same predictions", f"{same:,} of {total:,}", "all", same == total, (many,)),
    ]


def _harness(model: Path, pack: Path, out: Path) -> Answered:
    mean, std = NORMALIZATIONS["-1..1"]
    preprocess = Preprocess(mean=mean, std=std)
    job = Job("score", str(model), workers=WORKERS, pack=str(pack), preprocess=preprocess, outputs=str(out))
    began = perf_counter()
    result = Local().score(job)
    whole = perf_counter() - began
    runtime = f"{result.runtime.name} {result.runtime.version}"
    return Answered(result.images_per_s, result.images / whole, np.load(out).argmax(axis=-1), runtime)


def _loop(model: Path, pack: Path, out: Path) -> Answered:
    ran = script("bare/score", model, pack, out)
    said = json.loads(ran.stdout)
    return Answered(said["images"] / said["seconds"], said["images"] / ran.seconds, np.load(out), said["runtime"])
