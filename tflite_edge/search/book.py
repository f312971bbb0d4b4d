"""The book of a search: an Optuna study, asked for points and told what became of them, that outlives its process."""

from __future__ import annotations

import json
import random
import re
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tflite_edge.artifact import cache_folder, disk_errors, key_of
from tflite_edge.records.errors import MissingError, RecipeError, UsageError
from tflite_edge.records.plain import from_plain, to_plain
from tflite_edge.records.search import FAILED, Budget, Trial
from tflite_edge.search.front import values_of
from tflite_edge.search.space import Point, Space

JOURNAL = "study.journal"
LOCK = "search.lock"
SEEDS = 2**32  # NumPy's
UNKNOWN = 2.0  # an unknown latency counts as so many times the longest that is known

Identity = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A point to be tried. optuna: the number of its Optuna trial; number: ours."""

    number: int
    optuna: int
    point: Point
    origin: str


class Book:
    """The study at `storage`, a URL of a database, or "" for a journal in `folder`.

    identity: what a result depends on, flat; a study with another one is refused, and what differs is named.
    first: the number of the first point. sampler: "gaussian", or "random" to compare with.
    Raises UsageError, RecipeError or MissingError.
    """

    def __init__(
        self,
        folder: Path,
        space: Space,
        budget: Budget,
        identity: Identity,
        *,
        name: str,
        storage: str = "",
        sampler: str = "gaussian",
        seed: int = 7,
        first: int = 1,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space, self.budget, self.first = space, budget, first
        self.place = without_password(storage) or str(folder / JOURNAL)
        with _storage_errors(self.place), _damage(self.place):
            self.study = optuna.create_study(
                study_name=name,
                storage=_open(storage, folder),
                directions=["minimize"] * len(budget.objectives),
                load_if_exists=True,
            )
            self._refuse_other(identity, str(folder) if not storage else f"{name} in {self.place}")
            begun = len(self._stored())
            self.study.sampler = self._sampler(sampler, (seed + begun) % SEEDS)
            self.random = random.Random(seed + begun)  # noqa: S311 - which point is tried is no secret
            if not begun:
                for preset, point in space.presets().items():
                    self._enqueue(point, preset)
            self.owed = self._interrupted()
            stored = self._stored()
            self.seen = {_key(self._point(trial.params)) for trial in stored if self._whole(trial.params)}
            told = [trial.user_attrs for trial in stored if trial.state.is_finished()]
            self.ended = [from_plain(Trial, json.loads(attrs["trial"])) for attrs in told if "trial" in attrs]
            taken = [trial.user_attrs["number"] for trial in stored if "number" in trial.user_attrs]
            self.next = max(taken, default=first - 1) + 1

    def ask(self, hopeless: Callable[[Point], bool] = lambda _: False) -> Asked | None:
        """A point that was not tried yet: a preset, an interrupted one, or the sampler's; None when all were tried.

        hopeless: points that need no trial. Optuna is told that they failed, and learns nothing from them.
        """
        if self.owed:
            return self.owed.pop(0)
        with _storage_errors(self.place):
            trial, point = self._suggested()
            while _key(point) in self.seen or hopeless(point):
                self.study.tell(trial, state=_state("FAIL"))
                if not self._waiting():  # a preset comes next, else a point like what was asked for
                    unseen = self._unseen_near(point, hopeless)
                    if unseen is None:
                        return None
                    self._enqueue(unseen, "sampled")
                trial, point = self._suggested()
            self.seen.add(_key(point))
            number, self.next = self.next, self.next + 1
            trial.set_user_attr("number", number)
            return Asked(number, trial.number, point, trial.user_attrs.get("origin", "sampled"))

    def tell(self, asked: Asked, trial: Trial, gained: float | None = None) -> None:
        """What became of the point. gained: points of accuracy between its short and its long fine-tuning."""
        values = self._values(trial)
        with _storage_errors(self.place):
            own = _trial(self.study, asked.optuna)
            self.ended.append(trial)
            if gained is not None:
                own.set_user_attr("gained", gained)
            own.set_user_attr("trial", json.dumps(to_plain(trial)))
            if values is None:
                self.study.tell(asked.optuna, state=_state("FAIL"))
                return
            self.study.tell(asked.optuna, values)

    def _stored(self) -> list[Any]:
        """Optuna's trials, not to be changed: copies of all of them are what would take the time."""
        with _storage_errors(self.place):
            found: list[Any] = self.study.get_trials(deepcopy=False)
        return found

    @property
    def trials(self) -> list[Trial]:
        """All that have ended, in their order."""
        return sorted(self.ended, key=lambda trial: trial.number)

    @property
    def gained(self) -> list[float]:
        return [trial.user_attrs["gained"] for trial in self._stored() if "gained" in trial.user_attrs]

    def note(self, name: str, value: Any) -> None:
        with _storage_errors(self.place):
            self.study.set_user_attr(name, json.dumps(value))

    def noted(self, name: str) -> Any:
        with _storage_errors(self.place):
            text = self.study.user_attrs.get(name)
        return None if text is None else json.loads(text)

    @property
    def key(self) -> str:
        """A name of the study that no other has, also where another was begun in the same folder later."""
        key: str | None = self.noted("key")
        if key is None:
            key = uuid.uuid4().hex
            self.note("key", key)
        return key

    def _refuse_other(self, identity: Identity, place: str) -> None:
        text = self.study.user_attrs.get("identity")
        if text is None:
            self.study.set_user_attr("identity", json.dumps(identity))
            return
        old, new = json.loads(text), json.loads(json.dumps(identity))
        if old == new:
            return
        differ = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
        raise RecipeError(
            f"the study in {place} was begun with something else",
            evidence="\n".join(f"{key}: {old.get(key)!r} then, {new.get(key)!r} now" for key in differ[:8]),
            do="the same as then to go on with it, or another folder with -o (make search: ARGS='-o build/NAME'): "
            "steps that both need are not made twice",
        )

    def _interrupted(self) -> list[Asked]:
        """What a killed search was at: nobody else is, and so it is simply gone on with, also with what was killed
        while it was told. One that has no point yet is none."""
        found = []
        for trial in self.study.get_trials(deepcopy=False, states=(_state("RUNNING"),)):
            if self._whole(trial.params) and "number" in trial.user_attrs:
                origin = trial.user_attrs.get("origin", "sampled")
                found.append(Asked(trial.user_attrs["number"], trial.number, self._point(trial.params), origin))
            else:
                self.study.tell(trial.number, state=_state("FAIL"))
        return sorted(found, key=lambda asked: asked.number)

    def _whole(self, params: dict[str, Any]) -> bool:
        return set(params) == {axis.name for axis in self.space.axes}

    def _suggested(self) -> tuple[Any, Point]:
        """An Optuna trial and its point. Axes whose neighbours are alike are numbers, the others are categories."""
        trial = self.study.ask(self._distributions())
        return trial, self._point(trial.params)

    def _distributions(self) -> dict[str, Any]:
        from optuna.distributions import CategoricalDistribution, IntDistribution

        return {
            axis.name: IntDistribution(0, len(axis.values) - 1)
            if axis.ordered
            else CategoricalDistribution(range(len(axis.values)))
            for axis in self.space.axes
        }

    def _sampler(self, name: str, seed: int) -> Any:
        from optuna.samplers import RandomSampler

        from tflite_edge.search.sampler import Gaussian

        known = {"gaussian": Gaussian(self._distributions(), self.budget, seed), "random": RandomSampler(seed)}
        return known[name]

    def _point(self, indices: dict[str, Any]) -> Point:
        return {axis.name: axis.values[indices[axis.name]] for axis in self.space.axes}

    def _enqueue(self, point: Point, origin: str) -> None:
        indices = {axis.name: axis.values.index(point[axis.name]) for axis in self.space.axes}
        self.study.enqueue_trial(indices, user_attrs={"origin": origin})

    def _waiting(self) -> bool:
        return bool(self.study.get_trials(deepcopy=False, states=(_state("WAITING"),)))

    def _unseen_near(self, point: Point, hopeless: Callable[[Point], bool]) -> Point | None:
        """A point that was not tried: one axis away from `point` if there is one, else any."""

        def new_of(points: Iterable[Point]) -> list[Point]:
            return [one for one in points if _key(one) not in self.seen and not hopeless(one)]

        near = (point | {axis.name: value} for axis in self.space.axes for value in axis.values)
        new = new_of(near) or new_of(self.space.all())
        return self.random.choice(new) if new else None

    def _values(self, trial: Trial) -> list[float] | None:
        """What Optuna is told; a trial that failed has none. An unknown latency is a long one."""
        if trial.state == FAILED:
            return None
        known = values_of(trial, self.budget)
        if known is None and trial.latency_s is None and "latency_s" in self.budget.objectives:
            longest = max((one.latency_s for one in self.trials if one.latency_s), default=1.0)
            known = values_of(replace(trial, latency_s=UNKNOWN * longest), self.budget)
        return None if known is None else list(known)


