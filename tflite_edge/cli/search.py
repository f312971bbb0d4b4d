"""`tflite-edge search`: the best recipes within a budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tflite_edge.cli.duration import Duration
from tflite_edge.cli.options import on_option, words
from tflite_edge.cli.quantity import Bytes, Latency
from tflite_edge.cli.sink import Sink, format_option
from tflite_edge.records.errors import EXIT_GATE, EXIT_OK, UsageError
from tflite_edge.records.verdict import FAILED, OK

if TYPE_CHECKING:
    from tflite_edge.records.search import Budget
    from tflite_edge.search.pool import Pool


@click.command()
@click.argument("source")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("build/search"), show_default=True)
@click.option("--max-bytes", type=Bytes(), help="Of the file: 200k, 195KiB.")
@click.option("--compressed", is_flag=True, help="Sizes are of gzipped files, which pruning and clustering shrink.")
@click.option(
    "--max-latency",
    type=Latency(),
    metavar="TIME[@WHERE]",
    help="10ms@pi4 is predicted, 10ms@local and 10ms@ssh://USER@HOST are measured.  [default WHERE: --devices or --on]",
)
@click.option("--max-drop", type=float, help="Points of accuracy below the float model.")
@click.option("--trials", type=click.IntRange(1), default=40, show_default=True, help="Recipes to try in all.")
@click.option("--time", "time_s", type=Duration(), help="No trial begins later than that: 30m, 8h.")
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Trials at a time on this machine."
)
@click.option("--scheduler", metavar="URL", help="Dask workers elsewhere, instead: tcp://HOST:8786.")
@click.option(
    "--devices", callback=words, metavar="URLS", help="Boards that are alike measure the latency: ssh://pi1,ssh://pi2."
)
@click.option(
    "--storage", default="", metavar="URL", help="The study in a database: sqlite:///study.db, postgresql://..."
)
@click.option(
    "--mlflow", default="", metavar="PLACE", help="Log trials there too: a folder, sqlite:///FILE, or a server's URL."
)
@click.option("--data", "data__source", metavar="DATA", help="As in convert.")
@click.option("--train-epochs", "train__epochs", type=int, help="Epochs of a zoo model's own training.")
@click.option("--tune-epochs", "tune__epochs", type=int, help="Epochs of fine-tuning in each step.")
@on_option("target__on", default=None)
@format_option
def command(source: str, out: Path, sink: Sink, **options: Any) -> int:
    """Find the best recipes within limits of size, latency and accuracy.

    Every trial is a whole `convert`, judged on the exported file. SOURCE is what convert takes. Stopped and called
    again with the same limits, it goes on. What no recipe can keep is said after one cheap probe, with what comes
    nearest. Exit code 1: no recipe keeps the limits.

    \b
    tflite-edge search models/mobilenet.toml --max-bytes 200k --max-latency 10ms@pi4 --max-drop 1
    tflite-edge search my_model.h5 --data photos/ --max-bytes 100k --compressed --time 2h
    tflite-edge search mobilenet --max-drop 1 --scheduler tcp://127.0.0.1:8786
    tflite-edge search mobilenet --max-latency 5ms --devices ssh://pi1,ssh://pi2
    tflite-edge search mobilenet --max-drop 1 --mlflow http://127.0.0.1:5000
    tflite-edge convert build/search/best.toml          the recommended one, bit for bit
    """
    from tflite_edge.cli import show_search
    from tflite_edge.records.plain import to_plain
    from tflite_edge.records.recipe import recipe_for
    from tflite_edge.search.engine import Plan
    from tflite_edge.search.study import search

    changes = {name.replace("__", "."): value for name, value in options.items() if "__" in name}
    recipe = recipe_for(source, changes)
    devices = tuple(dict.fromkeys(options["devices"] or ()))
    budget = _budget(options, devices, recipe.target.on)
    kept = {name: options[name] for name in ("storage", "mlflow")}
    plan = Plan(budget, out, options["trials"], options["time_s"], **kept)
    if options["scheduler"] and options["workers"] > 1:
        raise UsageError("--workers are of this machine, and --scheduler has its own", do="one of them")
    if options["workers"] > 1 and budget.latency_on == "local":
        raise UsageError(
            "trials that run beside each other here would disturb what is measured here",
            do="--workers 1, or a board: --max-latency 10ms@pi4, --devices ssh://USER@HOST",
        )
    with sink.listening() as listen:
        study = search(
            recipe,
            plan,
            open_pool=lambda: _pool(options["workers"], options["scheduler"] or ""),
            devices=devices,
            listen=listen,
        )
    verdict = FAILED if study.best is None else OK
    sink.result("search", verdict, {"out": str(out), **to_plain(study)}, *show_search.study(study, out))
    return EXIT_GATE if study.best is None else EXIT_OK


def _budget(options: dict[str, Any], devices: tuple[str, ...], on: str) -> Budget:
    """What was asked for. A latency without a place is of --devices, else of where the answers are scored."""
    from tflite_edge.records.search import Budget

    strange = [device for device in devices if not device.startswith("ssh://")]
    if strange:
        raise UsageError(f"{strange[0]} is no board behind SSH", do="--devices ssh://USER@HOST,ssh://USER@OTHER")
    latency_s, where = options["max_latency"] or (None, "")
    if devices and where and where not in devices:
        raise UsageError(f"--devices measure the latency, and --max-latency is of {where}", do="leave @ away")
    if devices:
        where = ",".join(devices)
    elif latency_s is not None:
        where = where or on.removeprefix("emulator:")
    return Budget(options["max_bytes"], latency_s, where, options["max_drop"], options["compressed"])


def _pool(workers: int, scheduler: str) -> Pool:
    from tflite_edge.search.pool import Cluster, Here

    return Here() if workers == 1 and not scheduler else Cluster(workers, scheduler)
