"""The repair ladder on every model of the zoo, rung by rung: `python -m benchmarks.repair [--quick] [--save]`.

Each model is trained for some epochs on real images and converted once for each kind of scales, with a gate that no
file can meet, so that every rung is climbed. The plain converter is the ladder's first rung; LiteRT Quantizer's static
int8 of the same float file, with the same calibration samples, stands beside it. All are scored on all test images by
one runtime. It takes two hours on two cores, `--quick` (digits) some minutes; a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

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
from tflite_edge.records.repair import RUNGS, Ladder, Rung
from tflite_edge.records.verdict import Gates, loss_of
from tflite_edge.report.words import quality
from tflite_edge.targets.local import Local

RUNTIME = "ai-edge-litert"
SCALES = {"per channel": False, "per tensor": True}  # of the weights, and [convert] per_tensor for it
NEVER = Gates(max_drop=-100.0, min_agreement=0.0)  # no file gains 100 points, so that every rung is climbed
TARGET = 0.5
SAMPLES = 12_000  # of Fashion-MNIST, for those that would train for hours on all of it


Loss = tuple[float, "float | None"]  # points, half of the paired 95 % interval


@dataclass(frozen=True)
class Study:
    title: str
    recipe: Recipe


@dataclass(frozen=True)
class Found:
    """One study with one kind of scales. right: the float model's top-1 or AUC; other: what LiteRT Quantizer's file
    loses and half of its interval."""

    ladder: Ladder
    right: float
    other: Loss


def studies(quick: bool) -> dict[str, Study]:
    """Every model of the zoo: three on whole data sets, the others on a part of one."""
    fast = {"batch": 64, "augment": 0.25, "seed": 7}
    tune = Tuning(epochs=2, learning_rate=5e-4, mirror=True, **fast)

    def study(title: str, source: str, rate: float, epochs: int = 3, **model: Any) -> Study:
        train = Training(epochs=epochs, learning_rate=rate, mirror=True, **fast)
        asked = ModelSource(weights="train", **{"input": (32, 32, 1), **model})
        return Study(title, Recipe(asked, DataSource(source), train, tune=tune))

    if quick:
        train = Training(epochs=8, learning_rate=1e-2)
        small = ModelSource("mobilenet", input=(32, 32, 1), alpha=0.25)
        return {"mobilenet": Study("MobileNet 0.25, digits", Recipe(small, DataSource("digits"), train, tune=tune))}
    odd = DataSource(data.odd_ones(data.fashion_mnist(), normal=9), task="anomaly")
    detector = ModelSource("autoencoder", input=(784,))
    whole, colours = data.fashion_mnist(), (32, 32, 3)
    few = data.some(whole, SAMPLES)
    return {
        "mobilenet": study("MobileNet 0.25", whole, 3e-3, name="mobilenet", alpha=0.25),
        "mobilenet_v2": study("MobileNetV2 0.35", whole, 3e-3, name="mobilenet_v2", alpha=0.35),
        "resnet8": study("ResNet8, CIFAR-10", data.cifar10(), 3e-3, 5, name="resnet8", input=colours),
        "mobilenet_v3_small": study("MobileNetV3 small 0.75", few, 3e-3, 4, name="mobilenet_v3_small", alpha=0.75),
        "mobilenet_v3_large": study("MobileNetV3 large", few, 3e-3, 4, name="mobilenet_v3_large"),
        "mobilenet_sparse": study(
            "MobileNet sparse 0.25", few, 3e-3, 4, name="mobilenet_sparse", input=colours, alpha=0.25
        ),
        "squeezenet": study("SqueezeNet", few, 1e-3, 4, name="squeezenet"),
        "efficientnet_lite0": study("EfficientNet-Lite0", few, 3e-3, 4, name="efficientnet_lite0"),
        "efficientnet_b0": study("EfficientNet-B0", few, 3e-3, 4, name="efficientnet_b0", input=colours),
        "resnet50": study("ResNet50", few, 1e-3, 4, name="resnet50", input=colours),
        "nasnet_mobile": study("NASNet-Mobile", few, 3e-3, 4, name="nasnet_mobile"),
        "ds_cnn": study("DS-CNN", few, 3e-3, 4, name="ds_cnn", input=(49, 10, 1)),
        "autoencoder": Study("autoencoder, AUC", Recipe(detector, odd, Training(20, 128, 1e-3, seed=7), tune=tune)),
    }


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
    right = quality(whole.score)[0]
    assert right is not None
    return Found(repaired.repair, right, _other(study, home / whole.file, per_tensor=per_tensor))


def _write(path: Path, recipe: Recipe) -> Path:
    """A recipe as a manifest holds it, which `convert` takes as well."""
    path.write_text(json.dumps({"recipe": to_plain(recipe)}))
    return path


def _other(study: Study, whole: Path, *, per_tensor: bool) -> Loss:
    """What LiteRT Quantizer's file of the same float file loses."""
    path = _write(whole.with_name("baseline.json"), study.recipe)
    baseline = trained(path)
    granularity = "TENSORWISE" if per_tensor else "CHANNELWISE"
    key = key_of(granularity, (HERE / "bare" / "litert.py").read_text(), sha256(whole), version("litert-quantizer"))

    def make(folder: Path) -> None:
        script("bare/litert", whole, baseline / "calibration.npy", folder / "int8.tflite", granularity)

    file = cached("benchmark", key, make) / "int8.tflite"
    preprocess = from_plain(Preprocess, json.loads((baseline / "preprocess.json").read_text()))
    job = Job("score", str(file), RUNTIME, workers=cores(), pack=str(baseline / "test.npz"), preprocess=preprocess)
    return loss_of(Local().score(job))


