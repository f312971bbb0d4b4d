"""`tflite-edge report`: what `convert` or `search` left, told to people."""

from __future__ import annotations

from pathlib import Path

import click

from tflite_edge.cli.options import deadline_option
from tflite_edge.cli.sink import Sink, format_option
from tflite_edge.records.verdict import OK, verdict_of


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Output folder.  [default: FOLDER]")
@deadline_option("Longest time of one run in seconds.")
@format_option
def command(folder: Path, out: Path | None, deadline: float, sink: Sink) -> int:
    """Write what `convert` or `search` left in FOLDER as a page for people: report.html and report.md.

    report.html needs no network and no script: it can be mailed, opened on a phone and printed. Beside it
    a model's MODEL_CARD.md is written. The exit status is 1 when something could not be told.

    \b
    tflite-edge report build/mobilenet
    tflite-edge report build/search -o public/
    """
    from tflite_edge.cli import show
    from tflite_edge.records.plain import to_plain
    from tflite_edge.reporting import report

    with sink.listening() as listen:
        written = report(folder, out, deadline_s=deadline, listen=listen)
    parts = [f"{written.name}: {written.headline} ({written.told})"]
    parts += show.findings(((finding.what, finding) for finding in written.missing), "missing")
    parts += [f"wrote {name}" for name in written.files]
    verdict = verdict_of(written.missing)
    sink.result("report", verdict, to_plain(written), *parts)
    return 0 if verdict == OK else max(finding.exit_code for finding in written.missing)
