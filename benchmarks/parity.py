"""Are the answers the same on five targets: one file, asked the same images everywhere."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.fixture import zoo_files
from tflite_edge import compare
from tflite_edge.cli.sink import Table
from tflite_edge.harness.preprocess import normalize
from tflite_edge.records.parity import Comparison
from tflite_edge.records.preprocess import NORMALIZATIONS, Preprocess
from tflite_edge.tf.models.zoo import entry

TARGETS = ("local", "emulator:pi3", "emulator:pi4", "emulator:pi5", "emulator:pi3-32")
IMAGES, SEEN = 50, 100  # asked, and what a data set needs beside a test's images
A, B, C = "tflite-runtime (reference) on local", "ai-edge-litert on local", "tflite-runtime on local"
ABOUT = (
    f"Parity on {', '.join(TARGETS)}: identical %, largest difference (steps of an int8 answer), same argmax %. "
    f"{IMAGES} images of the digits; random weights (seed 7), batch normalisation and calibration on other digits. "
    "A: tflite-runtime on the four boards against its reference kernels here; B: ai-edge-litert on the three 64-bit "
    "boards against here; A-B, A-C: the families' kernels here, C being tflite-runtime's on x86"
)


@dataclass(frozen=True)
class Asked:
    """A file of the zoo. alpha 0: the architecture has no width."""

    name: str
    size: int
    alpha: float
    mode: str
    classes: int = 10

    @property
    def title(self) -> str:
        width = f" {self.alpha:g}" if self.alpha else ""
        many = f", {self.classes:,} classes" if self.classes != 10 else ""
        return f"{self.name}{width}, {self.size}{many}"


# The last file is one that the oracle of A does not stand for. Random weights are not sure of any of 1,000 classes, and
# where the exponentials of a softmax add up to 256 or more, TFLite's reference kernel shifts 32 bits by 32 or more
# (num_bits_over_unit + 31 - 8 in reference/softmax.h), which gives every class 255 on 64-bit processors and 1 on 32-bit
# ones, instead of 0: where the likeliest class has a share of 1/256 at most, which training leaves behind.
ZOO = (
    Asked("mobilenet", 96, 0.25, "int8"),
    Asked("resnet8", 32, 0.0, "int8"),
    Asked("mobilenet", 96, 0.25, "float32"),
    Asked("mobilenet", 96, 0.25, "int8", classes=1000),
)


def parity(files: Sequence[Asked] = ZOO) -> Table:
    """One row per file, one column per comparison."""
    columns = ["model ", "type ", "within A", "within B", "A-B", "A-C"]
    return Table(columns, [[asked.title, asked.mode, *_cells(asked)] for asked in files], ABOUT)


def _cells(asked: Asked) -> Iterator[str]:
    folder = zoo_files(
        asked.name,
        alpha=asked.alpha,
        size=asked.size,
        classes=asked.classes,
        modes=("float32", "int8"),
        images=IMAGES + SEEN,
    )
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        data = _normalized(folder / "pack.npz", asked.name, Path(work) / "digits.npz")
        found = compare(folder / f"{asked.mode}.tflite", on=TARGETS, data=str(data), samples=IMAGES).comparisons
    yield _text([c for c in found if c.other == A and c.one.startswith("tflite-runtime on emulator")], boards=4)
    yield _text([c for c in found if c.other == B and c.same_family], boards=3)
    yield _text([c for c in found if (c.one, c.other) == (A, B)])
    yield _text([c for c in found if (c.one, c.other) == (A, C)])


def _normalized(pack: Path, name: str, out: Path) -> Path:
    """The images as this model was calibrated with them: data that are floats are fed as they are."""
    mean, std = NORMALIZATIONS[entry(name).normalize]
    with np.load(pack) as archive:
        x = normalize(archive["x"], Preprocess(mean=mean, std=std))
    np.savez(out, x_train=x[IMAGES:], x_test=x[:IMAGES])
    return out


def _text(found: Sequence[Comparison], boards: int = 1) -> str:
    """All the answers of the comparisons together. Raises ValueError where a target gave none."""
    if len(found) != boards:
        raise ValueError(f"{len(found)} of {boards} comparisons; is every board installed? {', '.join(TARGETS[1:])}")
    parts = [c.difference for c in found]
    samples = sum(d.samples for d in parts)
    steps = [d.most_steps for d in parts if d.most_steps is not None]
    most = f"{max(steps)}" if steps else f"{max(d.most for d in parts):.0e}"
    argmax = sum(d.same_argmax or 0 for d in parts) / samples
    return f"{_percent(sum(d.identical for d in parts) / samples)}, {most}, {_percent(argmax)}"


def _percent(share: float) -> str:
    return f"{100 * share:.4g}"
