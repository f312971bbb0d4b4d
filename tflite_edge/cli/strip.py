"""`tflite-edge strip`: a smaller file that answers the same."""

from __future__ import annotations

from pathlib import Path

import click

from tflite_edge.cli import show_model
from tflite_edge.cli.sink import Sink, format_option
from tflite_edge.records.errors import EXIT_GATE, EXIT_OK, UsageError
from tflite_edge.records.verdict import FAILED, OK


@click.command()
@click.argument("model")
@click.option("-o", "--out", required=True, metavar="FILE", help="The file to write.")
@click.option(
    "--for", "target", type=click.Choice(["pi", "mcu"]), default="pi", show_default=True,
    help="pi: signatures, metadata and the names of inputs and outputs stay. mcu: they go as well.",
)  # fmt: skip
@click.option("--data", "pack", metavar="PACK.npz", help="Compare on the samples of this pack too.")
@click.option("--runs", type=click.IntRange(1), default=20, show_default=True, help="Random inputs to compare on.")
@click.option("--force", is_flag=True, help="Overwrite the output, which may be the model itself.")
@format_option
def command(model: str, out: str, target: str, pack: str | None, runs: int, force: bool, sink: Sink) -> int:
    """Take out of a .tflite file what no runtime reads, and prove that it answers the same, bit for bit.

    Where it does not, nothing is written. Needs no TensorFlow.

    \b
    tflite-edge strip model.tflite -o small.tflite
    tflite-edge strip model.tflite -o micro.tflite --for mcu
    """
    import tempfile

    from tflite_edge.artifact import write
    from tflite_edge.flatbuffer.strip import strip
    from tflite_edge.records.plain import to_plain
    from tflite_edge.targets.proof import prove

    if Path(out).exists() and not force:
        raise UsageError(f"{out} is already there", do="name another file with -o, or overwrite it with --force")
    data, stripped = strip(model, target)
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as folder:
        candidate = Path(folder) / Path(out).name
        candidate.write_bytes(data)
        proofs = prove(model, str(candidate), pack=pack, runs=runs)
    same = not any(proof.different for proof in proofs)
    if same:
        write(Path(out), data)
    document = {
        "model": model, "out": out if same else None, "for": target,
        **to_plain(stripped), "proofs": [to_plain(proof) for proof in proofs],
    }  # fmt: skip
    sink.result("strip", OK if same else FAILED, document, *show_model.stripped(stripped, proofs, model, out))
    return EXIT_OK if same else EXIT_GATE
