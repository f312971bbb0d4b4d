"""Every optimisation on one baseline, on real data: `python -m benchmarks.compress [--quick] [--save]`.

Each variant is one `tflite-edge convert` of the same trained model with the same epochs for each step, scored on all
test images. Steps that variants share are trained once; a run that was stopped goes on where it was. At the end
all files are timed in turns. It takes about two hours on two cores, `--quick` (digits, few epochs) some minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import data, results
from benchmarks.fixture import trained
from benchmarks.process import ENTRY_POINT, HERE, alternate, run, script
from benchmarks.row import Row, ratio
from tflite_edge.artifact import cache_folder, cached, key_of
from tflite_edge.cli.sink import Table, markdown
from tflite_edge.flatbuffer import inspect
from tflite_edge.records.job import Job, cores
from tflite_edge.records.plain import from_plain, to_plain
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import DataSource, ModelSource, Recipe, Target, Training, Tuning
from tflite_edge.records.step import parse_steps
from tflite_edge.records.verdict import Gates, drop_of
from tflite_edge.targets.local import Local

RUNTIME = "ai-edge-litert"
PLAIN = "PTQ int8"
GUIDE = "PCQAT by TF-MOT's guide"
TAUGHT, LONG, CHAIN = "channels 50 %, taught", "the same, 12 epochs at 3e-3", "channels, distil, PCQAT"
ROUNDS = 9  # in which every file is timed once
# What others report of the same methods, on other models and data: compressed means zip or gzip.
PUBLISHED = (
    ("MobileNet v1, ImageNet: float, QAT", "71.03, 71.06 %", "", "TF-MOT guide, quantisation aware training"),
    ("MobileNet v2, ImageNet: float, QAT", "70.77, 70.01 %", "", "TF-MOT guide, quantisation aware training"),
    ("MobileNet v1, ImageNet: pruned 50 %, 2:4", "70.84, 67.35 %", "", "TF-MOT guide, pruning"),
    (
        "MobileNet v1, ImageNet: 32 clusters",
        "69.4 % of 70.98 %",
        "0.30 x float, compressed",
        "TF-MOT guide, clustering",
    ),
    ("MobileNet v1, CIFAR-10: CQAT int8", "94.52 %", "0.65 x int8, compressed", "TF-MOT guide, collaborative"),
    ("DS-CNN-L, Speech Commands: PQAT int8", "94.13 %", "0.58 x int8, compressed", "TF-MOT guide, collaborative"),
    ("ResNet8, CIFAR-10: float, int8", "87.19, 86.97 %", "98,496 B of int8", "MLPerf Tiny, mlcommons/tiny; 500 epochs"),
)
ANYTHING = Gates(max_drop=100.0, min_agreement=0.0)  # the table says what was lost; no gate is to hide a row


@dataclass(frozen=True)
class Study:
    """A baseline to compress. `recipe` has no steps; distillation's teacher is the baseline itself."""

    title: str
    recipe: Recipe


def studies(quick: bool) -> dict[str, Study]:
    fast = {"batch": 64, "augment": 0.25, "seed": 7}
    found = {
        "cifar10": Study(
            "ResNet8 (MLPerf Tiny), CIFAR-10",
            Recipe(
                ModelSource("resnet8", input=(32, 32, 3)),
                DataSource(data.cifar10()),
                Training(epochs=15, learning_rate=3e-3, mirror=True, **fast),
                tune=Tuning(epochs=3, learning_rate=1e-3, mirror=True, **fast),
            ),
        ),
        "fashion_mnist": Study(
            "MobileNet 0.5, Fashion-MNIST",
            Recipe(
                ModelSource("mobilenet", input=(32, 32, 1), alpha=0.5),
                DataSource(data.fashion_mnist()),
                Training(epochs=8, learning_rate=3e-3, mirror=True, **fast),
                tune=Tuning(epochs=3, learning_rate=1e-3, mirror=True, **fast),
            ),
        ),
    }
    if not quick:
        return found
    return {
        name: replace(
            study,
            title=f"{study.title.partition(',')[0]}, digits, quick",
            recipe=replace(
                study.recipe,
                model=replace(study.recipe.model, input=(32, 32, 1)),
                data=DataSource("digits"),
                train=Training(epochs=8, learning_rate=1e-2),
                tune=Tuning(epochs=1),
            ),
        )
        for name, study in found.items()
    }


