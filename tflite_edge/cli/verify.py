"""`tflite-edge verify`: is a bundle whole, and by whom?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tflite_edge.cli.sink import Sink, format_option
from tflite_edge.records.verdict import OK


@click.command()
@click.argument("bundles", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="BUNDLE...")
@click.option(
    "--key", type=click.Path(path_type=Path), help="Public key of who made it; an unsigned bundle is refused then."
)
@format_option
def command(bundles: tuple[Path, ...], key: Path | None, sink: Sink) -> None:
    """Prove bundles: every file by its SHA-256, and with --key the signature. Nothing is unpacked.

    The first one that is not whole, or not signed by that key, is the error.

    \b
    tflite-edge verify dist/mobilenet-pi4.tar.gz --key key.pub
    tflite-edge verify dist/*.tar.gz dist/*.deb
    """
    documents, says = zip(*(_proven(bundle, key) for bundle in bundles), strict=True)
    document = documents[0] if len(documents) == 1 else {"bundles": documents}
    sink.result("verify", OK, document, *(line for lines in says for line in lines))


def _proven(bundle: Path, key: Path | None) -> tuple[dict[str, Any], list[str]]:
    """(what JSON says of it, what people read)."""
    from tflite_edge.deploy import archive, deb
    from tflite_edge.deploy.sign import verify

    signature = verify(bundle, key) if key else None
    files = deb.contents(bundle) if deb.is_deb(bundle) else archive.contents(bundle)
    signed = {"key": signature.key_id, "comment": signature.comment} if signature else None
    says = ["not asked whose it is: --key KEY.pub"]
    if signature:
        said = "".join(letter if letter.isprintable() else " " for letter in signature.comment)
        says = [f"signed by key {signature.key_id}", f"trusted comment: {said}"]
    return (
        {"bundle": str(bundle), "files": sorted(files), "signature": signed},
        [f"{bundle}: {len(files)} files, each as its sums say", *says],
    )
