"""Every optimisation on one baseline, on real data: `python -m benchmarks.compress [--quick] [--save]`.

Each variant is one `tflite-edge convert` of the same trained model with the same epochs for each step, scored on all
test images. Steps that variants share are trained once; a run that was stopped goes on where it was. At the end
all files are timed in turns. It takes about two hours on two cores, `--quick` (digits, few epochs) some minutes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.fixture import trained
from benchmarks.process import ENTRY_POINT, run, script
from tflite_edge.artifact import cache_folder, key_of
from tflite_edge.records.job import Job, cores
from tflite_edge.records.plain import from_plain, to_plain
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import DataSource, ModelSource, Recipe, Target, Training, Tuning
from tflite_edge.records.step import parse_steps
from tflite_edge.records.verdict import Gates, drop_of
from tflite_edge.targets import local

RUNTIME = "ai-edge-litert"
GUIDE = "PCQAT by TF-MOT's guide"
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
            ("PTQ int8", ""),
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
    found["channels 50 %, taught"] = [{**taught, "epochs": 0}, *parse_steps("channels=0.5")]
    found["channels, distil, PCQAT"] = [
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
        asked = replace(study.recipe, optimize=tuple(steps), gates=ANYTHING, target=Target(RUNTIME))
        asked = replace(asked, convert=replace(asked.convert, quantize=("int8",) if steps else ("float32", "int8")))
        path = _write(out.with_suffix(".json"), asked)
        models = json.loads(run(ENTRY_POINT, "convert", path, "-o", out, "--format", "json").stdout)["models"]
        if not steps:
            found["float"] = _made(out, models[0])
        found[name] = _made(out, models[-1])
    listen(GUIDE)
    found[GUIDE] = _guide(study, baseline, home / "guide.tflite")
    return found


def _write(path: Path, recipe: Recipe) -> Path:
    """A recipe as a manifest holds it, which `convert` takes as well."""
    path.write_text(json.dumps({"recipe": to_plain(recipe)}))
    return path


def _made(out: Path, model: dict[str, Any]) -> Made:
    return Made(out / model["file"], model["score"]["top1"], model["drop"], model["drop_ci"])


def _guide(study: Study, baseline: Path, file: Path) -> Made:
    """PCQAT as TF-MOT's guide writes it, from the same baseline, with as many epochs."""
    if not file.exists():
        script("bare/pcqat", baseline, file, str(study.recipe.tune.epochs), str(study.recipe.tune.batch))
    preprocess = from_plain(Preprocess, json.loads((baseline / "preprocess.json").read_text()))
    job = Job("score", str(file), RUNTIME, workers=cores(), pack=str(baseline / "test.npz"), preprocess=preprocess)
    score = local.score(job)
    drop, drop_ci = drop_of(score)
    assert score.top1 is not None
    assert drop is not None
    assert drop_ci is not None
    return Made(file, score.top1, drop, drop_ci)


if __name__ == "__main__":
    study = studies("--quick" in sys.argv)[sys.argv[1]]
    print(measure(study, lambda name: print(name, flush=True)))
