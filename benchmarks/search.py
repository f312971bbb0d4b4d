"""The search against random search and presets, and what its engine costs: `python -m benchmarks.search [--quick]`.

Every point of a small space around a small net on a part of Fashion-MNIST is made once, by whole pipeline runs (in the
cache; about an hour on two idle cores). Samplers are then replayed on that table, with many seeds: each sees only
what it asked for. Throughput, overhead and cache hits are of real searches with Dask workers.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distributed import Client
from optuna.samplers import TPESampler

from benchmarks import data, results
from benchmarks.process import ENTRY_POINT, alternate, run, script
from benchmarks.row import Row, ratio, seconds
from tflite_edge.artifact import cache_folder, cached, key_of
from tflite_edge.records.event import silent
from tflite_edge.records.recipe import Convert, DataSource, ModelSource, Recipe, Tuning
from tflite_edge.records.search import COMPLETE, Budget, Study, Trial
from tflite_edge.search.book import Book
from tflite_edge.search.engine import Plan, Search
from tflite_edge.search.front import Values, front, hypervolume
from tflite_edge.search.pool import Cluster, Here, Pool
from tflite_edge.search.space import Point, Space, space_of
from tflite_edge.search.toml import recipe_text
from tflite_edge.search.trial import Task
from tflite_edge.search.trial import run as run_trial

EPOCHS = 1
SAMPLES = {"train": 3000, "test": 1000}
TRIALS = (12, 20, 40)  # of the 360 points
SEEDS = 30
NOISE = 0.5  # points: what another training of the same recipe may come to, drawn anew for each seed
# What a front is measured against: a file that is no smaller than plain int8, or that much less accurate, is no gain.
WORST_DROP = 10.0
OURS, TPE, CHANCE, PRESETS = "ours", "TPE", "chance", "presets"  # TPE is Optuna's own


@dataclass(frozen=True)
class Made:
    """A line of the table."""

    point: Point
    drop: float
    gzip_bytes: int
    seconds: float


def baseline(quick: bool) -> Path:
    """A folder with data.npz and model.h5."""
    train, test = (few // 10 if quick else few for few in SAMPLES.values())
    source = data.fashion_mnist()
    text = (Path(__file__).parent / "ours" / "search_baseline.py").read_text()
    make = lambda folder: script("ours/search_baseline", folder, source, f"{train}", f"{test}")  # noqa: E731
    return cached("benchmark", key_of("search", text, train, test), make)


def recipe(folder: Path) -> Recipe:
    """The small net on a part of Fashion-MNIST, with a short fine-tuning for each step."""
    return Recipe(
        ModelSource(file=str(folder / "model.h5")),
        DataSource(str(folder / "data.npz"), normalize="-1..1"),
        tune=Tuning(epochs=EPOCHS, augment=0.0),
        convert=Convert(("int8",)),
    )


def space(base: Recipe) -> Space:
    """What the product itself would search: a user's own file, whose gzipped size counts."""
    return space_of(base, Budget(compressed=True), images=True)


def table(folder: Path) -> list[Made]:
    """All points, made where they are not yet: a run that was stopped goes on."""
    words = space(recipe(folder)).words
    path = cache_folder() / "benchmark" / f"search-{key_of(folder.name, json.dumps(words))[:16]}.jsonl"
    run(sys.executable, "-m", "benchmarks.ours.search_table", path, folder)
    return read_table(path)


def read_table(path: Path) -> list[Made]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [Made(line["point"], line["drop"], line["gzip_bytes"], line["seconds"]) for line in lines]


def replayed(sampler: str, seed: int, trials: int, made: Sequence[Made], points: Space) -> list[Values]:
    """What `trials` trials of the search's own book find: presets first, then the sampler's points."""
    known = {json.dumps(one.point): one for one in made}
    budget = Budget(compressed=True)
    found: list[Values] = []
    with tempfile.TemporaryDirectory() as folder:
        book = Book(Path(folder), points, budget, {}, name="replay", seed=seed)
        if sampler == TPE:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of its experimental options
                book.study.sampler = TPESampler(n_startup_trials=5, multivariate=True, constant_liar=True, seed=seed)
        while len(found) < trials and (asked := book.ask()):
            one = known[json.dumps(asked.point)]
            book.tell(asked, Trial(asked.number, {}, COMPLETE, drop=one.drop, gzip_bytes=one.gzip_bytes))
            found.append(_values(one))
    return found


