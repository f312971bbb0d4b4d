"""Personalisation on real data: `python -m benchmarks.learning [--quick] [--on TARGET] [--save]`.

A MobileNet is trained on 8 of 10 classes and converted with a head that has two spare outputs. Then it is shown a few
samples of the other two, on this machine with both runtimes, or on TARGET (such as emulator:pi4): of these alone, and
together with some of the old classes. The accuracy is that on all test images, which nothing was chosen by. A timing
on an emulated board says nothing about the board and is left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import data, results
from benchmarks.process import ENTRY_POINT, run
from tflite_edge.artifact import cache_folder, key_of
from tflite_edge.cli.sink import Table, markdown
from tflite_edge.learning import learn
from tflite_edge.records.job import RUNTIMES, LearnResult
from tflite_edge.records.learning import Lesson
from tflite_edge.records.recipe import Target
from tflite_edge.targets import open_machine

OLD, CLASSES = 8, 10
FEW = 500  # test images where each takes long
SHOWN, REVISED = 50, 20  # samples of a new class, and of an old one where it is shown again
LESSONS = (("new alone", 0), (f"new and {REVISED} of each old", REVISED))
FILES = ("trainable-float", "trainable-head-float")
RECIPE = """
[model]
name = "mobilenet"
alpha = 0.25
input = [32, 32, 1]
[data]
source = "base.npz"
[train]
epochs = {epochs}
[convert]
quantize = ["float32", "int8"]
trainable = true
[head]
spare_classes = 2
"""


@dataclass(frozen=True)
class Shares:
    """Right answers on the test images: of the old classes, of the new ones."""

    old: float
    new: float

    def __str__(self) -> str:
        return f"{100 * self.old:.1f} / {100 * self.new:.1f}"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="digits only, and few epochs: does it run")
    parser.add_argument("--on", default="local", metavar="TARGET", help="where it learns")
    parser.add_argument("--save", action="store_true", help="rewrite its part of RESULTS.md")
    options = parser.parse_args(argv)
    if options.save and options.quick:
        parser.error("--save keeps a full run: it does not go with --quick")
    machine = open_machine(options.on)
    rows, notes = [], []
    for name, (x, y, tests) in sources(options.quick, machine.emulated).items():
        print(f"{name} ...", file=sys.stderr, flush=True)
        folder = made(name, x, y, tests, epochs=2 if options.quick else 12 if name == "digits" else 4)
        for file in FILES:
            for lesson, revised in LESSONS:
                rows += measured(folder, file, lesson, revised, options.on, clock=not machine.emulated)
        notes.append(f"{name}: {np.sum(tests)} test images, {np.sum((y >= OLD) & tests)} of the two new classes")
    columns = ["data ", "file ", "shown ", "runtime ", "old / new before", "after", "steps/s", "head bytes"]
    table = Table(columns, rows)
    results.show(table)
    if options.save:
        command = f"python -m benchmarks.learning --save --on {options.on}"
        results.save(f"learning {options.on}", command, markdown(table), "; ".join(notes) + f". {ABOUT}")
    return 0


ABOUT = (
    f"Top-1 in percent on the test images of the {OLD} old / the {CLASSES - OLD} new classes. {SHOWN} samples of each "
    "new class are shown, 20 epochs; the epoch that is kept is chosen on a fifth of the samples shown, never on the "
    "test images. A step: 16 samples' features through the head and Adam; median. trainable-head-float: beside an int8 "
    "file that computes the features."
)


def sources(quick: bool, emulated: bool) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Name -> (uint8 [N, H, W], class numbers [N], which are for the test). emulated: with FEW of these at most."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = np.round(digits.images / 16 * 255).astype(np.uint8)
    found = {"digits": (x, digits.target, np.arange(len(x)) % 5 == 0)}
    fashion = Path(data.fashion_mnist())
    if fashion.is_file() and not quick:
        with np.load(fashion) as arrays:
            few = np.concatenate([np.flatnonzero(arrays["y_train"] == label)[:1500] for label in range(CLASSES)])
            tests = slice(FEW if emulated else None)
            x = np.concatenate([arrays["x_train"][few], arrays["x_test"][tests]])
            y = np.concatenate([arrays["y_train"][few], arrays["y_test"][tests]]).astype(np.int64)
        found["fashion_mnist"] = x, y, np.arange(len(x)) >= len(few)
    return found


def made(name: str, x: np.ndarray, y: np.ndarray, tests: np.ndarray, *, epochs: int) -> Path:
    """The folder of the converted base and the data files; a run that was stopped goes on where it was."""
    folder = cache_folder() / "benchmark-learning" / f"{name}-{key_of(RECIPE, epochs, SHOWN, REVISED)[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    old, lessons = y < OLD, ~tests
    parts = {"base": (lessons & old, tests & old)}
    for lesson, revised in LESSONS:
        shown = [
            np.flatnonzero(lessons & (y == label))[: SHOWN if label >= OLD else revised] for label in range(CLASSES)
        ]
        chosen = np.concatenate(shown)
        np.savez(folder / f"{lesson}.npz", x=x[chosen], y=y[chosen])
    # Scoring takes a file with a test split of its own; of the rest, a sample of each class is enough.
    one = np.isin(np.arange(len(y)), [np.flatnonzero(lessons & (y == label))[0] for label in range(CLASSES)])
    parts["score"] = (one, tests)
    for part, (train, test) in parts.items():
        np.savez(folder / f"{part}.npz", x_train=x[train], y_train=y[train], x_test=x[test], y_test=y[test])
    (folder / "base.toml").write_text(RECIPE.format(epochs=epochs))
    if not (folder / "made" / "manifest.json").exists():
        run(ENTRY_POINT, "convert", folder / "base.toml", "-o", folder / "made", "--accept-degraded")
    return folder


def measured(folder: Path, file: str, lesson: str, revised: int, on: str, *, clock: bool) -> list[list[str]]:
    """A row for each runtime that the target has."""
    model = folder / "made" / f"mobilenet-{file}.tflite"
    rows = []
    for runtime in RUNTIMES:
        target, head = Target(on, runtime), folder / f"{file}-{revised}-{on.replace(':', '-')}-{runtime}.npz"
        head.unlink(missing_ok=True)
        result = learn(model, str(folder / f"{lesson}.npz"), Lesson(out=str(head)), target=target)
        before = shares(learn(model, str(folder / "score.npz"), Lesson(epochs=0), target=target))
        kept = str(head) if head.exists() else None
        after = shares(learn(model, str(folder / "score.npz"), Lesson(head=kept, epochs=0), target=target))
        steps = f"{1 / result.step_s:,.0f}" if clock and result.step_s else "-"
        size = "-" if result.head_bytes is None else f"{result.head_bytes:,}"
        first = [folder.name.rpartition("-")[0], file, lesson] if not rows else ["", "", ""]
        rows.append([*first, f"{result.runtime.name} {result.runtime.version}", str(before), str(after), steps, size])
    return rows


def shares(result: LearnResult) -> Shares:
    right, seen = np.zeros(2), np.zeros(2)
    for pair, count in (result.before.confusion or {}).items():
        true, guess = map(int, pair.split(","))
        seen[int(true >= OLD)] += count
        right[int(true >= OLD)] += count * (true == guess)
    return Shares(*(right / seen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
