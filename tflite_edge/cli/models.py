"""`tflite-edge models`: the zoo."""

from __future__ import annotations

from dataclasses import asdict

import click

from tflite_edge.cli.sink import Sink, Table, format_option
from tflite_edge.records.verdict import OK


@click.command()
@format_option
def command(sink: Sink) -> None:
    """List the zoo of lightweight models with their default sizes."""
    from tflite_edge.tf.models.zoo import ZOO

    entries = [
        {"name": name, **{key: value for key, value in asdict(entry).items() if key != "build"}}
        for name, entry in ZOO.items()
    ]
    columns = ["name ", "input ", "alpha", "smallest", "normalize ", "about "]
    rows = [
        [
            e["name"],
            "x".join(map(str, e["input"])),
            "-" if e["alpha"] is None else str(e["alpha"]),
            str(e["smallest"]),
            e["normalize"],
            e["about"],
        ]
        for e in entries
    ]
    sink.result("models", OK, {"models": entries}, Table(columns, rows))