def fronts(made: Sequence[Made], points: Space, seeds: int) -> Iterator[Row]:
    """Hypervolume of each way to choose points, median and quartiles over seeds, of that of the whole table.

    Each seed has a table of its own, with other drops as other trainings would have given them: ours has no chance in
    it, and would do the same on each.
    """
    plain = next(one for one in made if one.point == points.largest)
    reference = (WORST_DROP, float(plain.gzip_bytes))
    presets = list(points.presets().values())
    found: dict[tuple[str, int], list[float]] = {}
    on_front = []
    for seed in range(seeds):
        chance = random.Random(seed)
        trained = [replace(one, drop=one.drop + chance.gauss(0, NOISE)) for one in made]
        values = [_values(one) for one in trained]
        whole = hypervolume(values, reference)
        on_front.append(len(front(values)))
        for sampler in (OURS, TPE, CHANCE):
            asked = (
                chance.sample(values, max(TRIALS))
                if sampler == CHANCE
                else replayed(sampler, seed, max(TRIALS), trained, points)
            )
            for trials in TRIALS:
                found.setdefault((sampler, trials), []).append(hypervolume(asked[:trials], reference) / whole)
        known = hypervolume([_values(one) for one in trained if one.point in presets], reference)
        found.setdefault((PRESETS, len(presets)), []).append(known / whole)
    about = (
        f"{len(made)} points, about {statistics.median(on_front):.0f} on the true front; {seeds} seeds, in each of "
        f"which all drops are disturbed by {NOISE:g} points (standard deviation); the volume better than "
        f"{WORST_DROP:g} points below the float model and {plain.gzip_bytes:,} bytes gzipped, which is plain int8, as "
        "a share of the true front's"
    )
    yield Row(f"the {len(presets)} presets", _spread(found[PRESETS, len(presets)]), notes=(about,))
    for trials in TRIALS:
        by_chance = found[CHANCE, trials]
        yield Row(f"random search, {trials} trials, no point twice", _spread(by_chance))
        for sampler in (TPE, OURS):
            shares = found[sampler, trials]
            times = statistics.median(shares) / statistics.median(by_chance)
            better = sum(a > b for a, b in zip(shares, by_chance, strict=True))
            ours = sampler == OURS
            yield Row(
                f"{sampler}, presets first, {trials} trials",
                f"{_spread(shares)}, {times:.3f} x random",
                "at least 1.1 x random" if ours else "",
                times >= 1.1 if ours else None,
                (f"better than random with {better} of {seeds} seeds; equal trials stand for equal time",),
            )


def _values(made: Made) -> Values:
    return made.drop, float(made.gzip_bytes)


def _spread(shares: Sequence[float]) -> str:
    low, middle, high = statistics.quantiles(shares, n=4)
    return f"{middle:.3f} ({low:.3f}-{high:.3f})"


def searched(folder: Path, out: Path, pool: Pool, trials: int, sampler: str = "gaussian") -> tuple[float, Study]:
    """(seconds, what came of it) of a real search."""
    budget, base = Budget(compressed=True), recipe(folder)
    points = space(base)
    plan = Plan(budget, out, trials)
    out.mkdir(parents=True)
    with closing(pool):
        start = time.perf_counter()
        book = Book(out, points, budget, {}, name="benchmark", first=1, sampler=sampler)
        study = Search(plan, points, book, pool=pool, meter=None, listen=silent).run()
        return time.perf_counter() - start, study


