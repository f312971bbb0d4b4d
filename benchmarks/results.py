"""RESULTS.md: what stands between two markers is written by `--save`, the rest by hand."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from rich.console import Console

from benchmarks.process import HERE
from benchmarks.row import Row
from tflite_edge.artifact import host, versions, write
from tflite_edge.cli.sink import Table, rich_table

PATH = HERE / "RESULTS.md"
WIDTH = 100


def save(part: str, command: str, *blocks: str) -> None:
    """Replace what stands between the markers of `part` by where and how it was measured, and the blocks.

    Raises ValueError when one of the markers is gone.
    """
    begin, end = (f"<!-- {part}: {side} -->" for side in ("begin", "end"))
    before, _, rest = PATH.read_text().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{PATH} has no {begin} ... {end}")
    text = "\n\n".join([_circumstances(command), *blocks])
    write(PATH, f"{before}{begin}\n{text}\n{end}{after}")
    print(f"wrote {PATH}", file=sys.stderr)


def _circumstances(command: str) -> str:
    machine = host()
    load = f"load average {os.getloadavg()[2]:.1f} over the last 15 minutes"
    return "\n".join(
        [
            f"- Date: {datetime.now(timezone.utc):%Y-%m-%d}",
            f"- Machine: {machine['cpu']}, {machine['cores']} cores, {machine['system']} {machine['machine']}, {load}",
            "- Versions: " + ", ".join(f"{name} {version}" for name, version in versions().items()),
            f"- Command: `{command}`",
        ]
    )


def notes(results: Mapping[str, Sequence[Row]]) -> str:
    """What stands behind each row, one paragraph per benchmark."""
    return "\n\n".join(
        "\n".join([f"### {name}", *(f"- {row.what.strip()}: {note}" for row in rows for note in row.notes)])
        for name, rows in results.items()
    )


def table(results: Mapping[str, Sequence[Row]]) -> Table:
    """One line per row, the benchmark's name on its first."""
    rows = [
        [name if number == 0 else "", row.what, row.measured, row.target, row.verdict]
        for name, found in results.items()
        for number, row in enumerate(found)
    ]
    return Table(["benchmark ", "what ", "measured ", "target ", "verdict "], rows)


def show(content: Table) -> None:
    """On the terminal, at most WIDTH columns wide."""
    console = Console(highlight=False, markup=False)
    console.width = min(console.width, WIDTH) if sys.stdout.isatty() else WIDTH
    console.print(rich_table(content))
