"""`tflite-edge bench`: latency, start-up and memory."""

from __future__ import annotations

import click

from tflite_edge.cli import show
from tflite_edge.cli.sink import Sink, format_option, on_option
from tflite_edge.records.verdict import OK


@click.command()
@click.argument("model")
@on_option()
@click.option(
    "--runtime", type=click.Choice(["auto", "ai-edge-litert", "tflite-runtime"]), default="auto", show_default=True
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of the interpreter.")
@click.option("--runs", type=click.IntRange(1), default=50, show_default=True, help="Least number of timed runs.")
@click.option("--warmups", type=click.IntRange(0), default=5, show_default=True)
@click.option(
    "--deadline",
    type=click.FloatRange(0, min_open=True),
    default=600.0,
    show_default=True,
    help="Longest time in seconds.",
)
@format_option
def command(
    model: str, on: str, runtime: str, threads: int, runs: int, warmups: int, deadline: float, sink: Sink
) -> None:
    """Time a .tflite file in a process of its own: start-up, latency, memory, stability.

    \b
    tflite-edge bench build/mobilenet/mobilenet-static-wi8ai8.tflite
    tflite-edge bench model.tflite --threads 2 --format json
    """
    from tflite_edge.records.job import Job
    from tflite_edge.records.plain import to_plain
    from tflite_edge.targets import bench

    job = Job("bench", model, runtime=runtime, threads=threads, runs=runs, warmups=warmups)
    with sink.listening():
        result = bench(job, on, deadline_s=deadline)
    sink.result("bench", OK, {"model": model, **to_plain(result)}, *show.bench(result, model))
