"""What `convert` left in a folder, read back to be packed: manifest, the model to ship, samples to prove it with."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tflite_edge.artifact import MANIFEST, read_manifest, sha256
from tflite_edge.flatbuffer import inspect
from tflite_edge.harness.pack import load_pack
from tflite_edge.records.errors import ModelError, UsageError
from tflite_edge.records.job import Job
from tflite_edge.records.labels import refuse_broken_lines
from tflite_edge.records.learning import Lesson
from tflite_edge.records.manifest import Manifest, Variant
from tflite_edge.records.plain import nearest
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.verdict import OK
from tflite_edge.targets.local import Local

# Smallest first on a board: int8 is what its kernels are fastest at.
PREFERRED = ("int8", "int16x8", "dynamic", "float16", "float32")


@dataclass(frozen=True)
class Build:
    """A folder of `convert` and the one variant to ship. why: how it was chosen."""

    folder: Path
    manifest: Manifest
    variant: Variant
    why: str

    @property
    def model(self) -> Path:
        return self.folder / self.variant.file

    @property
    def preprocess(self) -> Preprocess:
        """What the board does before it: a baked model takes raw values."""
        record = self.manifest.preprocess
        return replace(record, mean=(0.0,), std=(1.0,)) if self.variant.baked else record

    def expected(self, count: int, runtime: str) -> tuple[NDArray[Any], NDArray[np.float32], float, str]:
        """(raw samples [count, ...], what the model must answer to them [count, K], tolerance, why).

        Answered here, by the kernels that give what `runtime` gives on ARM; the tolerance is one quantised step.
        Raises ModelError for samples that are gone or were changed since.
        """
        _prove(self.folder / "samples.npz", self.manifest.samples_sha256)
        raw = load_pack(str(self.folder / "samples.npz")).x[:count]
        output = inspect(self.model).outputs[0]
        with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
            pack, place = Path(work) / "pack.npz", Path(work) / "outputs.npy"
            np.savez(pack, x=raw)
            lesson = Lesson(str(self.folder / self.variant.features)) if self.variant.features else None
            record = self.preprocess
            job = Job("score", str(self.model), runtime, pack=str(pack), preprocess=record, outputs=str(place))
            job = replace(job, lesson=lesson)
            Local().score(job)
            outputs = np.load(place).reshape(len(raw), -1)
        tolerance = output.scale or 1e-5
        return raw, outputs, float(tolerance), f"expected answers by {runtime} on the machine that packed it"

    def without_secrets(self) -> Manifest:
        """The manifest of the one variant, without what tells of the machine and the person."""
        return replace(self.manifest.without_secrets(), models=[self.variant])


def open_build(folder: Path, model: str = "", *, accept_degraded: bool = False) -> Build:
    """Read `folder`; choose the variant that `model` names, else the best that is ok.

    A name is a file, a scheme, a mode, or "trainable": the first that learns.

    Raises UsageError for a name that is not there, ModelError for a folder of nothing, files changed since, or labels
    that are not the model's, DataError for labels that labels.txt cannot hold.
    """
    manifest = read_manifest(folder)
    models = manifest.models
    for name in (manifest.name, *(variant.file for variant in models), *(variant.features for variant in models)):
        _refuse_odd(name, folder)
    refuse_broken_lines(manifest.source.labels, str(folder))
    found = [variant for variant in manifest.models if variant.file and not variant.original]
    variant, why = _choose(found, model, folder)
    if variant.verdict != OK and not accept_degraded:
        raise ModelError(
            f"{variant.file} is {variant.verdict}: what it promised does not hold",
            evidence="\n".join(finding.what for finding in variant.findings),
            do="mend it and convert again, choose another with --model, or --accept-degraded",
        )
    build = Build(folder, manifest, variant, why)
    for name, digest in ((variant.file, variant.sha256), (variant.features, variant.features_sha256)):
        if name:
            _prove(folder / name, digest)
    _refuse_other_labels(build)
    return build


def _prove(path: Path, digest: str) -> None:
    if not path.is_file() or sha256(path) != digest:
        raise ModelError(
            f"{path} is not what was converted",
            evidence=f"{MANIFEST} has another SHA-256" if path.is_file() else "it is not there",
            do="convert it again",
        )


def _refuse_other_labels(build: Build) -> None:
    """The board refuses another number of names than outputs; what learns has outputs that are yet to be named."""
    labels, text = build.manifest.source.labels, build.folder / "labels.txt"
    if build.manifest.source.task == "classification":
        classes = inspect(build.model).outputs[0].shape[-1]
        if len(labels) > classes or (len(labels) < classes and build.variant.learning is None):
            raise ModelError(
                f"{build.variant.file} tells {classes} classes, and {MANIFEST} has {len(labels)} labels",
                evidence=", ".join(labels[:20]),
                do="convert it again with data that name every class: an .npz may hold `classes`",
            )
    if text.is_file() and text.read_text(encoding="utf-8", errors="replace").splitlines() != labels:
        raise ModelError(
            f"{text} has other labels than {MANIFEST}, whose labels are the ones that are packed",
            do="remove it; or name the classes so in the data (folders, or `classes` of an .npz), and convert it again",
        )


def _refuse_odd(name: str, folder: Path) -> None:
    """Names go into file names, a shell script and C source."""
    plain = re.fullmatch(r"(original/)?[A-Za-z0-9_][A-Za-z0-9._-]*", name) or not name
    if not plain:
        raise ModelError(
            f"the name {name!r} in {folder} cannot be packed",
            evidence="only letters, digits, dots, dashes and underscores are safe in scripts and file names",
            do="rename the model's file or recipe, and convert it again",
        )


def _choose(found: list[Variant], model: str, folder: Path) -> tuple[Variant, str]:
    if not found:
        raise ModelError(f"{folder} holds no model", do="look at its manifest.json: why nothing was made")
    if model:
        names = {name: one for one in found for name in (one.file, one.file.removesuffix(".tflite"), one.scheme)} | {
            one.mode: one for one in found if one.learning is None
        }  # a mode is of those that do not learn
        learning = [one for one in found if one.learning is not None]
        names |= {"trainable": learning[0]} if learning else {}
        if model not in names:
            raise UsageError(
                f"no model {model!r} in {folder}",
                evidence=", ".join(one.file for one in found),
                do=nearest(model, names),
            )
        return names[model], "named"
    whole = [one for one in found if one.learning is None] or found  # those that learn are asked for by name
    good = [one for one in whole if one.verdict == OK] or whole
    unknown = [one for one in good if one.mode not in PREFERRED]
    if unknown:
        raise ModelError(
            f"{unknown[0].file} in {folder} is of a mode that this version does not know: {unknown[0].mode!r}",
            evidence="known: " + ", ".join(PREFERRED),
            do="convert it again, or choose with --model",
        )
    best = min(good, key=lambda one: (PREFERRED.index(one.mode), one.bytes))
    return best, f"{best.mode}: the first of {', '.join(PREFERRED)} that is {best.verdict}"
