"""`MODEL_CARD.md`: what a model is, as Hugging Face reads it, from the manifest alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from tflite_edge.records.conversion import SCHEMES
from tflite_edge.records.manifest import Manifest, Variant
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.report.evidence import Evidence
from tflite_edge.report.page import Table, plain, table_text
from tflite_edge.report.results import headline
from tflite_edge.report.svg import clean
from tflite_edge.report.words import called, kib, milliseconds, percent, points, quality, thousands

# What our names are called on the Hub.
HUB_DATA = {
    "mnist": "ylecun/mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
}
STEP_TAGS = {
    "prune": "pruning",
    "channels": "pruning",
    "cluster": "weight-clustering",
    "qat": "quantization-aware-training",
    "distill": "knowledge-distillation",
}
MOST_LABELS = 20
METRICS = {"top-1": "accuracy", "AUC": "roc_auc"}


def model_card(manifest: Manifest, *, preprocess: Preprocess | None = None, notes: Sequence[str] = ()) -> str:
    """preprocess: what is to be done before the model, where that is not the manifest's. notes: added to its own.

    Nothing of the machine and the person is told. What a manifest cannot know, such as a licence, is left out by name.
    """
    manifest = manifest.without_secrets()
    source = manifest.source
    counts = ", ".join(f"{count:,} {name}" for name, count in source.samples.items())
    classes = ", ".join(source.labels[:20]) + (
        f" and {len(source.labels) - 20:,} more" if len(source.labels) > 20 else ""
    )
    steps = [f"{step.name}: {_settings(step.settings)}" for step in source.steps]
    parts = [
        front_matter(manifest),
        f"# {plain(manifest.name)}",
        plain(headline(Evidence(manifest, {}))),
        f"Verdict of tflite-edge {plain(manifest.tool.get('version', ''))}: **{plain(manifest.verdict)}**.",
        "## Files",
        table_text(_files(manifest)),
        "## Input and output",
        f"Input: {plain(_input(preprocess or manifest.preprocess))}.",
        f"Output: {plain(source.task)}" + (f"; classes in this order: {plain(classes)}." if classes else "."),
        "## How it was made",
        f"From {plain(source.model)}, {source.parameters:,} parameters, with {plain(source.data)} ({plain(counts)}).",
        _list(steps),
        _list([f"{key}: {why}" for key, why in source.why.items()]),
        "## What was measured",
        _list([*_measured(manifest), *manifest.realised]),
        _list([*source.notes, *notes]),
        "## What is not known",
        "A licence, the intended use and biases of the data are not in a manifest: add them before you publish this.",
    ]
    return clean("\n\n".join(filter(None, parts)) + "\n")


def front_matter(manifest: Manifest) -> str:
    """The YAML that the Hub reads; every text is a JSON string, which YAML takes as it is."""
    lines = ["library_name: tflite"]
    task = "image-classification" if _images(manifest) else "other"
    if _images(manifest):
        lines.append(f"pipeline_tag: {task}")
    lines += ["tags:", *(f"- {tag}" for tag in _tags(manifest)), "datasets:", f"- {_text(_dataset(manifest)[1])}"]
    scored = [(model, *_metric(model)) for model in manifest.models if model.file and not model.original]
    results = [(model, metric, value) for model, metric, value in scored if value is not None]
    if results:
        lines += ["metrics:", *(f"- {metric}" for metric in dict.fromkeys(metric for _, metric, _ in results))]
        lines += ["model-index:", f"- name: {_text(manifest.name)}", "  results:"]
    for model, metric, value in results:
        assert model.score
        name, kind = _dataset(manifest)
        ran = f"{model.score.runtime.name} {model.score.runtime.version}, {model.score.images:,} samples"
        lines += [
            "  - task:",
            f"      type: {task}",
            "    dataset:",
            f"      name: {_text(name)}",
            f"      type: {_text(kind)}",
            "      split: test",
            "    metrics:",
            f"    - type: {metric}",
            f"      value: {value:.6g}",
            f"      name: {_text(f'{model.file} on {ran}')}",
        ]
    return "\n".join(["---", *lines, "---"])


def _images(manifest: Manifest) -> bool:
    return manifest.source.task == "classification" and manifest.preprocess.size is not None


def _tags(manifest: Manifest) -> list[str]:
    modes = [model.mode for model in manifest.models if model.file and not model.original]
    quantised = ["quantized"] if set(modes) - {"float32", "float16"} else []
    steps = [STEP_TAGS[step.name] for step in manifest.source.steps if step.name in STEP_TAGS]
    known = [mode for mode in modes if mode in SCHEMES]
    return list(dict.fromkeys(["tflite", "litert", "tflite-edge", "on-device", *quantised, *known, *steps]))


def _dataset(manifest: Manifest) -> tuple[str, str]:
    """(name, what the Hub calls it, or a word that it takes for a name)."""
    name = PurePath(manifest.source.data).stem or "unknown"
    return name, HUB_DATA.get(name) or re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "unknown"


def _metric(model: Variant) -> tuple[str, float | None]:
    if model.score and model.score.mae is not None:
        return "mae", model.score.mae
    value, name = quality(model.score)
    return METRICS.get(name, ""), value if name in METRICS else None


def _text(text: str) -> str:
    return json.dumps(clean(text), ensure_ascii=False)


def _files(manifest: Manifest) -> Table:
    rows = [
        [model.file, called(model), thousands(model.bytes), kib(model.gzip_bytes), percent(quality(model.score)[0]),
         points(model.drop, model.drop_ci), model.verdict or "to compare", model.sha256]
        for model in manifest.models
        if model.file
    ]  # fmt: skip
    name = next((quality(model.score)[1] for model in manifest.models if model.score), "top-1")
    columns = ["file ", "holds ", "bytes", "gzip KiB", f"{name} %", "points below float", "verdict ", "SHA-256 "]
    return Table(columns, rows)


def _input(record: Preprocess) -> str:
    scaled = f"(value - {list(record.mean)}) / {list(record.std)}"
    size = f"images of {record.size[0]} x {record.size[1]}, fit {record.fit}" if record.size else "raw values"
    return f"{size}, {record.channels} channels, {scaled}"


def _measured(manifest: Manifest) -> Iterator[str]:
    for model in manifest.models:
        score = model.score
        if score is None or model.original:
            continue
        runtime = f"{score.runtime.name} {score.runtime.version}"
        value, name = quality(score)
        if value is not None:
            yield f"{model.file}: {name} {percent(value)} % on {score.images:,} test samples, by {runtime}."
        elif score.mae is not None:
            yield f"{model.file}: mean absolute error {score.mae:.6g} on {score.images:,} test samples, by {runtime}."
        if model.bench:
            runs = len(model.bench.samples_s)
            yield f"{model.file}: {milliseconds(model.bench.median_s)} ms, the median of {runs:,} runs."


def _settings(settings: dict[str, Any]) -> str:
    told = [f"{key} {value}" for key, value in settings.items() if value not in (None, "", False, [], ())]
    return ", ".join(told) or "as by default"


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {plain(item)}" for item in items)
