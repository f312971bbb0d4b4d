"""The repair ladder on trained zoo models, rung by rung: `python -m benchmarks.repair [--quick] [--save]`.

Each model is converted once for each kind of scales with a gate that no file can meet, so that every rung is climbed.
The plain converter is the ladder's first row; LiteRT Quantizer's static int8 of the same float file, with the same
calibration samples, stands beside it. All are scored on all test images by one runtime. It takes about an hour on two
cores, `--quick` (digits) some minutes; a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from benchmarks import data, results
from benchmarks.fixture import trained
from benchmarks.process import ENTRY_POINT, HERE, run, script
from benchmarks.row import Row
from tflite_edge.artifact import cache_folder, cached, key_of, sha256
from tflite_edge.cli.sink import Table, markdown
from tflite_edge.records.job import Job, cores
from tflite_edge.records.manifest import Manifest
from tflite_edge.records.plain import from_plain, to_plain
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import Convert, DataSource, ModelSource, Recipe, Target, Training, Tuning
from tflite_edge.records.repair import Ladder, Rung
from tflite_edge.records.verdict import Gates, drop_of
from tflite_edge.targets.local import Local

RUNTIME = "ai-edge-litert"
SCALES = {"per channel": False, "per tensor": True}  # of the weights, and [convert] per_tensor for it
NEVER = Gates(max_drop=-100.0, min_agreement=0.0)  # no file gains 100 points, so that every rung is climbed
TARGET = 0.5


@dataclass(frozen=True)
class Study:
    title: str
    recipe: Recipe


@dataclass(frozen=True)
class Found:
    """One study with one kind of scales. other: LiteRT Quantizer's top-1, drop and half of its interval, or why not."""

    ladder: Ladder
    float_top1: float
    other: tuple[float, float, float] | str


def studies(quick: bool) -> dict[str, Study]:
    fast = {"batch": 64, "augment": 0.25, "seed": 7}
    tune = Tuning(epochs=2, learning_rate=5e-4, mirror=True, **fast)
    found = {
        "mobilenet": Study(
            "MobileNet 0.25, Fashion-MNIST",
            Recipe(
                ModelSource("mobilenet", input=(32, 32, 1), alpha=0.25),
                DataSource(data.fashion_mnist()),
                Training(epochs=3, learning_rate=3e-3, mirror=True, **fast),
                tune=tune,
            ),
        ),
        "mobilenet_v2": Study(
            "MobileNetV2 0.35, Fashion-MNIST",
            Recipe(
                ModelSource("mobilenet_v2", input=(32, 32, 1), alpha=0.35),
                DataSource(data.fashion_mnist()),
                Training(epochs=3, learning_rate=3e-3, mirror=True, **fast),
                tune=tune,
            ),
        ),
        "resnet8": Study(
            "ResNet8 (MLPerf Tiny), CIFAR-10",
            Recipe(
                ModelSource("resnet8", input=(32, 32, 3)),
                DataSource(data.cifar10()),
                Training(epochs=5, learning_rate=3e-3, mirror=True, **fast),
                tune=tune,
            ),
        ),
    }
    if not quick:
        return found
    few = replace(found["mobilenet"].recipe, data=DataSource("digits"), train=Training(epochs=8, learning_rate=1e-2))
    return {"mobilenet": Study("MobileNet 0.25, digits, quick", few)}


def measure(study: Study, *, per_tensor: bool) -> Found:
    """The ladder of one study, and LiteRT Quantizer on its float file."""
    asked = replace(
        study.recipe,
        convert=Convert(quantize=("float32", "int8"), per_tensor=per_tensor, repair=True),
        target=Target(runtime=RUNTIME),
        gates=NEVER,
    )
    home = cache_folder() / "benchmark" / "repair" / key_of(to_plain(asked))
    home.mkdir(parents=True, exist_ok=True)
    path = _write(home / "asked.json", asked)
    # Exit 1 is what a gate that is missed answers, and this one is.
    document = json.loads(run(ENTRY_POINT, "convert", path, "-o", home, "--accept-degraded", "--format", "json").stdout)
    written = json.loads((home / "manifest.json").read_text())
    manifest = from_plain(Manifest, written)
    whole, repaired = manifest.models[0], manifest.models[1]
    assert document["models"][1]["repair"] is not None
    assert repaired.repair is not None
    assert whole.score is not None
    assert whole.score.top1 is not None
    return Found(repaired.repair, whole.score.top1, _other(study, home / whole.file, per_tensor=per_tensor))


def _write(path: Path, recipe: Recipe) -> Path:
    """A recipe as a manifest holds it, which `convert` takes as well."""
    path.write_text(json.dumps({"recipe": to_plain(recipe)}))
    return path


