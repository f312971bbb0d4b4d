"""Fit a Raspberry Pi 4's latency to instruction counts and published figures; write pi4-latency.json of the emulator.

    python scripts/fit_latency.py pi_latency.csv --work build/latency

pi_latency.csv: columns system, model, min_ms, p50_ms, p90_ms and others. Its rpi4 rows are results of the MLCommons
Inference v2.0 open division (system "rpi4-tflite-v2.7.1-ruy": TFLite 2.7.1 with ruy, 1.8 GHz, 4 threads); take them
from there, they are not part of this project. Their quantised files were uint8; what is counted for them is int8.

Every published model is built with random weights (the kernels do not look at values), converted by this project's own
converter, and counted on the emulated board, without XNNPACK, as the published runs were. Files and counts are kept in
--work: run again, it goes on. Then coefficients that are not negative are fitted to relative errors, for float and int8
apart, and judged by leaving out one model, and one family of models, at a time. Needs the extra `convert` and an
installed board: tflite-edge emulator install pi4.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflite_edge import flatbuffer
from tflite_edge.artifact import write
from tflite_edge.flatbuffer.graph import graphs
from tflite_edge.flatbuffer.reader import read
from tflite_edge.records.job import CountResult, Job
from tflite_edge.records.plain import from_plain, to_plain
from tflite_edge.targets import open_machine
from tflite_edge.targets.emulator.fit import DATA, TERMS, Errors, Fit, FittedModel, Workload, workload

BOARD, RUNTIME, KERNELS, THREADS = "pi4", "tflite-runtime", "builtin", 4
SYSTEM = "rpi4-tflite-v2.7.1-ruy"
SOURCE = (
    "MLCommons Inference v2.0, open division: Raspberry Pi 4 at 1.8 GHz, TFLite 2.7.1 with ruy, 4 threads, "
    "50th percentile"
)
SEED, SAMPLES = 7, 2
# Of the errors of models that were left out, the band holds so many.
BAND = 90
# EfficientNet-Lite (tensorflow/tpu, efficientnet/lite/efficientnet_lite_builder.py): width, depth, input size.
LITE = {0: (1.0, 1.0, 224), 1: (1.0, 1.1, 240), 2: (1.1, 1.2, 260), 3: (1.2, 1.4, 280), 4: (1.4, 1.8, 300)}


@dataclass(frozen=True)
class Published:
    """model: its name without the type. kind: "float" or "int8". family: of architectures."""

    model: str
    kind: str
    family: str
    latency_s: float

    @property
    def name(self) -> str:
        return f"{self.model}-{self.kind}"


def published(path: Path) -> list[Published]:
    """The board's rows. The quantised files were of uint8, which today's converter no longer makes."""
    found = []
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["system"] == SYSTEM:
                model, kind = split_name(row["model"])
                family = re.match(r"efficientnet-lite|mobilenet-v\d", model)
                assert family is not None, f"no builder for {model}"
                found.append(Published(model, kind, family[0], float(row["p50_ms"]) / 1e3))
    return found


def split_name(name: str) -> tuple[str, str]:
    """mobilenet-v1-0.25-128-non-quantized -> (mobilenet-v1-0.25-128, float)."""
    matched = re.fullmatch(r"(.+?)(?:_224_1\.0)?[-_](non-quantized|quantized|float|uint8)", name)
    assert matched is not None, name
    return matched[1], "float" if matched[2] in ("non-quantized", "float") else "int8"


def build(name: str) -> Any:
    """The Keras model with random weights and ImageNet's 1,000 classes."""
    from tf_keras import applications

    if matched := re.fullmatch(r"mobilenet-v([12])-([\d.]+)-(\d+)", name):
        make = applications.MobileNet if matched[1] == "1" else applications.MobileNetV2
        return make(input_shape=(int(matched[3]), int(matched[3]), 3), alpha=float(matched[2]), weights=None)
    if matched := re.fullmatch(r"mobilenet-v3-(small|large)(-minimalistic)?", name):
        make = applications.MobileNetV3Small if matched[1] == "small" else applications.MobileNetV3Large
        return make(input_shape=(224, 224, 3), minimalistic=bool(matched[2]), weights=None, include_preprocessing=False)
    return _lite(int(name.removeprefix("efficientnet-lite")))


def _lite(number: int) -> Any:
    """Widths are rounded to 8 and depths up, but of stem, head, first and last stage (the builder's fix_head_stem)."""
    from tflite_edge.tf.models import efficientnet

    width, depth, size = LITE[number]
    last = len(efficientnet.STAGES) - 1
    stages = tuple(
        (expansion, kernel, stride, _round(width * filters), repeats if i in {0, last} else math.ceil(depth * repeats))
        for i, (expansion, kernel, stride, filters, repeats) in enumerate(efficientnet.STAGES)
    )
    return efficientnet.lite_of((size, size, 3), 1000, stages, f"efficientnet_lite{number}")


def _round(filters: float) -> int:
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded


def make_models(rows: Sequence[Published], folder: Path) -> None:
    """Every model as FOLDER/NAME.tflite, those that are there left alone."""
    for model in dict.fromkeys(row.model for row in rows):
        kinds = [row.kind for row in rows if row.model == model]
        missing = [kind for kind in kinds if not (folder / f"{model}-{kind}.tflite").is_file()]
        if missing:
            for kind, content in _convert(model, missing):
                write(folder / f"{model}-{kind}.tflite", content)
                _say(f"made {model}-{kind}")


