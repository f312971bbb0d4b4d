"""Where it comes from: model, data and steps; and how to make it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from tflite_edge.artifact import MANIFEST
from tflite_edge.records.manifest import Manifest, StepRecord
from tflite_edge.report.evidence import Evidence
from tflite_edge.report.page import Code, Items, Part, Section, Table, Text
from tflite_edge.report.words import STEP_COLUMNS, step_cells

MOST_NAMES = 4


def made_section(found: Evidence) -> Section:
    """What was done to which model with which data."""
    source = found.manifest.source
    counts = ", ".join(f"{count:,} {name}" for name, count in source.samples.items())
    keras = "" if source.keras_top1 is None else f" The float Keras model has top-1 {source.keras_top1:.2%}."
    classes = f", {len(source.labels):,} classes" if source.labels else ""
    parts: list[Part] = [
        Text(
            f"{source.model}, {source.parameters:,} parameters, {source.task}{classes}. "
            f"Data: {source.data} ({counts}).{keras}"
        )
    ]
    if source.steps:
        parts.append(_steps(source.steps))
        spared = [*_spared(source.steps)]
        parts += [Items(spared)] if spared else []
    whys = [f"{key}: {why}" for key, why in source.why.items()]
    notes = [*whys, *(f"note: {note}" for note in source.notes)]
    if notes:
        parts.append(Items(notes))
    return Section("made", "What was done", parts)


def _steps(steps: Sequence[StepRecord]) -> Table:
    rows = [[*step_cells(step, "→"), _settings(step.settings)] for step in steps]
    columns = [*STEP_COLUMNS, "settings "]
    return Table(columns, rows, "Steps on the Keras model, before → after")


def _settings(settings: dict[str, Any]) -> str:
    told = {key: value for key, value in settings.items() if value not in (None, "", [], ()) and key != "step"}
    return ", ".join(f"{key} {value}" for key, value in told.items() if value is not False) or "-"


def _spared(steps: Sequence[StepRecord]) -> Iterator[str]:
    """Who was left alone, a line for each reason; layers that nobody asked for are not news."""
    for step in steps:
        for why in dict.fromkeys(step.spared.values()):
            names = [name for name, own in step.spared.items() if own == why]
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            if why != "not asked for":
                yield f"{step.name} left {', '.join(names[:MOST_NAMES])}{more} alone: {why}"


def again_section(found: Evidence) -> Section:
    """Commands, settings, versions, hashes."""
    manifest, source = found.manifest, found.manifest.source
    commands = ["# the same recipe, seeds and data again", f"tflite-edge convert {MANIFEST}"]
    if manifest.argv:
        commands = ["# how it was made", f"tflite-edge {shlex.join(map(_named, manifest.argv))}", "", *commands]
    parts: list[Part] = [Code("\n".join(commands))]
    hashes = [
        ["model", source.model_sha256],
        ["data", source.data_sha256],
        ["calibration samples", source.calibration_sha256],
        ["samples.npz", manifest.samples_sha256],
        *([model.file, model.sha256] for model in found.made),
        *([model.features, model.features_sha256] for model in found.made if model.features),
    ]
    parts.append(Table(["what ", "SHA-256 "], [row for row in hashes if row[1]]))
    tool = {manifest.tool.get("name", "tflite-edge"): manifest.tool.get("version", "-")}
    versions = [[name, version] for name, version in {**tool, **manifest.versions}.items()]
    parts.append(Table(["program ", "version "], versions))
    host = ", ".join(f"{key} {value}" for key, value in manifest.host.items() if value)
    spent = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in manifest.seconds.items() if seconds >= 0.05)
    parts.append(Text(f"Made {manifest.created}" + (f" on {host}." if host else ".")))
    parts += [Text(f"Time spent: {spent}.")] if spent else []
    parts.append(Table(["table ", "settings "], _recipe(manifest), "The recipe as it was resolved"))
    return Section("again", "How to make it again", parts)


def _named(word: str) -> str:
    """A word of a command line without the folders of the machine it was typed on."""
    return PurePath(word).name if PurePath(word).is_absolute() else word


def _recipe(manifest: Manifest) -> list[list[str]]:
    told = asdict(manifest.without_secrets().recipe)
    listed = [(table, values if isinstance(values, (list, tuple)) else [values]) for table, values in told.items()]
    rows = [[table, _settings(one)] for table, values in listed for one in values if isinstance(one, dict)]
    return [row for row in rows if row[1] != "-"]