@contextmanager
def machines(count: int) -> Iterator[str]:
    """A Dask scheduler with `count` workers that have one core each, as machines of one core: its address."""
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:

        def start(*words: str) -> None:
            dask = subprocess.Popen([*words, "--no-dashboard"], cwd=work, **quiet)
            stack.callback(dask.wait)
            stack.callback(dask.terminate)

        told = Path(work) / "scheduler.json"
        start(sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--scheduler-file", str(told))
        while not told.is_file():
            time.sleep(0.1)
        address: str = json.loads(told.read_text())["address"]
        for core in sorted(os.sched_getaffinity(0))[:count]:
            pinned = ("taskset", "--cpu-list", str(core), sys.executable, "-m", "distributed.cli.dask_worker")
            start(*pinned, address, "--nthreads", "1", "--no-nanny")
        with Client(address, timeout=60) as client:
            client.wait_for_workers(count, timeout=60)
        yield address


def throughput(folder: Path, trials: int) -> Iterator[Row]:
    """Searches whose steps are all in the cache, by one worker and by two, in turns: points by chance, so that both do
    the same."""
    with tempfile.TemporaryDirectory() as work:
        _, warm = searched(folder, Path(work) / "warm", Here(), trials, "random")
        names = iter(range(100))

        def by(workers: int) -> Callable[[], float]:
            def ours() -> float:
                with machines(workers) as address:
                    pool = Cluster(address=address)
                    return searched(folder, Path(work) / f"{next(names)}", pool, trials, "random")[0]

            return ours

        one, two = alternate(2, by(1), by(2))
    times, text = ratio(one, two)
    yield Row(
        f"{trials} trials with 1 and 2 Dask workers of one core each",
        f"{seconds(one)} and {seconds(two)}: {text} the throughput",
        "at least 1.8 x",
        times >= 1.8,
    )
    steps = sum(warm.cache_hits.values())
    yield Row(
        "steps found in the cache", f"{warm.cache_hits['found'] / steps:.0%} of {steps}", notes=("of the first search",)
    )


def overhead(folder: Path, trials: int) -> Iterator[Row]:
    """What a trial costs beyond the `convert` that a user would have typed, and beyond its own process."""
    base, points = recipe(folder), space(recipe(folder))
    with tempfile.TemporaryDirectory() as work:
        out = Path(work)
        task = Task(base, str(out / "place"))
        (out / "recipe.toml").write_text(recipe_text(base, "the same"))
        outcome = run_trial(task)
        ours, bare = alternate(
            3,
            lambda: run_trial(task).seconds,
            lambda: run(ENTRY_POINT, "convert", out / "recipe.toml", "-o", out / "bare", "--max-drop", "100").seconds,
        )
        took, _ = searched(folder, out / "engine", Here(lambda _: replace(outcome, seconds=1.0)), trials)
    text = ratio(ours, bare)[1]
    yield Row("a trial against `tflite-edge convert`", text, "", None, (f"{seconds(ours)} and {seconds(bare)}",))
    each, typical = took / (trials + 1), statistics.median(ours)
    yield Row(
        "asking, judging, telling and writing, per trial",
        f"{each:.3f} s, {each / typical:.1%} of the shortest trial, whose steps are all in the cache",
        "at most 2 %",
        each / typical <= 0.02,
        (f"{trials} trials of {len(list(points.all()))} points with ready outcomes",),
    )


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few samples, seeds and trials: does it run")
    parser.add_argument("--table", type=Path, help="a table that was made before; with --baseline")
    parser.add_argument("--baseline", type=Path, help="its data.npz and model.h5")
    parser.add_argument("--only", choices=["fronts", "throughput", "overhead"])
    options = parser.parse_args(argv)
    folder = options.baseline or baseline(options.quick)
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "fronts": lambda: fronts(
            read_table(options.table) if options.table else table(folder),
            space(recipe(folder)),
            5 if options.quick else SEEDS,
        ),
        "throughput": lambda: throughput(folder, 3 if options.quick else 15),
        "overhead": lambda: overhead(folder, 10 if options.quick else 40),
    }
    found = {name: list(part()) for name, part in parts.items() if options.only in (None, name)}
    results.show(results.table(found))
    print(results.notes(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