def _key(point: Point) -> str:
    return json.dumps(point, sort_keys=True)


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def _trial(study: Any, number: int) -> Any:
    """The Optuna trial of that number, to be written to."""
    from optuna.trial import Trial as OptunaTrial

    stored = study.get_trials(deepcopy=False)[number]
    return OptunaTrial(study, stored._trial_id)  # noqa: SLF001 - ask() gave it away long ago


def _open(storage: str, folder: Path) -> Any:
    """A journal file is 3 to 4 times as fast for each trial as SQLite (measured), and a kill costs its last line."""
    import optuna

    if storage:
        return storage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path = str(folder / JOURNAL)
    _mend(folder / JOURNAL)
    Path(f"{path}.lock").unlink(missing_ok=True)  # a killed run's: `locked` proves it; Optuna would wait for it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optuna.storages.JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))


def _mend(journal: Path) -> None:
    """Cut off the last line where it has no end, as a kill or a full disk leaves it: Optuna would write on in it."""
    if journal.is_file() and not (content := journal.read_bytes()).endswith(b"\n"):
        with journal.open("r+b") as stream:
            stream.truncate(content.rfind(b"\n") + 1)


@contextmanager
def _storage_errors(place: str) -> Iterator[None]:
    """Name what is wrong with the storage."""
    import optuna
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        with disk_errors(Path(place), "choose another output folder with -o"):
            yield
    except ArgumentError as error:
        raise UsageError(
            f"{place} is no storage", evidence=without_password(str(error)), do="sqlite:///study.db, or another URL"
        ) from error
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        raise MissingError(
            f"the study's storage {place} does not answer",
            evidence=without_password(str(error).splitlines()[0]),
            do="start the database, then run the same command again: finished trials are kept",
        ) from error
    except ImportError as error:
        raise MissingError(f"the storage {place} needs a driver", evidence=str(error), do="pip install it") from error