def describe(study: Study, found: Mapping[str, Found]) -> Table:
    """All that was measured of one model, for the terminal."""
    rows = []
    for scales, one in found.items():
        rows.append([f"float, {scales}", f"{100 * one.right:.2f}", "", "", "", ""])
        rows += [_row(rung) for rung in one.ladder.rungs]
        rows.append(["  LiteRT Quantizer", _words(one.other), "", "", "", ""])
    return Table(["rung ", "points lost", "error", "KiB", "x time", "seconds"], rows, title=study.title)


def _row(rung: Rung) -> list[str]:
    error = "-" if rung.error is None else f"{rung.error:.4f}"
    size = "" if rung.bytes is None else f"{rung.bytes / 1024:.1f}"
    latency = "" if rung.latency is None else f"{rung.latency:.2f}"
    return [f"  {rung.name}", _words(_loss(rung)), error, size, latency, f"{rung.seconds:.0f}"]


def _loss(rung: Rung) -> Loss | None:
    return None if rung.loss is None else (rung.loss, rung.loss_ci)


def _words(loss: Loss | None) -> str:
    if loss is None:
        return "-"
    return f"{loss[0]:+.2f}" + ("" if loss[1] is None else f" ±{loss[1]:.2f}")


def summary(title: str, found: Mapping[str, Found]) -> list[list[str]]:
    """A row for each kind of scales: what the float model gets right and each rung loses."""
    return [
        [
            title,
            scales,
            f"{100 * one.right:.2f}",
            *(_words(_loss(rung)) for rung in one.ladder.rungs),
            _words(one.other),
            next((rung.name for rung in one.ladder.rungs if rung.loss is not None and rung.loss <= TARGET), "none"),
        ]
        for scales, one in found.items()
    ]


COLUMNS = ["model ", "scales ", "float", "plain", *RUNGS, "LiteRT Quantizer", f"within {TARGET} at "]


def targets(found: Mapping[str, Found]) -> list[Row]:
    """Training goes on learning what the float model had not, which is no merit of a repair: `qat` does not count."""
    rows = []
    for scales, one in found.items():
        judged = [rung for rung in one.ladder.rungs if rung.loss is not None]
        least = min(rung.loss for rung in judged if rung.loss is not None and rung.name != "qat")
        plain = one.ladder.rungs[0].loss
        assert plain is not None
        alone = min(plain, one.other[0])
        notes = tuple(f"{rung.name}: {rung.settings}{rung.why and ': '}{rung.why}" for rung in one.ladder.rungs[1:])
        rows.append(Row(f"{scales}: points lost, qat apart", f"{least:+.2f}", f"<= {TARGET}", least <= TARGET, notes))
        rows.append(Row("  more than either alone", f"{least - alone:+.2f}", "<= 0", least <= alone))
    return rows


def counted(reached: Mapping[str, Sequence[Row]]) -> str:
    """How many of the models and kinds of scales meet each target, and which do not."""
    lines = []
    for number, what in enumerate((f"Within {TARGET} points, qat apart", "No worse than either quantiser alone")):
        every = {
            f"{name}, {scales}": rows[2 * place + number]
            for name, rows in reached.items()
            for place, scales in enumerate(SCALES)
        }
        missed = [f"{name} ({row.measured})" for name, row in every.items() if not row.met]
        lines.append(f"- {what}: {len(every) - len(missed)} of {len(every)}; missed by: {', '.join(missed) or 'none'}")
    return "\n".join(lines)


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
    rows, reached = [], {}
    for name, study in studies(options.quick).items():
        if options.only not in (None, name):
            continue
        found = {}
        for scales, per_tensor in SCALES.items():
            print(f"{name}: {scales} ...", file=sys.stderr, flush=True)
            found[scales] = measure(study, per_tensor=per_tensor)
        results.show(describe(study, found))
        rows += summary(study.title, found)
        reached[name] = targets(found)
    results.show(results.table(reached))
    print(results.notes(reached))
    if options.save:
        results.save("repair", "python -m benchmarks.repair --save", markdown(Table(COLUMNS, rows)), counted(reached))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
