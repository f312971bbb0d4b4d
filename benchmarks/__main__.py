"""`python -m benchmarks [NAME...]`: run, print one table, and with --save keep it."""

from __future__ import annotations

import argparse
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence

from benchmarks import __doc__ as about
from benchmarks import results
from benchmarks.bench import bench
from benchmarks.convert import convert
from benchmarks.evaluate import evaluate
from benchmarks.row import Row
from benchmarks.startup import startup
from tflite_edge.cli.sink import markdown

BENCHMARKS: dict[str, Callable[..., list[Row]]] = {
    "startup": startup,
    "convert": convert,
    "bench": bench,
    "evaluate": evaluate,
}


def main(argv: Sequence[str]) -> int:
    """0 unless a benchmark crashed: a missed target is said in the table."""
    options = _parse(argv)
    found: dict[str, list[Row]] = {}
    crashed = []
    for name in options.names or BENCHMARKS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            found[name] = BENCHMARKS[name](quick=options.quick)
        except Exception as error:  # noqa: BLE001 - an entry point; the other benchmarks still run
            crashed.append(name)
            _say(error)
    results.show(results.table(found))
    if crashed:
        print(f"crashed: {', '.join(crashed)}; nothing is saved", file=sys.stderr)
    elif options.save:
        results.save("generated", "python -m benchmarks --save", markdown(results.table(found)), results.notes(found))
    return 1 if crashed else 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS) + "; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--save", action="store_true", help="rewrite the generated part of RESULTS.md")
    options = parser.parse_args(argv)
    for name in options.names:
        if name not in BENCHMARKS:
            parser.error(f"no benchmark {name!r}; one of {', '.join(BENCHMARKS)}")
    if options.save and (options.names or options.quick):
        parser.error("--save keeps one full run: it goes with neither names nor --quick")
    return options


def _say(error: Exception) -> None:
    traceback.print_exception(error)
    if isinstance(error, subprocess.CalledProcessError):  # its message leaves out what the child said
        print(error.stderr[-2000:], file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