def variants(teacher: str) -> dict[str, list[dict[str, Any]]]:
    """The [[optimize]] tables of each row. `teacher`: the baseline's file."""
    taught: dict[str, Any] = {"step": "distill", "teacher": teacher}
    found = {
        name: list(parse_steps(steps))
        for name, steps in (
            (PLAIN, "none"),
            ("QAT", "qat"),
            ("prune 50 %", "prune=0.5"),
            ("channels 50 %", "channels=0.5"),
            ("cluster 16", "cluster=16"),
            ("cluster 32", "cluster=32"),
            ("PQAT", "prune=0.5,qat"),
            ("CQAT", "cluster=16,qat"),
            ("PCQAT", "prune=0.5,cluster=16,qat"),
        )
    }
    # epochs = 0: the teacher only joins the tuning of the next step, so that the row has as many epochs as without.
    found[TAUGHT] = [{**taught, "epochs": 0}, *parse_steps("channels=0.5")]
    found[LONG] = [
        {**taught, "epochs": 0},
        {"step": "channels", "fraction": 0.5, "epochs": 12, "learning_rate": 3e-3},
    ]
    found[CHAIN] = [
        *parse_steps("channels=0.5"), taught, *parse_steps("prune=0.5,cluster=16,qat"),
    ]  # fmt: skip
    return found


@dataclass(frozen=True)
class Made:
    """One file of a row. top1, drop, drop_ci: share, points below the baseline and half their 95 % interval."""

    file: Path
    top1: float
    drop: float
    drop_ci: float


def measure(study: Study, listen: Callable[[str], None]) -> dict[str, Made]:
    """All files of a study by row, made where they are not in the cache yet."""
    home = cache_folder() / "benchmark" / "compress" / key_of(to_plain(study.recipe))
    home.mkdir(parents=True, exist_ok=True)
    recipe = _write(home / "baseline.json", study.recipe)
    listen("baseline")
    baseline = trained(recipe)
    found: dict[str, Made] = {}
    for name, steps in variants(str(baseline / "model.h5")).items():
        listen(name)
        out = home / "".join(c if c.isalnum() else "-" for c in name)
        asked = replace(study.recipe, optimize=tuple(steps), gates=ANYTHING, target=Target(runtime=RUNTIME))
        asked = replace(asked, convert=replace(asked.convert, quantize=("int8",) if steps else ("float32", "int8")))
        path = _write(out.with_suffix(".json"), asked)
        models = json.loads(run(ENTRY_POINT, "convert", path, "-o", out, "--format", "json").stdout)["models"]
        if not steps:
            found["float"] = _made(out, models[0])
        found[name] = _made(out, models[-1])
    listen(GUIDE)
    found[GUIDE] = _guide(study, baseline)
    return found


def _write(path: Path, recipe: Recipe) -> Path:
    """A recipe as a manifest holds it, which `convert` takes as well."""
    path.write_text(json.dumps({"recipe": to_plain(recipe)}))
    return path


def _made(out: Path, model: dict[str, Any]) -> Made:
    return Made(out / model["file"], model["score"]["top1"], model["drop"], model["drop_ci"])


def _guide(study: Study, baseline: Path) -> Made:
    """PCQAT as TF-MOT's guide writes it, from the same baseline, with as many epochs."""
    arguments = (str(study.recipe.tune.epochs), str(study.recipe.tune.batch))

    def make(folder: Path) -> None:
        script("bare/pcqat", baseline, folder / "guide.tflite", *arguments)

    file = cached("benchmark", guide_key(study, arguments), make) / "guide.tflite"
    preprocess = from_plain(Preprocess, json.loads((baseline / "preprocess.json").read_text()))
    job = Job("score", str(file), RUNTIME, workers=cores(), pack=str(baseline / "test.npz"), preprocess=preprocess)
    score = Local().score(job)
    drop, drop_ci = drop_of(score)
    assert score.top1 is not None
    assert drop is not None
    assert drop_ci is not None
    return Made(file, score.top1, drop, drop_ci)


def guide_key(study: Study, arguments: Sequence[str]) -> str:
    makers = [version(name) for name in ("tensorflow", "tf-keras", "tensorflow-model-optimization")]
    return key_of((HERE / "bare" / "pcqat.py").read_text(), arguments, to_plain(study.recipe), makers)


def timed(found: Mapping[str, Made], rounds: int) -> dict[str, list[float]]:
    """Median seconds of each file in each round, 1 thread; the files take turns."""
    jobs = {name: Job("bench", str(made.file), RUNTIME, runs=100, min_seconds=0.2) for name, made in found.items()}
    columns = alternate(rounds, *(lambda job=job: Local().bench(job) for job in jobs.values()))
    return {name: [result.median_s for result in column] for name, column in zip(jobs, columns, strict=True)}


