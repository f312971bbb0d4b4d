"""The search: ask for points, have them made, judge what was made, tell what became of it, until it is enough."""

from __future__ import annotations

import queue
import statistics
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tflite_edge.artifact import versions
from tflite_edge.records.errors import EdgeError, InputError, MissingError, ModelError, RecipeError, TargetError
from tflite_edge.records.event import Event, Listener
from tflite_edge.records.plain import from_plain, to_plain
from tflite_edge.records.recipe import Recipe, with_changes
from tflite_edge.records.search import COMPLETE, FAILED, PRUNED, Budget, Study, Trial
from tflite_edge.records.verdict import Gates
from tflite_edge.search import front
from tflite_edge.search.book import Asked, Book
from tflite_edge.search.judge import judged
from tflite_edge.search.logbook import Logbook
from tflite_edge.search.meter import Meter, Reading
from tflite_edge.search.pool import Pool
from tflite_edge.search.shelf import Shelf
from tflite_edge.search.space import Point, Space
from tflite_edge.search.trial import Outcome, Task
from tflite_edge.search.words import trial_words

REFERENCE, RECIPE, PROBE = "reference", "recipe", "probe"
# The probe is untrained: weights that were trained are a little smaller, and much so where they are compressed.
MARGIN, COMPRESSED_MARGIN = 1.05, 1.5
BEAT_S = 5.0  # how often a search that waits looks whether there are workers
PATIENCE_S = 600.0  # for workers that are all gone: a cluster's queue may send others
HOPELESS = 5  # trials that fail before one succeeds: it is not their recipes
OPEN = Gates(max_drop=float("inf"), min_agreement=0.0)  # the budget judges


@dataclass(frozen=True)
class Plan:
    """trials: points in all, those of earlier runs among them. time_s: no trial begins later than that.

    storage, sampler: as in Book. mlflow: where the trials are logged as well, as in Logbook; "": nowhere.
    """

    budget: Budget
    out: Path
    trials: int = 40
    time_s: float | None = None
    seed: int = 7
    storage: str = ""
    sampler: str = "gaussian"
    mlflow: str = ""


@dataclass
class Run:
    """A trial on its way: rungs are the changes of its fine-tunings in turn, the next one first."""

    number: int
    origin: str
    point: Point
    rungs: list[tuple[int, dict[str, Any]]]
    asked: Asked | None = None
    seconds: float = 0.0
    short: Trial | None = None
    files: dict[str, bytes] = field(default_factory=dict)


