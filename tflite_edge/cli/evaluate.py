"""`tflite-edge evaluate`: accuracy on labelled data."""

from __future__ import annotations

import click

from tflite_edge.cli import show
from tflite_edge.cli.options import deadline_option, on_option, runtime_option
from tflite_edge.cli.sink import Sink, format_option
from tflite_edge.records.preprocess import NORMALIZATIONS
from tflite_edge.records.recipe import TASKS
from tflite_edge.records.verdict import OK


@click.command()
@click.argument("model")
@click.option(
    "--data", default="", metavar="DATA", help="As for convert.  [default: what the model was made with, else digits]"
)
@click.option(
    "--task", type=click.Choice(TASKS), default="auto", show_default=True, help="As for convert, else the manifest's."
)
@click.option("--normalize", type=click.Choice(["auto", *NORMALIZATIONS]), default="auto", show_default=True)
@on_option()
@runtime_option
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of each interpreter.")
@click.option(
    "--samples",
    type=click.IntRange(1),
    help="Most samples, drawn class by class.  [default: all, 200 on an emulated board]",
)
@deadline_option()
@format_option
def command(
    model: str,
    data: str,
    task: str,
    normalize: str,
    on: str,
    runtime: str,
    threads: int,
    samples: int | None,
    deadline: float,
    sink: Sink,
) -> None:
    """Score a .tflite file on the test samples of DATA, in a process of its own.

    \b
    tflite-edge evaluate build/mobilenet/mobilenet-static-wi8ai8.tflite
    tflite-edge evaluate model.tflite --data photos/ --normalize=-1..1 --format json
    tflite-edge evaluate model.tflite --on emulator:pi4 --samples 100
    """
    from tflite_edge.evaluation import evaluate
    from tflite_edge.records.plain import to_plain
    from tflite_edge.records.recipe import Target

    target = Target(on, runtime, threads, deadline, samples or 0)
    with sink.listening() as listen:
        result = evaluate(model, data, task=task, normalize=normalize, target=target, listen=listen)
    sink.result("evaluate", OK, {"model": model, "on": on, **to_plain(result)}, *show.evaluation(result, model, on))
