"""Reports: what `convert` or `search` left in a folder, read, completed on a runtime, and written for people."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from tflite_edge import flatbuffer
from tflite_edge.artifact import MANIFEST, ORIGINAL, disk_errors, read_manifest, write
from tflite_edge.flatbuffer.facts import Facts
from tflite_edge.layers import compare_layers
from tflite_edge.records import search
from tflite_edge.records.errors import EdgeError, MissingError, ModelError, RecipeError, UsageError
from tflite_edge.records.event import Event, Listener, silent
from tflite_edge.records.layers import Layers
from tflite_edge.records.manifest import Manifest
from tflite_edge.records.plain import from_plain
from tflite_edge.records.verdict import Finding
from tflite_edge.report import model
from tflite_edge.report import search as search_page
from tflite_edge.report.evidence import Evidence, nonsense, twins
from tflite_edge.report.model_card import model_card
from tflite_edge.report.page import Page, html, markdown
from tflite_edge.targets.machine import DEADLINE_S

SAMPLES = 200  # at most, for the comparison of layers: what samples.npz holds


@dataclass(frozen=True)
class Written:
    """A report. kind: "model" or "search". told: the verdict of what is told of; missing: what could not be told."""

    kind: str
    name: str
    headline: str
    told: str
    files: list[str]
    missing: list[Finding] = field(default_factory=list)


def report(
    folder: Path, out: Path | None = None, *, deadline_s: float = DEADLINE_S, listen: Listener = silent
) -> Written:
    """Write report.html, report.md and MODEL_CARD.md about `folder` into `out`, or into itself. Raises EdgeError."""
    if folder.name in (search.FILE, MANIFEST) and folder.is_file():
        folder = folder.parent
    if (folder / search.FILE).is_file():
        searched = read_search(folder)
        return _write("search", search_page.page(searched), out or folder, {}, list(searched.missing))
    found = evidence(folder, deadline_s, listen)
    others = {"MODEL_CARD.md": model_card(found.manifest)}
    return _write("model", model.page(found), out or folder, others, list(found.missing))


def read_search(folder: Path) -> search_page.Searched:
    """What a search left in `folder`. Raises ModelError where this version cannot read it."""
    path, do = folder / search.FILE, "search again, or use the tflite-edge that wrote it"
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        schema = plain.get("schema") if isinstance(plain, dict) else None
        if schema != search.SCHEMA:
            evidence = f"schema {schema!r}; this version reads {search.SCHEMA}"
            raise ModelError(f"{path} is of another version of tflite-edge", evidence=evidence, do=do)
        study = from_plain(search.Study, plain)
    except (OSError, ValueError, RecursionError, RecipeError, UsageError) as error:
        raise ModelError(f"{path} cannot be read", evidence=str(error), do=do) from error
    if impossible := search_page.nonsense(study):
        raise ModelError(f"{path} holds what nobody can have measured", evidence=impossible, do="search again")
    recipe = folder / search_page.BEST
    try:
        text = recipe.read_text(encoding="utf-8") if study.best is not None else ""
    except (OSError, ValueError) as error:
        return search_page.Searched(study, "", [Finding(f"{recipe.name} cannot be read", str(error), "search again")])
    return search_page.Searched(study, text)


def _write(kind: str, page: Page, out: Path, others: dict[str, str], missing: list[Finding]) -> Written:
    contents = {"report.html": html(page), "report.md": markdown(page), **others}  # all made before any is written
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    files = [str(write(out / name, content)) for name, content in contents.items()]
    return Written(kind, page.name, page.headline, page.verdict, files, missing)


def write_figure(path: Path, svg: str) -> None:
    """The figure appears under its name only when it is whole. Raises MissingError where it cannot be written."""
    if not path.absolute().parent.is_dir():
        raise MissingError(f"no folder for the figure {path}", do="make it, or name another")
    write(path.absolute(), svg)


def evidence(folder: Path, deadline_s: float = DEADLINE_S, listen: Listener = silent) -> Evidence:
    """The manifest of `folder`, the facts of the files beside it, and its layers compared."""
    manifest = read_manifest(folder)
    if impossible := nonsense(manifest):
        raise ModelError(
            f"{folder / MANIFEST} holds what nobody can have measured", evidence=impossible, do="convert again"
        )
    listen(Event("report", f"{manifest.name}: {len(manifest.models)} files"))
    facts, missing = _facts(folder, manifest)
    pair = twins(manifest)
    layers, why = None, "No float and quantised file of one network are there to be compared."
    if pair and all(one.file in facts for one in pair):
        layers, why = _layers(folder, (pair[0].file, pair[1].file), deadline_s, listen)
        if layers is None:
            missing.append(Finding("the layers could not be compared", why))
        else:
            why = _whose(manifest, original=pair[1].original)
    names = (pair[0].file, pair[1].file) if pair else ("", "")
    return Evidence(manifest, facts, layers, names, why, missing)


def _whose(manifest: Manifest, *, original: bool) -> str:
    """Which network the compared files are of, where that is not the one that is told of."""
    trained = any(step.name == "qat" for step in manifest.source.steps)
    if original:
        after = ": qat leaves no float file of the network that it trained" if trained else ""
        return f"Both are of the model as it came{after}."
    if trained:
        return "The float file is of the model before qat, so what that training changed counts as noise as well."
    return ""


def _facts(folder: Path, manifest: Manifest) -> tuple[dict[str, Facts], list[Finding]]:
    facts: dict[str, Facts] = {}
    missing: list[Finding] = []
    for variant in manifest.models:
        if not variant.file:
            continue
        if variant.file not in (Path(variant.file).name, f"{ORIGINAL}/{Path(variant.file).name}"):
            missing.append(
                Finding(
                    f"{variant.file} lies outside of {folder}", "the manifest is not of this folder", "convert again"
                )
            )
            continue
        try:
            found = flatbuffer.inspect(folder / variant.file)
        except EdgeError as error:
            missing.append(Finding(f"{variant.file} cannot be read", error.what, "convert it again"))
            continue
        if found.file.sha256 != variant.sha256:
            evidence = f"SHA-256 {found.file.sha256[:12]}..., the manifest says {variant.sha256[:12]}..."
            missing.append(Finding(f"{variant.file} is not what the manifest tells of", evidence, "convert it again"))
            continue
        facts[variant.file] = found
    return facts, missing


def _layers(folder: Path, files: tuple[str, str], deadline_s: float, listen: Listener) -> tuple[Layers | None, str]:
    """(the comparison, or None, and why)."""
    try:
        paths = folder / files[0], folder / files[1]
        return compare_layers(*paths, samples=SAMPLES, deadline_s=deadline_s, listen=listen), ""
    except EdgeError as error:
        return None, f"The layers could not be compared: {error.what}."
