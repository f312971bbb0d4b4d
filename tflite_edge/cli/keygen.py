"""`tflite-edge keygen`: a key pair to sign bundles with."""

from __future__ import annotations

from pathlib import Path

import click

from tflite_edge.cli.sink import Sink, format_option
from tflite_edge.records.verdict import OK


@click.command()
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=Path("key"), show_default=True, help="The secret key."
)
@format_option
def command(out: Path, sink: Sink) -> None:
    """Make a secret key and its public one, KEY.pub, in minisign's format. Neither is ever written over.

    \b
    tflite-edge keygen
    tflite-edge package build/mobilenet --for pi4 --sign key
    tflite-edge verify dist/mobilenet-pi4.tar.gz --key key.pub
    """
    from tflite_edge.deploy.sign import keygen

    secret, public = keygen(out)
    sink.result(
        "keygen",
        OK,
        {"secret": str(secret), "public": str(public)},
        f"{secret}: keep it to yourself; it has no password",
        f"{public}: give it to whoever installs your bundles",
    )