def _convert(model: str, kinds: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    import tf_keras

    from tflite_edge.records.conversion import Conversion
    from tflite_edge.tf.convert.convert import convert
    from tflite_edge.tf.convert.freeze import freeze

    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(SEED)
    keras = build(model)
    samples = np.random.default_rng(SEED).uniform(-1, 1, (SAMPLES, *keras.input_shape[1:])).astype(np.float32)
    asked = {"float": Conversion("float32"), "int8": Conversion("int8", io="int8")}
    with tempfile.TemporaryDirectory() as folder:
        frozen = freeze(keras, Path(folder))
        for kind in kinds:
            yield kind, convert(frozen, asked[kind], samples)


def count_models(rows: Sequence[Published], models: Path, folder: Path) -> dict[str, CountResult]:
    """Name -> its count, kept in FOLDER by the model's hash."""
    machine = open_machine(f"emulator:{BOARD}")
    found = {}
    for row in rows:
        model = models / f"{row.name}.tflite"
        kept = folder / f"{row.name}-{flatbuffer.inspect(model).file.sha256[:16]}.json"
        if not kept.is_file():
            counted = machine.count(Job("bench", str(model), RUNTIME, kernels=KERNELS), deadline_s=1800)
            write(kept, json.dumps(to_plain(counted)))
            _say(f"counted {row.name}: {counted.total / 1e6:.1f} M instructions, spread {counted.spread:.4%}")
        found[row.name] = from_plain(CountResult, json.loads(kept.read_text()))
    return found


def macs_of(model: Path) -> int:
    """Multiply-accumulates of all convolutions and dense layers, from the flatbuffer."""
    total = 0
    for operator in graphs(read(model))[0].operators:
        if operator.name in {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}:
            kernel = operator.inputs[1].shape
            each = kernel[1] * kernel[2] if operator.name == "DEPTHWISE_CONV_2D" else math.prod(kernel[1:])
            total += operator.outputs[0].elements * each
    return total


def solve(features: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Coefficients [K] >= 0 with the least squared relative error. features: [N, K]; seconds: [N]."""
    from scipy.optimize import nnls

    found: np.ndarray = nnls(features / seconds[:, None], np.ones(len(seconds)))[0]
    return found


def left_out(features: np.ndarray, seconds: np.ndarray, groups: Sequence[Any]) -> np.ndarray:
    """Seconds [N], each row predicted by a fit without its group."""
    predicted = np.empty(len(seconds))
    for group in dict.fromkeys(groups):
        out = np.array([one == group for one in groups])
        predicted[out] = features[out] @ solve(features[~out], seconds[~out])
    return predicted


def judge(rows: Sequence[Published], works: Sequence[Workload], macs: Sequence[int]) -> tuple[Any, Errors, list[Any]]:
    """(term -> coefficient, errors, one FittedModel for each row) of one kind of model."""
    from scipy.stats import spearmanr

    seconds = np.array([row.latency_s for row in rows])
    features = np.array([[work.terms()[term] for term in TERMS] for work in works])
    line = np.column_stack([np.array(macs) / 1e6, np.ones(len(macs))])  # the baseline: MACs, and a constant
    families = [row.family for row in rows]
    ones, coefficients = range(len(rows)), solve(features, seconds)
    one, family = left_out(features, seconds, ones), left_out(features, seconds, families)

    def off(predicted: np.ndarray) -> np.ndarray:
        return np.abs(predicted / seconds - 1)

    errors = Errors(
        models=len(rows),
        fitted_mean=_round4(off(features @ coefficients).mean()),
        one_out_mean=_round4(off(one).mean()),
        one_out_most=_round4(off(one).max()),
        family_out_mean=_round4(off(family).mean()),
        family_out_most=_round4(off(family).max()),
        spearman=_round4(spearmanr(one, seconds)[0]),
        band=_round4(max(np.percentile(off(one), BAND), np.percentile(off(family), BAND))),
        macs_one_out_mean=_round4(off(left_out(line, seconds, ones)).mean()),
        macs_family_out_mean=_round4(off(left_out(line, seconds, families)).mean()),
    )
    table = [
        FittedModel(row.model, row.kind, row.family, row.latency_s, round(float(a), 7), round(float(b), 7),
                    sum(work.classes.values()), number)
        for row, a, b, work, number in zip(rows, one, family, works, macs, strict=True)
    ]  # fmt: skip
    return {term: float(f"{value:.6g}") for term, value in zip(TERMS, coefficients, strict=True)}, errors, table


def _round4(value: float) -> float:
    return round(float(value), 4)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path, help="the published figures")
    parser.add_argument("--work", type=Path, default=Path("build/latency"), help="where files and counts are kept")
    parser.add_argument("--out", type=Path, default=DATA)
    options = parser.parse_args(argv)
    rows = published(options.csv)
    models, counts = options.work / "models", options.work / "counts"
    for folder in (models, counts):
        folder.mkdir(parents=True, exist_ok=True)
    make_models(rows, models)
    counted = count_models(rows, models, counts)
    coefficients, errors, table = {}, [], []
    for kind in ("float", "int8"):
        own = [row for row in rows if row.kind == kind]
        files = [models / f"{row.name}.tflite" for row in own]
        works = [workload(file, counted[row.name].classes) for row, file in zip(own, files, strict=True)]
        coefficients[kind], found, rest = judge(own, works, [macs_of(file) for file in files])
        errors.append(found)
        table += rest
        _say(f"{kind}: {found}")
    runtime = next(iter(counted.values())).runtime
    measured = f"{len(rows)} published models"
    fit = Fit(BOARD, RUNTIME, runtime.version, KERNELS, THREADS, SOURCE, measured, coefficients, errors, table)
    write(options.out, json.dumps(to_plain(fit), indent=1) + "\n")
    _say(f"wrote {options.out}")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