def describe(study: Study, found: Mapping[str, Made], took: Mapping[str, list[float]]) -> Table:
    plain = inspect(found[PLAIN].file)
    rows = []
    for name, made in found.items():
        facts = inspect(made.file)
        resident = Local().bench(Job("bench", str(made.file), RUNTIME, runs=1)).resident_bytes
        speeds = [ratio(took[other], took[name])[0] for other in ("float", PLAIN)]
        compression = facts.compression
        assert compression is not None
        rows.append(
            [
                name,
                f"{100 * made.top1:.2f}",
                f"{made.drop:+.2f} ±{made.drop_ci:.2f}",
                f"{facts.file.size_bytes / 1024:.1f}",
                f"{facts.file.gzip_bytes / 1024:.1f}",
                "-" if resident is None else f"{resident / 1024:.0f}",
                f"{facts.file.gzip_bytes / plain.file.gzip_bytes:.2f}",
                *(f"{speed:.2f}" for speed in speeds),
                f"{100 * compression.sparsity:.0f}",
                f"{compression.half_unique}, {compression.half_unique_per_channel}",
            ]
        )
    columns = [
        "variant ", "top-1 %", "drop, points", "KiB", "gzip", "in RAM", "gzip x int8", "x float", "x int8", "zeros %",
        "values, in a channel",
    ]  # fmt: skip
    return Table(columns, rows, title=study.title)


def targets(found: Mapping[str, Made], took: Mapping[str, list[float]]) -> list[Row]:
    """What we set out to reach, on this study."""
    gzip = {name: inspect(made.file).file.gzip_bytes for name, made in found.items()}

    def drop(name: str, most: float) -> Row:
        lost = found[name].drop
        return Row(f"{name}: points lost", f"{lost:+.2f} ±{found[name].drop_ci:.2f}", f"<= {most}", lost <= most)

    def smaller(name: str, than: str, most: float) -> Row:
        share = gzip[name] / gzip[than]
        return Row(f"{name}: gzip / {than}", f"{share:.3f} x", f"<= {most} x", share <= most)

    def faster(name: str, least: float) -> Row:
        speed, text = ratio(took[PLAIN], took[name])
        return Row(f"{name}: speed / {PLAIN}", text, f">= {least} x", speed >= least)

    return [
        drop("QAT", 0.3),
        *(smaller("PCQAT", PLAIN, 0.55), smaller("PCQAT", "float", 0.15), drop("PCQAT", 1)),
        *(faster(TAUGHT, 2), drop(TAUGHT, 1), drop(LONG, 1)),
        *(faster(CHAIN, 2), drop(CHAIN, 1)),
        Row(
            f"PCQAT / {GUIDE}: gzip, top-1",
            f"{gzip['PCQAT'] / gzip[GUIDE]:.3f} x, {100 * (found['PCQAT'].top1 - found[GUIDE].top1):+.2f} points",
        ),
    ]


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compress", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="digits and few epochs: does it run")
    parser.add_argument("--only", choices=["cifar10", "fashion_mnist"], help="one study; nothing is saved")
    parser.add_argument("--save", action="store_true", help="rewrite its part of RESULTS.md")
    options = parser.parse_args(argv)
    if options.save and (options.quick or options.only):
        parser.error("--save keeps one full run: it goes with neither --quick nor --only")
    chosen = {name: study for name, study in studies(options.quick).items() if options.only in (None, name)}
    blocks, reached = [], {}
    for name, study in chosen.items():
        found = measure(study, lambda row, name=name: print(f"{name}: {row} ...", file=sys.stderr, flush=True))
        took = timed(found, 2 if options.quick else ROUNDS)
        table, reached[name] = describe(study, found, took), targets(found, took)
        results.show(table)
        blocks += [f"### {study.title}\n\n{markdown(replace(table, title=''))}", _settings(study)]
    results.show(results.table(reached))
    if options.save:
        published = Table(["elsewhere ", "top-1 ", "size ", "source "], PUBLISHED)
        results.save("compress", "python -m benchmarks.compress --save", *blocks, markdown(results.table(reached)),
                     markdown(published))  # fmt: skip
    return 0


def _settings(study: Study) -> str:
    train, tune = study.recipe.train, study.recipe.tune
    return (
        f"Baseline: {train.epochs} epochs at {train.learning_rate:g}; each step: {tune.epochs} epochs at "
        f"{tune.learning_rate:g}; batches of {train.batch}, seed {train.seed}, Adam, warm-up and cosine. Rows of "
        f"several steps train longer, and so does the one that says so. The baseline could still learn, and every row "
        f"but the first two goes on training it: a negative drop is that, not the compression. gzip, in RAM: in KiB; "
        f"x float and x int8: so many times as fast as these. The guide's script: {tune.epochs} epochs in each step."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
