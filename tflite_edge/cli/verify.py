"""`tflite-edge verify`: is a bundle whole, and by whom?"""

from __future__ import annotations

from pathlib import Path

import click

from tflite_edge.cli.sink import Sink, format_option
from tflite_edge.records.verdict import OK


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--key", type=click.Path(path_type=Path), help="Public key of who made it; an unsigned bundle is refused then."
)
@format_option
def command(bundle: Path, key: Path | None, sink: Sink) -> None:
    """Prove a bundle: every file by its SHA-256, and with --key its signature. Nothing is unpacked.

    \b
    tflite-edge verify dist/mobilenet-pi4.tar.gz --key key.pub
    tflite-edge verify dist/mobilenet-pi3-32.deb
    """
    from tflite_edge.deploy import archive, deb
    from tflite_edge.deploy.sign import verify

    signature = verify(bundle, key) if key else None
    files = deb.contents(bundle) if deb.is_deb(bundle) else archive.contents(bundle)
    signed = {"key": signature.key_id, "comment": signature.comment} if signature else None
    says = ["not asked whose it is: --key KEY.pub"]
    if signature:
        said = "".join(letter if letter.isprintable() else " " for letter in signature.comment)
        says = [f"signed by key {signature.key_id}", f"trusted comment: {said}"]
    sink.result(
        "verify",
        OK,
        {"bundle": str(bundle), "files": sorted(files), "signature": signed},
        f"{bundle}: {len(files)} files, each as its sums say",
        *says,
    )
