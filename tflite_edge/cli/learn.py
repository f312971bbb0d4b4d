"""`tflite-edge learn`: teach a trainable file new samples."""

from __future__ import annotations

from pathlib import Path

import click

from tflite_edge.cli import show
from tflite_edge.cli.options import deadline_option, on_option, runtime_option
from tflite_edge.cli.sink import Sink, format_option
from tflite_edge.records.errors import EXIT_GATE, EXIT_OK
from tflite_edge.records.preprocess import NORMALIZATIONS
from tflite_edge.records.verdict import DEGRADED, OK


@click.command()
@click.argument("model")
@click.option("--data", required=True, metavar="DATA", help="A folder with one folder per class, an .npz, or a name.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Where the learnt head goes (.npz).")
@click.option(
    "--head",
    metavar="HEAD",
    help="Learn on from this head; with --epochs 0 it is only scored.  [default: OUT, where it is there]",
)
@click.option("--features", metavar="FILE", help="What computes a head's features.  [default: as the manifest says]")
@click.option("--epochs", type=click.IntRange(0), default=20, show_default=True)
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="[default: what the file proposes]")
@click.option("--normalize", type=click.Choice(list(NORMALIZATIONS)), help="[default: as the manifest says]")
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True, help="Of the shuffling and the hold-out.")
@on_option()
@runtime_option
@deadline_option()
@format_option
def command(
    model: str,
    data: str,
    out: Path | None,
    head: str | None,
    features: str | None,
    epochs: int,
    learning_rate: float | None,
    normalize: str | None,
    seed: int,
    on: str,
    runtime: str,
    deadline: float,
    sink: Sink,
) -> int:
    """Teach a trainable .tflite file the samples of DATA, in a process of its own.

    A fifth of each class is held out; the head that does best on it is kept, and when none does
    better than the one it began with, nothing is written and the exit status is 1. Every epoch
    leaves a checkpoint beside OUT (not over SSH): run the same command again to go on after a kill.

    \b
    tflite-edge convert mobilenet --trainable --quantize float32
    tflite-edge learn build/mobilenet/mobilenet-trainable-float.tflite --data photos/ -o head.npz
    tflite-edge learn MODEL --data photos/ --on emulator:pi4 -o head.npz
    """
    from tflite_edge.learning import learn
    from tflite_edge.records.learning import Lesson
    from tflite_edge.records.plain import to_plain
    from tflite_edge.records.recipe import Target

    if head is None and out is not None and out.exists():  # as on a board: what was learnt is not begun anew
        head = str(out)
    lesson = Lesson(
        features,
        head=head,
        out=str(out) if out else None,
        checkpoint=f"{out}.checkpoint" if out else None,
        epochs=epochs,
        learning_rate=learning_rate,
        seed=seed,
    )
    with sink.listening() as listen:
        result = learn(model, data, lesson, normalize=normalize, target=Target(on, runtime, 1, deadline), listen=listen)
    verdict = DEGRADED if result.rolled_back else OK
    sink.result("learn", verdict, {"model": model, **to_plain(result)}, *show.learning(result, model, out))
    return EXIT_GATE if result.rolled_back else EXIT_OK
