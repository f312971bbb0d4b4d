"""`tflite-edge inspect`: what a .tflite file really holds."""

from __future__ import annotations

import click

from tflite_edge.cli import show
from tflite_edge.cli.sink import Sink, format_option
from tflite_edge.records.verdict import OK


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@format_option
def command(models: tuple[str, ...], sink: Sink) -> None:
    """Read the bytes of .tflite files: types, operators, quantisation, sizes. Needs no TensorFlow.

    \b
    tflite-edge inspect build/mobilenet/*.tflite
    tflite-edge inspect model.tflite --format json
    """
    from tflite_edge.flatbuffer import inspect
    from tflite_edge.records.plain import to_plain

    found = [inspect(model) for model in models]
    # One model is one document; several are a list in one document.
    document = to_plain(found[0]) if len(found) == 1 else {"models": [to_plain(facts) for facts in found]}
    sink.result("inspect", OK, document, *(part for facts in found for part in show.facts(facts)))
