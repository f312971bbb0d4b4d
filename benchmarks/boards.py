"""Emulated boards: instructions, predicted latency, and how far off predictions are: `python -m benchmarks.boards`.

    python -m benchmarks.boards [--only PART] [--quick] [--save]

Needs the installed boards pi3, pi4, pi5 and pi3-32: tflite-edge emulator install pi4, and so on. Instructions are the
same on every machine and at any load, and so are the answers that are compared. A prediction is of tflite-runtime's
builtin kernels on four threads of a Raspberry Pi 4, for which there are published figures; it stands in a column of its
own beside them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import results
from benchmarks.fixture import zoo_files
from benchmarks.overhead import ROUNDS, overhead
from benchmarks.parity import ZOO as ASKED
from benchmarks.parity import parity
from benchmarks.row import Row
from tflite_edge.cli.sink import Table, markdown
from tflite_edge.records.job import CountResult, Job
from tflite_edge.targets import open_machine
from tflite_edge.targets.emulator.fit import FittedModel, load_fit

MODES = ("float32", "int8")
MOST_ONE_OUT, MOST_FAMILY_OUT, LEAST_SPEARMAN, MOST_BETWEEN = 0.06, 0.10, 0.99, 0.001
# Milliseconds on a Pi 4, multi-threaded, float and int8 (google/XNNPACK, README.md). Four points are no fit: what is
# compared is how much faster int8 is.
XNNPACK = {"mobilenet": (77.0, 24.0), "mobilenet_v2": (46.0, 17.0)}


@dataclass(frozen=True)
class Model:
    name: str
    size: int
    alpha: float = 0.0  # 0: the architecture has no width

    @property
    def title(self) -> str:
        return f"{self.name}{f' {self.alpha:g}' if self.alpha else ''}, {self.size}"


ZOO = (
    Model("mobilenet", 224, 1.0),
    Model("mobilenet", 96, 0.25),
    Model("resnet8", 32),
)


def zoo(models: Sequence[Model]) -> tuple[Table, dict[str, dict[str, CountResult]]]:
    """Instructions on a Pi 4 and a Pi 5 by ai-edge-litert, those that the prediction rests on, and the prediction."""
    pi4, pi5 = open_machine("emulator:pi4"), open_machine("emulator:pi5")
    rows, counts = [], {}
    for model in models:
        folder = zoo_files(model.name, alpha=model.alpha, size=model.size, classes=1000, modes=MODES, images=0)
        for mode in MODES:
            job = Job("bench", str(folder / f"{mode}.tflite"))
            _say(f"{model.title} {mode}")
            told, newer = pi4.estimate(job), pi5.estimate(job)
            assert told.count is not None
            assert newer.count is not None
            counts.setdefault(model.title, {})[mode] = told.count
            one = told.predicted
            predicted = ["-", "-", "-"]
            if one and one.predicted_s and one.low_s is not None and one.high_s and one.counted:
                band = f"{1e3 * one.low_s:.2f}-{1e3 * one.high_s:.2f}"
                predicted = [_millions(one.counted), f"{1e3 * one.predicted_s:.2f}", band]
            rows.append([model.title, mode, _millions(told.count.total), _millions(newer.count.total), *predicted])
    columns = ["model ", "type ", "pi4 M instr", "pi5 M instr", "fitted's M instr", "pi4 ms predicted", "band"]
    return Table(columns, rows, "Instructions of an inference (ai-edge-litert), and predicted latency"), counts


def against_xnnpack(counts: dict[str, dict[str, CountResult]]) -> Table:
    """How much faster int8 is: by the instructions of ai-edge-litert, which runs XNNPACK, and as XNNPACK published."""
    rows = []
    for name, (slow, fast) in XNNPACK.items():
        found = counts.get(Model(name, 224, 1.0).title)
        if found:
            ratio = found["float32"].total / found["int8"].total
            rows.append([name, f"{ratio:.2f} x", f"{slow / fast:.2f} x", f"{slow:g} -> {fast:g} ms"])
    columns = ["model ", "float / int8: instructions", "float / int8: published latency", "published"]
    return Table(columns, rows, "A check that is no fit: XNNPACK's own figures for a Pi 4")


def errors() -> tuple[Table, list[Row]]:
    """The error table of the fit, with multiply-accumulates as the baseline."""
    fit, rows, verdicts = load_fit(), [], []
    for kind in fit.coefficients:
        e = fit.errors_of(kind)
        one, family = (
            f"{e.one_out_mean:.1%} ({e.one_out_most:.1%})",
            f"{e.family_out_mean:.1%} ({e.family_out_most:.1%})",
        )
        macs = f"{e.macs_one_out_mean:.1%}, {e.macs_family_out_mean:.1%}"
        rows.append([kind, str(e.models), f"{e.fitted_mean:.1%}", one, family, f"{e.spearman:.4f}", macs])
        limits = ((e.one_out_mean, MOST_ONE_OUT, "one"), (e.family_out_mean, MOST_FAMILY_OUT, "one family"))
        verdicts += [
            Row(f"{kind}: mean error without {what}", f"{value:.1%}", f"<= {most:.0%}", value <= most)
            for value, most, what in limits
        ]
        least = e.spearman >= LEAST_SPEARMAN
        verdicts.append(Row(f"{kind}: rank correlation", f"{e.spearman:.4f}", f">= {LEAST_SPEARMAN}", least))
    columns = [
        "type ",
        "models",
        "fitted",
        "one left out (most)",
        "family left out (most)",
        "Spearman",
        "MACs: one, family",
    ]
    return Table(columns, rows, "Mean relative errors of the predicted latency"), verdicts


def fitted() -> Table:
    """Every published figure, in milliseconds, and how far off the predictions of fits are that did not see it."""
    found: dict[str, dict[str, FittedModel]] = {}
    for one in load_fit().models:
        found.setdefault(one.model, {})[one.kind] = one
    kinds = list(load_fit().coefficients)
    rows = [[name, *(cell for kind in kinds for cell in _beside(of.get(kind)))] for name, of in found.items()]
    columns = ["model ", *(f"{kind}{what}" for kind in kinds for what in (", ms", ": one out", ": family out"))]
    return Table(columns, rows, f"Published, and how far off a prediction is without it: {load_fit().source}")


def _beside(model: FittedModel | None) -> tuple[str, str, str]:
    if model is None:
        return "-", "-", "-"
    published = model.published_s
    return (
        f"{1e3 * published:.2f}",
        f"{model.one_out_s / published - 1:+.1%}",
        f"{model.family_out_s / published - 1:+.1%}",
    )


def counting(model: Path) -> list[Row]:
    """What counting adds, the instructions of a call without operators, and how alike the counts of processes are."""
    pi4, found = open_machine("emulator:pi4"), []
    for runtime in ("ai-edge-litert", "tflite-runtime"):
        told = pi4.estimate(Job("bench", str(model), runtime), operators=True)
        assert told.count is not None
        call = told.operators[0].instructions
        share = f"{call:,} instructions, {told.operators[0].share:.2%} of {told.count.total:,}"
        found.append(Row(f"{runtime}: a call without operators", share))
        again = pi4.count(Job("bench", str(model), runtime))
        apart = abs(again.total / told.count.total - 1)
        between = f"{apart:.4%}"
        found.append(Row(f"{runtime}: two processes differ", between, f"<= {MOST_BETWEEN:.1%}", apart <= MOST_BETWEEN))
    return found


def counts(*, quick: bool) -> Iterator[Table]:
    """Instructions and predictions."""
    table, counted = zoo(ZOO[-1:] if quick else ZOO)
    yield table
    if not quick:
        yield against_xnnpack(counted)
    yield results.table({"counting": counting(_small())})


def prediction(*, quick: bool) -> Iterator[Table]:  # noqa: ARG001 - all parts are called alike
    """How far off predictions are."""
    table, verdicts = errors()
    yield table
    yield fitted()
    yield results.table({"fit": verdicts})


def answers(*, quick: bool) -> Iterator[Table]:
    """The same answers on five targets?"""
    yield parity(ASKED[:1] if quick else ASKED)


def processes(*, quick: bool) -> Iterator[Table]:
    """What the harness costs on each target."""
    yield overhead(_small(), 1 if quick else ROUNDS)


PARTS = {"counts": counts, "fit": prediction, "parity": answers, "overhead": processes}


def _small() -> Path:
    return zoo_files("mobilenet", alpha=0.25, size=96, classes=1000, modes=MODES, images=0) / "int8.tflite"


def _millions(instructions: int) -> str:
    return f"{instructions / 1e6:.2f}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.boards", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few small models, one round")
    parser.add_argument("--only", choices=list(PARTS), help="one part; by default one after the other")
    parser.add_argument("--save", action="store_true", help="rewrite the part in RESULTS.md, each once it is measured")
    options = parser.parse_args(argv)
    for name in [options.only] if options.only else PARTS:
        _say(name)
        tables = list(PARTS[name](quick=options.quick))
        for table in tables:
            results.show(table)
        if options.save:
            command = f"python -m benchmarks.boards --only {name}{' --quick' if options.quick else ''} --save"
            results.save(f"boards {name}", command, *(markdown(table) for table in tables))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
