"""What an accelerator takes of a model, and what breaks, as lines and a table: of `check` and of `package`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tflite_edge.cli.sink import Table
from tflite_edge.records.verdict import Finding


def said(finding: Finding) -> Iterator[str]:
    yield ("would not load: " if finding.fatal else "finding: ") + finding.what
    yield from (f"  {line}" for line in finding.evidence.splitlines())
    if finding.do:
        yield f"  do: {finding.do}"


def placement(model: str, placed: Any, explain: bool) -> list[Table | str]:
    mapped = sum(row.mapped for row in placed.rows)
    share = "no multiply-accumulates" if placed.macs_share is None else f"{placed.macs_share:.1%} of the MACs"
    said = f"{model} for {placed.target}: {mapped} of {len(placed.rows)} operators on the {placed.unit}, {share}"
    said += f" ({placed.scope})" if placed.scope else ""
    shown = [row for row in placed.rows if explain or not row.mapped]
    rows = [
        [row.place, row.name, str(row.version), "-" if row.macs is None else f"{row.macs:,}",
         placed.unit if row.mapped else placed.elsewhere or "nothing", " ".join(filter(None, [row.rule, row.evidence]))]
        for row in shown
    ]  # fmt: skip
    return [said, *([Table(["#", "operator ", "v", "MACs", "runs on ", "why "], rows)] if rows else [])]
