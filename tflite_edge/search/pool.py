"""Where trials run: here, one after the other, or on Dask workers of this machine or of others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from tflite_edge import __version__
from tflite_edge.records.errors import MissingError, TargetError, UsageError
from tflite_edge.search.trial import Outcome, Task, run

Done = Callable[[Outcome | Exception], None]

RETRIES = 1  # a trial whose worker died is begun once more; who kills two workers is to blame


class Pool(Protocol):
    """size: trials at a time, 0 while there is nobody to make them. submit: make the task, then call `done`, from
    whatever thread, with its outcome or with what ended the pool itself."""

    @property
    def size(self) -> int: ...

    def submit(self, task: Task, done: Done) -> None: ...

    def close(self) -> None: ...


class Here:
    """One trial at a time on this machine. make: what makes a trial; tests and benchmarks have tables."""

    size = 1

    def __init__(self, make: Callable[[Task], Outcome] = run) -> None:
        self.make = make

    def submit(self, task: Task, done: Done) -> None:
        done(self.make(task))

    def close(self) -> None:
        """Nothing is left open."""


class Cluster:
    """Dask workers: `workers` processes of this machine, or those of the scheduler at `address`.

    A worker needs this package with its extras `convert` and `runtime`, nothing of the study: tasks bring their recipe
    and take their files back. Whoever may send it tasks may run anything there, as with every Dask cluster.
    Raises MissingError, TargetError or UsageError.
    """

    def __init__(self, workers: int = 2, address: str = "") -> None:
        dask, distributed = _dask()
        _refuse_strange(address)
        self.address = address
        self.local: Any = None
        self.client: Any = None
        self._futures: set[Any] = set()
        try:
            self._open(dask, distributed, workers, address)
            self._refuse_others()
        except BaseException:
            self.close()
            raise

    def _open(self, dask: Any, distributed: Any, workers: int, address: str) -> None:
        # Dask gives its workers one thread for each library; a trial is to run as `convert` does.
        unchanged = {"distributed.nanny.pre-spawn-environ": {}, "distributed.scheduler.allowed-failures": RETRIES}
        _silence()
        with dask.config.set(unchanged):
            if not address:
                self.local = distributed.LocalCluster(
                    n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
                )
            try:
                self.client = distributed.Client(self.local or address, timeout=10, set_as_default=False)
            except (OSError, TimeoutError, ValueError, TypeError, ImportError, RuntimeError) as error:
                raise TargetError(
                    f"no Dask scheduler answers at {address}",
                    evidence=str(error).splitlines()[0] if str(error) else "",
                    do="dask scheduler --port 8786, and on each machine: dask worker tcp://HOST:8786 --nthreads 1",
                ) from error

    @property
    def size(self) -> int:
        """A trial for each worker there is now, whatever its threads. A lost scheduler has one, and tells `done` so."""
        if self.client.status != "running":
            return 1
        return len(self.client.scheduler_info(n_workers=-1)["workers"])

    def submit(self, task: Task, done: Done) -> None:
        try:
            future = self.client.submit(run, task, pure=False)
        except Exception as error:  # noqa: BLE001 - a closed client raises what it likes
            done(self._lost(error))
            return
        self._futures.add(future)
        future.add_done_callback(lambda future: self._ended(future, done))

    def _ended(self, future: Any, done: Done) -> None:
        from distributed import KilledWorker

        self._futures.discard(future)
        try:
            done(future.result())
        except KilledWorker as error:
            times = RETRIES + 1 if self.local is not None else "several"
            done(Outcome(0.0, TargetError(f"its worker died {times} times", evidence=str(error).split(".")[0])))
        except ModuleNotFoundError as error:
            done(_lacking(str(error)))
        except BaseException as error:  # noqa: BLE001 - cancelled, as a rule: the scheduler is gone
            done(self._lost(error))

    def _lost(self, error: BaseException) -> TargetError:
        where = self.address or "this machine's own"
        return TargetError(
            f"the Dask scheduler at {where} was lost",
            evidence=f"{type(error).__name__}: {error}".splitlines()[0],
            do="start it again, then run the same command: the study goes on where it was",
        )

    def _refuse_others(self) -> None:
        """Raise MissingError where a worker has another version: its bytes would not be ours."""
        if self.local is not None:
            return
        try:
            self.client.wait_for_workers(1, timeout=60)
            found = self.client.run(about)
        except TimeoutError as error:
            raise TargetError(
                f"the Dask scheduler at {self.address} has no workers",
                do=f"dask worker {self.address} --nthreads 1, on each machine that is to work",
            ) from error
        except (ImportError, AttributeError) as error:
            raise _lacking(str(error)) from error
        ours = about()
        others = {worker: theirs for worker, theirs in found.items() if theirs != ours}
        if others:
            worker, theirs = next(iter(others.items()))
            differ = ", ".join(
                f"{name} {theirs.get(name)} and not {ours[name]}" for name in ours if theirs.get(name) != ours[name]
            )
            raise MissingError(
                f"{len(others)} of {len(found)} workers are not as this machine, and would make other bytes",
                evidence=f"{worker}: {differ}",
                do="install the same versions there",
            )

    def close(self) -> None:
        for future in list(self._futures):
            future.cancel()
        if self.client is not None:
            self.client.close(timeout=5)
        if self.local is not None:
            self.local.close(timeout=5)


def _refuse_strange(address: str) -> None:
    """Raise UsageError for all but tcp: other kinds need certificates or drivers, which cannot be named here."""
    if not address:
        return
    try:
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        if parts.scheme == "tcp" and parts.hostname and parts.port:
            return
        why = "its kind, host and port are asked for"
    except ValueError as error:
        why = str(error)
    raise UsageError(f"{address} is no scheduler that can be asked", evidence=why, do="--scheduler tcp://HOST:8786")


def _silence() -> None:
    """What Dask and its event loop log of lost connections: we say it in our own words."""
    for name in [*logging.root.manager.loggerDict, "asyncio", "tornado.application"]:
        if name.partition(".")[0] in ("distributed", "asyncio", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def about() -> dict[str, str]:
    """The versions that a trial's bytes depend on."""
    from tflite_edge.artifact import versions

    kept = ("python", "tensorflow", "tf-keras", "numpy")
    return {"tflite-edge": __version__, **{name: version for name, version in versions().items() if name in kept}}


def _lacking(evidence: str) -> MissingError:
    return MissingError(
        "a Dask worker lacks this package",
        evidence=evidence,
        do="there: pip install 'tflite-edge[convert,runtime,search]' in the environment that runs `dask worker`",
    )


def _dask() -> tuple[Any, Any]:
    try:
        import dask
        import distributed
    except ImportError as error:
        raise MissingError(
            "several workers need Dask", evidence=str(error), do="pip install 'tflite-edge[search]', or --workers 1"
        ) from error
    return dask, distributed