def _other(study: Study, whole: Path, *, per_tensor: bool) -> tuple[float, float, float] | str:
    """(top-1, drop, half of its interval) of LiteRT Quantizer's file, or why there is none."""
    path = _write(whole.with_name("baseline.json"), study.recipe)
    baseline = trained(path)
    granularity = "TENSORWISE" if per_tensor else "CHANNELWISE"
    key = key_of(granularity, (HERE / "bare" / "litert.py").read_text(), sha256(whole), version("litert-quantizer"))

    def make(folder: Path) -> None:
        script("bare/litert", whole, baseline / "calibration.npy", folder / "int8.tflite", granularity)

    file = cached("benchmark", key, make) / "int8.tflite"
    preprocess = from_plain(Preprocess, json.loads((baseline / "preprocess.json").read_text()))
    job = Job("score", str(file), RUNTIME, workers=cores(), pack=str(baseline / "test.npz"), preprocess=preprocess)
    score = Local().score(job)
    drop, half = drop_of(score)
    if score.top1 is None or drop is None or half is None:
        return "no classes"
    return score.top1, drop, half


def describe(study: Study, found: Mapping[str, Found]) -> Table:
    rows = []
    for scales, one in found.items():
        rows.append([f"float, {scales}", f"{100 * one.float_top1:.2f}", "", "", "", "", ""])
        first = one.ladder.rungs[0]
        rows += [_row(rung, first) for rung in one.ladder.rungs]
        if not isinstance(one.other, str):
            top1, drop, half = one.other
            rows.append(["LiteRT Quantizer", f"{100 * top1:.2f}", f"{drop:+.2f} ±{half:.2f}", "", "", "", ""])
    columns = ["rung ", "top-1 %", "drop, points", "error", "KiB", "x time", "seconds"]
    return Table(columns, rows, title=study.title)


def _row(rung: Rung, first: Rung) -> list[str]:
    if rung.loss is None:
        error = "-" if rung.error is None else f"{rung.error:.4f}"
        return [f"  {rung.name}", "not judged", "", error, "", "", f"{rung.seconds:.0f}"]
    assert rung.top1 is not None
    assert rung.bytes is not None
    return [
        f"  {rung.name}",
        f"{100 * rung.top1:.2f}",
        f"{rung.loss:+.2f}" + ("" if rung.loss_ci is None else f" ±{rung.loss_ci:.2f}"),
        "-" if rung.error is None else f"{rung.error:.4f}",
        f"{rung.bytes / 1024:.1f}",
        "-" if rung.latency is None else f"{rung.latency:.2f}",
        "" if rung is first else f"{rung.seconds:.0f}",
    ]


def targets(found: Mapping[str, Found]) -> list[Row]:
    rows = []
    for scales, one in found.items():
        judged = [rung for rung in one.ladder.rungs if rung.loss is not None]
        # Training goes on learning what the float model had not, which is no merit of a repair.
        losses = [rung.loss for rung in judged if rung.loss is not None and rung.name != "qat"]
        met = [rung.name for rung in judged if rung.loss is not None and rung.loss <= TARGET]
        stops = f"`--max-drop {TARGET}` stops at: {met[0]}" if met else f"no rung is within {TARGET}"
        settings = tuple(f"{rung.name}: {rung.settings}" for rung in judged[1:])
        why = tuple(f"{rung.name}: {rung.why}" for rung in one.ladder.rungs if rung.why)
        rows.append(
            Row(f"{scales}: points lost, qat apart", f"{min(losses):+.2f}", f"<= {TARGET}", min(losses) <= TARGET,
                (stops, *settings, *why))
        )  # fmt: skip
        alone = [losses[0]] + ([] if isinstance(one.other, str) else [one.other[1]])
        rows.append(Row("  worse than either alone", f"{min(losses) - min(alone):+.2f}", "<= 0",
                        min(losses) <= min(alone)))  # fmt: skip
    return rows


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.repair", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one small model on digits")
    parser.add_argument("--only", help="one study (a name of the zoo); nothing is saved")
    parser.add_argument("--save", action="store_true", help="rewrite its part of RESULTS.md")
    options = parser.parse_args(argv)
    if options.save and (options.quick or options.only):
        parser.error("--save keeps one full run: it goes with neither --quick nor --only")
    blocks, reached = [], {}
    for name, study in studies(options.quick).items():
        if options.only not in (None, name):
            continue
        found = {}
        for scales, per_tensor in SCALES.items():
            print(f"{name}: {scales} ...", file=sys.stderr, flush=True)
            found[scales] = measure(study, per_tensor=per_tensor)
        table, reached[name] = describe(study, found), targets(found)
        results.show(table)
        train = study.recipe.train
        trained_by = f"Float model: {train.epochs} epochs at {train.learning_rate:g}, batches of {train.batch}, seed 7."
        blocks += [f"### {study.title}\n\n{markdown(replace(table, title=''))}", trained_by]
    results.show(results.table(reached))
    print(results.notes(reached))
    if options.save:
        results.save("repair", "python -m benchmarks.repair --save", *blocks, markdown(results.table(reached)),
                     results.notes(reached))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
