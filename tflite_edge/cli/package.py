"""`tflite-edge package`: one archive that a board installs offline."""

from __future__ import annotations

from pathlib import Path

import click

from tflite_edge.cli import show
from tflite_edge.cli.options import runtime_option
from tflite_edge.cli.sink import Sink, format_option
from tflite_edge.records.errors import EXIT_OK


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--for",
    "target",
    required=True,
    metavar="TARGET",
    help="pi3, pi-zero2w, pi4, pi5, pi3-32, pi4-32, coral-usb[@BOARD], mcu, ethos-u55-256, ...",
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=Path("dist"), show_default=True, help="Output folder."
)
@click.option("--model", default="", metavar="NAME", help="File, scheme or mode.  [default: int8 if it is ok]")
@runtime_option
@click.option("--deb", is_flag=True, help="A Debian package with a systemd service instead of the tar.gz.")
@click.option("--sign", "key", type=click.Path(path_type=Path), help="Secret key; writes ARCHIVE.minisig beside it.")
@click.option("--accept-degraded", is_flag=True, help="Pack a model although a promise was broken.")
@format_option
def command(
    folder: Path,
    target: str,
    out: Path,
    model: str,
    runtime: str,
    deb: bool,
    key: Path | None,
    accept_degraded: bool,
    sink: Sink,
) -> int:
    """Pack what `convert` left in FOLDER for a board: model, program, wheels, proof; it installs offline.

    \b
    tflite-edge package build/mobilenet --for pi4
    tflite-edge package build/mobilenet --for pi3-32 --deb --sign key -o dist/
    tflite-edge package build/mobilenet --for mcu
    tflite-edge package build/mobilenet --for coral-usb
    tflite-edge package build/mobilenet --for ethos-u55-256
    """
    from tflite_edge.deploy.package import package
    from tflite_edge.records.plain import to_plain

    with sink.listening() as listen:
        packed = package(
            folder,
            target,
            out,
            model=model,
            runtime=runtime,
            deb=deb,
            key=key,
            accept_degraded=accept_degraded,
            listen=listen,
        )
    sink.result("package", packed.verdict, to_plain(packed), *show.packed(packed))
    return EXIT_OK if accept_degraded else max((finding.exit_code for finding in packed.findings), default=EXIT_OK)
