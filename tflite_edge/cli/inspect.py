"""`tflite-edge inspect`: what a .tflite file really holds."""

from __future__ import annotations

from typing import Any

import click

from tflite_edge.cli import show, show_model
from tflite_edge.cli.sink import Sink, Table, format_option
from tflite_edge.records.verdict import OK


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--operators", is_flag=True, help="Every operator: types, shape, MACs.")
@click.option("--tensors", is_flag=True, help="Every tensor: type, shape, quantisation.")
@click.option("--each", is_flag=True, help="A page for each of several files.")
@format_option
def command(models: tuple[str, ...], operators: bool, tensors: bool, each: bool, sink: Sink) -> None:
    """Read the bytes of .tflite files: types, operators, quantisation, sizes. Needs no TensorFlow.

    One file: its page. Several: a table with a line for each, and of two what changed from the first to the second.

    \b
    tflite-edge inspect model.tflite --operators
    tflite-edge inspect float.tflite int8.tflite
    tflite-edge inspect build/mobilenet/*.tflite
    tflite-edge inspect model.tflite --format json
    """
    from tflite_edge.flatbuffer import inspect
    from tflite_edge.flatbuffer.difference import difference
    from tflite_edge.records.plain import to_plain

    found = [inspect(model) for model in models]
    changed = difference(*found) if len(found) == 2 else None
    # One model is one document; several are a list in one document.
    document: dict[str, Any] = (
        to_plain(found[0]) if len(found) == 1 else {"models": [to_plain(facts) for facts in found]}
    )
    if changed:
        document["difference"] = to_plain(changed)
    parts: list[Table | str] = [] if len(found) == 1 else [show_model.beside(found)]
    for facts in found:
        if len(found) == 1 or each:
            parts += show.facts(facts)
        parts += [show_model.operators(facts)] if operators else []
        parts += [show_model.tensors(facts)] if tensors else []
    parts += show_model.changes(changed) if changed else []
    sink.result("inspect", OK, document, *parts)
