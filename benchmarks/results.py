"""RESULTS.md: the part between two markers is written by `python -m benchmarks --save`, the rest by hand."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from benchmarks.process import HERE
from benchmarks.row import Row
from tflite_edge.artifact import host, versions, write
from tflite_edge.cli.sink import Table, markdown

PATH = HERE / "RESULTS.md"
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"


def save(results: Mapping[str, Sequence[Row]], command: str) -> None:
    """Replace what stands between the markers. Raises ValueError when one of them is gone."""
    before, _, rest = PATH.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{PATH} has no {BEGIN} ... {END}")
    write(PATH, f"{before}{BEGIN}\n{_section(results, command)}\n{END}{after}")


def _section(results: Mapping[str, Sequence[Row]], command: str) -> str:
    machine = host()
    load = f"load average {os.getloadavg()[2]:.1f} over the last 15 minutes"
    lines = [
        f"- Date: {datetime.now(timezone.utc):%Y-%m-%d}",
        f"- Machine: {machine['cpu']}, {machine['cores']} cores, {machine['system']} {machine['machine']}, {load}",
        "- Versions: " + ", ".join(f"{name} {version}" for name, version in versions().items()),
        f"- Command: `{command}`",
        "",
        markdown(table(results)),
    ]
    for name, rows in results.items():
        lines += ["", f"### {name}"]
        for row in rows:
            lines += [f"- {row.what.strip()}: {note}" for note in row.notes]
    return "\n".join(lines)


def table(results: Mapping[str, Sequence[Row]]) -> Table:
    """One line per row, the benchmark's name on its first."""
    rows = [
        [name if number == 0 else "", row.what, row.measured, row.target, row.verdict]
        for name, found in results.items()
        for number, row in enumerate(found)
    ]
    return Table(["benchmark ", "what ", "measured ", "target ", "verdict "], rows)