class Search:
    """One run of a study. meter: None where no latency is a goal. logbook: None where nothing is logged."""

    def __init__(
        self,
        plan: Plan,
        space: Space,
        book: Book,
        *,
        pool: Pool,
        meter: Meter | None,
        listen: Listener,
        logbook: Logbook | None = None,
    ) -> None:
        self.plan, self.space, self.book, self.pool, self.meter, self.listen = plan, space, book, pool, meter, listen
        self.logbook = logbook
        self.shelf = Shelf(plan.out, space.recipe)
        self.budget = plan.budget
        self.events: queue.Queue[tuple[Run, Outcome | Reading | Exception, Any]] = queue.Queue()
        self.running: list[Run] = []
        self.held: list[tuple[Run, Outcome, Reading | None]] = []
        self._kind: type[EdgeError] = InputError  # of the last trial that failed
        self.start = time.monotonic()
        spent = book.noted("spent") or {}
        self.spent: float = spent.get("seconds", 0.0)
        self.hits: dict[str, int] = spent.get("hits", {"found": 0, "made": 0})
        self.extra = [from_plain(Trial, one) for one in book.noted("extra") or []]

    @property
    def reference(self) -> Trial | None:
        return next((trial for trial in self.extra if trial.origin == REFERENCE), None)

    @property
    def trials(self) -> list[Trial]:
        return sorted([*self.extra, *self.book.trials], key=lambda trial: trial.number)

    def run(self) -> Study:
        """Until all trials have ended or the time is over. Raises EdgeError where it cannot go on; what has ended is
        kept then, and the same search goes on with it."""
        if self.budget.max_bytes or self.budget.max_latency_s:
            why = self.book.noted(PROBE)
            if why is None:
                why = self._probed()
                self.book.note(PROBE, why)
            if why:
                return self._written(complete=True)
        for run in self._first():
            self._submit(run)
        self._say()
        while True:
            while len(self.running) < max(1, self.pool.size) and (one := self._next()):
                self._submit(one)
            if not self.running:
                break
            self._take()
        return self._written(complete=True)

    def _first(self) -> list[Run]:
        """What is not sampled: the float model that drops are against, and the recipe with its own steps."""
        done = {trial.origin for trial in self.extra}
        runs = []
        if REFERENCE not in done:
            runs.append(Run(0, REFERENCE, {}, [(0, {"optimize": [], "convert.quantize": ["float32"]})]))
        if RECIPE not in done and self.space.recipe.optimize:
            mode = "int8" if "int8" in self.space.recipe.convert.quantize else self.space.recipe.convert.quantize[0]
            runs.append(Run(1, RECIPE, {}, [(self.space.recipe.tune.epochs, {"convert.quantize": [mode]})]))
        return runs

    def _next(self) -> Run | None:
        """The next point, while there is time, and fewer have been begun than are wanted."""
        begun = sum(run.asked is not None or run.origin == RECIPE for run in self.running)
        ended = sum(trial.counts for trial in self.trials)
        late = self.plan.time_s is not None and time.monotonic() - self.start >= self.plan.time_s
        if late or begun + ended >= self.plan.trials:
            return None
        asked = self.book.ask(front.too_large(self.trials, self.budget))
        if asked is None:
            return None
        rungs = [(epochs, self.space.changes(asked.point, epochs)) for epochs in self.space.rungs(asked.point)]
        return Run(asked.number, asked.origin, asked.point, rungs, asked)

    def _submit(self, run: Run) -> None:
        if run not in self.running:
            self.running.append(run)
        try:
            recipe = self._recipe(run.rungs[0][1])
        except RecipeError as error:  # what cannot be said is one failed trial
            self.events.put((run, Outcome(0.0, error), None))
            return
        task = Task(recipe, str(self.shelf.place(run.number)))
        self.pool.submit(task, lambda found: self.events.put((run, found, None)))

    def _recipe(self, changes: dict[str, Any]) -> Recipe:
        return replace(with_changes(self.space.recipe, changes), gates=OPEN)

    def _take(self) -> None:
        """Wait for one thing to happen, and see to it."""
        run, found, made = self._event()
        if isinstance(found, Exception):
            raise found
        if isinstance(found, Reading):
            self._judge(run, made, found)
            return
        run.seconds += found.seconds
        self.hits = {name: self.hits[name] + found.hits.get(name, 0) for name in self.hits}
        if isinstance(found.error, MissingError):  # nothing is wrong with the recipe: the disk, a runtime
            raise found.error
        if found.error is None and found.variant is not None and self.meter is not None:
            threads = run.rungs[0][1].get("target.threads", self.space.recipe.target.threads)
            path = self.shelf.wait(run.number, found)
            self.meter.submit(path, threads, lambda reading: self.events.put((run, reading, found)))
            return
        self._judge(run, found, None)

    def _event(self) -> tuple[Run, Outcome | Reading | Exception, Any]:
        """The next thing that happens. Raises TargetError when there have been no workers for too long."""
        gone, patience = 0.0, f"{PATIENCE_S / 60:.0f} minutes"
        while True:
            try:
                return self.events.get(timeout=BEAT_S)
            except queue.Empty:
                if self.pool.size:
                    gone = 0.0
                    continue
            if not gone:
                self.listen(Event("search", f"no workers are left: waiting {patience} for others", warning=True))
            gone += BEAT_S
            if gone > PATIENCE_S:
                raise TargetError(
                    "all workers of the Dask scheduler are gone",
                    evidence=f"none came back in {patience}",
                    do="start some, then run the same command: the study goes on where it was",
                )

    def _judge(self, run: Run, outcome: Outcome, reading: Reading | None) -> None:
        if self.reference is None and run.origin != REFERENCE:
            self.held.append((run, outcome, reading))
            return
        if outcome.error is not None:
            self._kind = type(outcome.error)
        epochs, changes = run.rungs.pop(0)
        blank = Trial(
            run.number,
            changes,
            COMPLETE,
            origin=run.origin,
            point=_plain(run.point),
            epochs=epochs,
            seconds=run.seconds,
        )
        whole = self.space.largest
        same = all(run.point.get(name, whole.get(name)) == whole.get(name) for name in ("alpha", "input"))
        trial = judged(blank, outcome, reading, self.reference, same=same)
        if run.origin == REFERENCE and trial.state != FAILED:
            source = outcome.manifest.source
            told = [trial.why, *(f"{key}: {why}" for key, why in source.why.items()), *source.notes]
            trial = replace(trial, why="; ".join(filter(None, told)))
        if trial.state == FAILED and run.short is None:
            self._end(run, trial, {})
        elif run.short is not None:
            self._longer(run, trial, outcome)
        elif run.rungs:
            go_on, why = front.promising(trial, self.trials, self.budget, self.book.gained)
            if not go_on:
                self._end(run, replace(trial, state=PRUNED, why=why), outcome.files)
                return
            run.short, run.files = trial, outcome.files
            self._submit(run)
        else:
            self._end(run, trial, outcome.files)

    def _longer(self, run: Run, trial: Trial, outcome: Outcome) -> None:
        """After the long fine-tuning: the better of the two is what the trial came to."""
        short = run.short
        assert short is not None
        assert short.drop is not None
        if trial.drop is None:
            self._end(run, replace(short, seconds=run.seconds, why=f"longer training failed: {trial.why}"), run.files)
            return
        gained = short.drop - trial.drop

        def rank(one: Trial) -> tuple[bool, float]:
            return bool(self.budget.broken(one)), one.drop or 0.0

        if rank(short) < rank(trial):
            why = f"{trial.epochs} epochs were worse by {-gained:.2f} points"
            if gained >= 0:
                why = f"{trial.epochs} epochs do not keep the budget: {', '.join(self.budget.broken(trial))}"
            trial, outcome = replace(short, seconds=run.seconds, why=why), replace(outcome, files=run.files)
        self._end(run, trial, outcome.files, max(0.0, gained))

    def _end(self, run: Run, trial: Trial, files: dict[str, bytes], gained: float | None = None) -> None:
        self.running.remove(run)
        trial = self.shelf.put(trial, files)
        if run.asked is not None:
            self.book.tell(run.asked, trial, gained)
        else:
            self._keep(trial)
        self.listen(Event("trial", trial_words(trial, self.space.recipe.model, self.budget)))
        if trial.origin == REFERENCE:
            held, self.held = self.held, []
            for waiting in held:
                self._judge(*waiting)
        ended = [one for one in self.trials if one.counts]
        if len(ended) >= HOPELESS and all(one.state == FAILED for one in ended):
            raise self._kind(
                f"all of the first {len(ended)} trials failed",
                evidence=trial.why,
                do="tflite-edge convert the recipe first",
            )
        self._written(complete=False)
        self._say()

    def _keep(self, trial: Trial) -> None:
        """One that Optuna knows nothing of. Without the reference nothing can be judged: its error ends the search."""
        if trial.origin == REFERENCE and trial.state == FAILED:
            raise self._kind(
                "the float model cannot be made", evidence=trial.why, do="tflite-edge convert the recipe first"
            )
        self.extra.append(trial)
        self.book.note("extra", [to_plain(one) for one in self.extra])

    def _probed(self) -> str:
        """Why the budget cannot be kept by any point, "" if it may be: the smallest point, untrained, is converted."""
        self.listen(Event("probe", "the smallest recipe of the space, untrained"))
        point = self.space.smallest
        changes = self.space.changes(point)
        changes["optimize"] = [{**table, "epochs": 0} for table in changes["optimize"]]
        if self.space.recipe.model.name:
            changes["model.weights"] = "random"
        run = Run(0, PROBE, point, [(0, changes)])
        try:
            recipe = self._recipe(changes)
        except RecipeError as error:
            return self._inconclusive(error)
        self.pool.submit(Task(recipe, str(self.shelf.place(0))), lambda found: self.events.put((run, found, None)))
        found = self._event()[1]
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, Outcome)
        if isinstance(found.error, (InputError, TargetError)):
            return self._inconclusive(found.error)
        if found.error is not None:
            raise found.error
        if found.variant is None or found.variant.score is None:
            return self._inconclusive(ModelError("the smallest recipe gives no file that can be scored"))
        reading = self._fastest(run, found) if self.meter is not None else None
        blank = Trial(0, self.space.changes(point), PRUNED, origin=PROBE, point=_plain(point), seconds=found.seconds)
        trial = judged(blank, found, reading, None)
        margin = COMPRESSED_MARGIN if self.budget.compressed else MARGIN
        loose = replace(
            self.budget,
            max_bytes=self.budget.max_bytes and int(margin * self.budget.max_bytes),
            max_latency_s=self.budget.max_latency_s and MARGIN * self.budget.max_latency_s,
            max_drop=None,
        )
        broken = [] if trial.latency_s is None and self.meter else list(loose.broken(trial))
        if not broken:
            return ""
        tight = replace(self.budget, max_drop=None).broken(trial)
        why = f"no recipe of the space keeps the budget: its smallest has {', '.join(tight)}"
        self._keep(replace(trial, top1=None, drop=None, drop_ci=None, state=PRUNED, why=why))
        return why

    def _inconclusive(self, error: EdgeError) -> str:
        """A probe that cannot be made says nothing of the others: the trials tell."""
        self.listen(Event("probe", f"tells nothing: {error.what}"))
        return ""

    def _fastest(self, run: Run, outcome: Outcome) -> Reading:
        """The probe's reading with the number of threads that it is fastest with; unknown where one is."""
        assert self.meter is not None
        path = self.shelf.wait(run.number, outcome)
        own = self.space.recipe.target.threads
        readings: list[Reading] = []
        for threads in next((axis.values for axis in self.space.axes if axis.name == "threads"), (own,)):
            self.meter.submit(path, threads, lambda said: self.events.put((run, said, outcome)))
            said = self._event()[1]
            if isinstance(said, Exception):
                raise said
            assert isinstance(said, Reading)
            readings.append(said)
        return min(readings, key=lambda reading: (reading.latency_s is not None, reading.latency_s or 0.0))

    def _written(self, *, complete: bool) -> Study:
        self.book.note("spent", {"seconds": round(self._seconds(), 1), "hits": self.hits})
        study = self._study(complete)
        self.shelf.write(study)
        if self.logbook is not None:
            self.logbook.write(study, self.book.key)
        return study

    def _study(self, complete: bool) -> Study:
        trials = front.marked(self.trials, self.budget)
        impossible = self.book.noted(PROBE)
        best, why = (None, impossible) if impossible else front.choose(trials, self.budget)
        near = front.nearest(trials, self.budget) if best is None else None
        return Study(
            name=self.space.recipe.name,
            recipe=self.space.recipe,
            budget=self.budget,
            space=self.space.words,
            trials=self.shelf.kept(trials, best, near),
            best=best.number if best else None,
            why=why,
            seconds=round(self._seconds(), 1),
            versions=versions(),
            seed=self.plan.seed,
            objectives=list(self.budget.objectives),
            nearest=near.number if near else None,
            reference_top1=self.reference.top1 if self.reference else None,
            cache_hits=self.hits,
            complete=complete,
        )

    def _seconds(self) -> float:
        return self.spent + time.monotonic() - self.start

    def _say(self) -> None:
        """Best so far, size of the front, time left."""
        trials = front.marked(self.trials, self.budget)
        ended = [trial for trial in trials if trial.counts]
        best, _ = front.choose(trials, self.budget)
        words = []
        if best is not None and best.drop is not None:
            size = (best.size(self.budget.compressed) or 0) / 1024
            fast = f", {1e3 * best.latency_s:.3g} ms" if best.latency_s and self.budget.latency_on else ""
            words.append(f"best: {best.drop:+.2f} points, {size:,.1f} KiB{fast}")
        elif ended:
            words.append("none keeps the budget yet")
        words.append(f"front {sum(trial.front for trial in trials)}")
        left = self._left(ended)
        if left is not None:
            words.append(f"{left / 60:.0f} min left" if left >= 90 else f"{left:.0f} s left")
        self.listen(Event("search", ", ".join(words), len(ended), self.plan.trials))

    def _left(self, ended: list[Trial]) -> float | None:
        if not ended:
            return self.plan.time_s
        each = statistics.median(trial.seconds for trial in ended)
        left = each * max(0, self.plan.trials - len(ended)) / max(1, self.pool.size)
        if self.plan.time_s is not None:
            left = min(left, max(0.0, self.start + self.plan.time_s - time.monotonic()))
        return left


def _plain(point: Point) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in point.items()}
