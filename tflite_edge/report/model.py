"""The report of one model: its sections in the order in which a reader asks."""

from __future__ import annotations

from tflite_edge.report import answers, inside, origin, results, speed
from tflite_edge.report.evidence import Evidence
from tflite_edge.report.page import Note, Page


def page(found: Evidence) -> Page:
    manifest = found.manifest
    sections = [
        results.section(found),
        results.verdicts(found),
        inside.error_section(found),
        answers.section(found),
        speed.section(found),
        inside.size_section(found),
        origin.made_section(found),
        origin.again_section(found),
    ]
    missing = [Note(f.what, [*filter(None, (f.evidence, f"do: {f.do}" if f.do else ""))], "bad") for f in found.missing]
    if not manifest.complete:
        missing.insert(0, Note("The conversion is not finished: what follows is what there was.", (), "bad"))
    return Page(
        name=manifest.name,
        kind="Model report",
        verdict=manifest.verdict,
        headline=results.headline(found),
        tiles=list(results.tiles(found)),
        sections=[section for section in sections if section.parts],
        made=f"The model was made {manifest.created} by tflite-edge {manifest.tool.get('version', '')}.",
        missing=missing,
    )