@contextmanager
def _damage(place: str) -> Iterator[None]:
    """A storage that holds anything but what was written to it: what Optuna raises of it then is of many kinds."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError, RuntimeError) as error:
        evidence = f"{type(error).__name__}: {without_password(str(error))}"
        raise RecipeError(
            f"the study in {place} cannot be read", evidence=evidence, do="another folder with -o, or remove the file"
        ) from error


def without_password(text: str) -> str:
    """URLs without USER:PASSWORD@."""
    return re.sub(r"//[^/\s]*@", "//", text)


@contextmanager
def locked(folder: Path, storage: str, name: str) -> Iterator[None]:
    """The study for ourselves. Raises UsageError where another search is at it, on this machine or a shared folder."""
    from filelock import FileLock, Timeout

    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    locks = [folder / LOCK]
    if storage:
        shared = cache_folder() / "searches"
        with disk_errors(shared):
            shared.mkdir(parents=True, exist_ok=True)
        locks.append(shared / f"{key_of(storage, name)}.lock")
    with ExitStack() as held:
        try:
            for lock in locks:
                with disk_errors(lock):
                    held.enter_context(FileLock(lock, timeout=0))
        except Timeout as error:
            raise UsageError(
                f"another search is working on {folder if not storage else f'{name} in {without_password(storage)}'}",
                evidence=f"it holds {error.lock_file}",
                do="wait for it or stop it, or give this one another folder with -o",
            ) from error
        yield
