"""`tflite-edge compare`: one file on several targets, or two files layer by layer."""

from __future__ import annotations

from pathlib import Path

import click

from tflite_edge.cli.options import deadline_option
from tflite_edge.cli.sink import Sink, format_option
from tflite_edge.records.errors import UsageError
from tflite_edge.records.verdict import OK


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL | FLOAT INT8")
@click.option(
    "--on",
    default="local",
    metavar="TARGETS",
    show_default=True,
    help="Where it runs, with commas between: local, emulator:BOARD, ssh://USER@HOST[:PORT].",
)
@click.option("--layers", is_flag=True, help="Compare the layers of a float file and its quantised twin.")
@click.option(
    "--data", default="", metavar="DATA", help="As for convert.  [default: samples.npz beside the model, else random]"
)
@click.option("--samples", type=click.IntRange(1), default=200, show_default=True, help="Most samples that are run.")
@click.option(
    "--figure", type=click.Path(dir_okay=False, path_type=Path), help="With --layers: write a bar chart (SVG)."
)
@click.option("--top", type=click.IntRange(1), default=15, show_default=True, help="With --layers: rows of the table.")
@deadline_option("Longest time of one run in seconds.")
@format_option
def command(
    models: tuple[str, ...],
    on: str,
    layers: bool,
    data: str,
    samples: int,
    figure: Path | None,
    top: int,
    deadline: float,
    sink: Sink,
) -> int:
    """Hold answers against each other: one file on several targets, or two files layer by layer.

    One file: on each target it runs with every runtime and every family of kernels there. Within a
    family the answers must be the same; between families they may differ, as far as is known. The
    exit status is 1 when a difference is a fault.

    With --layers: which layers of a quantised file lose what the float file knew, and why.

    \b
    tflite-edge compare model.tflite
    tflite-edge compare model.tflite --on local,emulator:pi4,emulator:pi3-32 --samples 100
    tflite-edge compare --layers float.tflite int8.tflite --data digits --figure layers.svg
    """
    if layers:
        return _layers(models, on, data, samples, figure, top, deadline, sink)
    if len(models) != 1:
        raise UsageError(
            f"compare takes one model, not {len(models)}",
            do="tflite-edge compare --layers FLOAT INT8 compares two; tflite-edge inspect A B reads several",
        )
    if figure:
        raise UsageError("--figure draws what --layers finds", do="add --layers, and a float and a quantised file")
    return _parity(models[0], on, data, samples, deadline, sink)


def _parity(model: str, on: str, data: str, samples: int, deadline: float, sink: Sink) -> int:
    from tflite_edge.cli import show_compare
    from tflite_edge.comparison import compare
    from tflite_edge.records.plain import to_plain

    targets = tuple(dict.fromkeys(filter(None, (name.strip() for name in on.split(",")))))
    if not targets:
        raise UsageError("--on names no target", do="such as --on local,emulator:pi4")
    with sink.listening() as listen:
        found = compare(model, targets, data, samples=samples, deadline_s=deadline, listen=listen)
    document = to_plain(found)
    document.pop("verdict")
    sink.result("compare", found.verdict, {"model": model, **document}, *show_compare.parity(found, model))
    return 0 if found.verdict == OK else max(finding.exit_code for finding in found.findings)


def _layers(
    models: tuple[str, ...],
    on: str,
    data: str,
    samples: int,
    figure: Path | None,
    top: int,
    deadline: float,
    sink: Sink,
) -> int:
    if len(models) != 2:
        raise UsageError(
            f"--layers takes two models, not {len(models)}",
            do="tflite-edge compare --layers FLOAT.tflite INT8.tflite",
        )
    if on != "local":
        raise UsageError("--layers runs on this machine", do="leave out --on; layers differ little between kernels")
    from tflite_edge.cli import show_compare
    from tflite_edge.layers import compare_layers
    from tflite_edge.records.plain import to_plain
    from tflite_edge.report.inside import noise_alone
    from tflite_edge.reporting import write_figure

    with sink.listening() as listen:
        found = compare_layers(models[0], models[1], data, samples=samples, deadline_s=deadline, listen=listen)
    if figure:
        write_figure(figure, noise_alone(found, f"{Path(models[1]).name} against {Path(models[0]).name}"))
    document = {"float": models[0], "quantized": models[1], "figure": str(figure) if figure else None}
    plain = to_plain(found)
    plain.pop("verdict")
    sink.result("compare", found.verdict, {**document, **plain}, *show_compare.layers(found, models, top, figure))
    return 0 if found.verdict == OK else max(finding.exit_code for finding in found.findings)
