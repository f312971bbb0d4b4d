"""`tflite-edge average`: federated averaging of saved heads."""

from __future__ import annotations

from pathlib import Path

import click

from tflite_edge.cli.sink import Sink, Table, format_option
from tflite_edge.records.errors import UsageError
from tflite_edge.records.verdict import OK


@click.command()
@click.argument("heads", nargs=-1, required=True, metavar="HEAD...")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Where the average goes (.npz).")
@format_option
def command(heads: tuple[str, ...], out: Path, sink: Sink) -> None:
    """Average the heads that several boards have learnt, each weighted by the samples it learnt from since the
    last average.

    No sample leaves its board: only weights are brought together (federated averaging). Heads of
    different models, with other weights, or with other classes by the same number, are refused.

    \b
    tflite-edge average kitchen.npz hall.npz -o head.npz
    tflite-edge learn MODEL --data photos/ --head head.npz -o mine.npz
    """
    from tflite_edge.harness.head import average, read_head, write_head
    from tflite_edge.records.plain import to_plain

    if len(heads) < 2:
        raise UsageError("an average takes two heads or more", do="tflite-edge average A.npz B.npz -o head.npz")
    read = [(path, read_head(path)) for path in heads]
    made = average(read)
    size = write_head(str(out), made)
    total = sum(head.facts.since_average for _, head in read)
    rows = [
        [path, f"{facts.since_average:,}", f"{100 * facts.since_average / total:.1f}", _classes(facts.classes)]
        for path, facts in ((path, head.facts) for path, head in read)
    ]
    document = {"out": str(out), "bytes": size, **to_plain(made.facts), "of": [path for path, _ in read]}
    sink.result(
        "average",
        OK,
        document,
        Table(["head ", "samples", "weight %", "classes "], rows),
        f"wrote {out}: {size:,} bytes; what it is worth: tflite-edge learn MODEL --data DATA --head {out} --epochs 0",
    )


def _classes(numbers: tuple[int, ...]) -> str:
    """0-7, 9."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
