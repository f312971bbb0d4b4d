"""What a search tells MLflow: a run for the study, and in it one run for each trial that has ended.

Only the machine that runs the search writes here. What is there already is read from the server, so that a search that
goes on, or whose server was away, writes what is missing and nothing twice.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from pathlib import Path
from typing import Any

from tflite_edge.records.errors import MissingError, UsageError
from tflite_edge.records.event import Event, Listener
from tflite_edge.records.search import FAILED, Study, Trial
from tflite_edge.search.book import without_password

DATABASE = "mlflow.db"  # MLflow 3 refuses its plain files ("maintenance mode")
METRICS = ("drop", "drop_ci", "top1", "bytes", "gzip_bytes", "latency_s", "energy_mj", "seconds")
STUDY, TRIAL, PARENT = "tflite_edge.study", "tflite_edge.trial", "mlflow.parentRunId"
ALL = 50_000  # the most that MLflow gives at once
TEXT = 500  # characters of a tag; MLflow takes 5000
# Ours unless the user says otherwise. A server that is away costs a trial 5 s and not MLflow's minutes of retries: what
# is missing is written after the next trial. The URLs that MLflow prints would stand in our result.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class Logbook:
    """At `where`: a folder (a database in it), sqlite:///FILE, or the http(s) URL of a tracking server.

    Raises UsageError for other places and MissingError without MLflow. That a server does not answer is no error: it
    is said once, as a warning, and tried again after the next trial.
    """

    def __init__(self, where: str, listen: Listener) -> None:
        self.where, self.listen = where, listen
        self.uri, self.folder = place_of(where)
        _load()
        self.client: Any = None
        self.parent: Any = None
        self.runs: dict[int, Any] = {}
        self.warned = False

    def write(self, study: Study, key: str) -> None:
        """Bring MLflow up to the study as it is now. key: a name of the study that no other has."""
        from alembic.util import CommandError
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._write(study, key)
        except (MlflowException, SQLAlchemyError, CommandError, OSError) as error:
            self.client = None  # what has come through is not known: read it again
            if not self.warned:
                self.warned = True
                first = next(iter(str(error).splitlines()), type(error).__name__)[:TEXT]
                note = f"MLflow at {self.where} does not answer; the search goes on, and it is tried again: {first}"
                self.listen(Event("mlflow", without_password(note), warning=True))

    def _write(self, study: Study, key: str) -> None:
        if self.client is None:
            self._open(study, key)
        self._status("FINISHED" if study.complete else "RUNNING")
        for trial in study.trials:
            if trial.number not in self.runs or self.runs[trial.number].info.status == "RUNNING":
                self._put(trial)
        if study.complete:
            self._tag(self.parent, {"best": str(study.best), "why": study.why[:TEXT]})
            for trial in study.trials:
                marks = {"front": _word(trial.front), "best": _word(trial.number == study.best)}
                self._tag(self.runs[trial.number], marks)

    def _open(self, study: Study, key: str) -> None:
        """Find the study's run and those of its trials, or begin it."""
        from mlflow.tracking import MlflowClient

        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        client, name = MlflowClient(tracking_uri=self.uri), f"tflite-edge {study.name}"
        known = client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else client.create_experiment(name)
        parents = client.search_runs([experiment], f"tags.`{STUDY}` = '{key}'", max_results=1)
        if parents:
            self.parent = parents[0]
        else:
            self.parent = client.create_run(experiment, tags={STUDY: key}, run_name=f"search {key[:8]}")
            for goal in ("max_bytes", "max_latency_s", "latency_on", "max_drop", "compressed"):
                client.log_param(self.parent.info.run_id, goal, getattr(study.budget, goal))
        found = client.search_runs([experiment], f"tags.`{PARENT}` = '{self.parent.info.run_id}'", max_results=ALL)
        self.runs = {int(run.data.tags[TRIAL]): run for run in found if TRIAL in run.data.tags}
        self.client = client

    def _put(self, trial: Trial) -> None:
        """The trial's run, whole when it is ended: one that a kill left running is filled again, with the same."""
        from mlflow.entities import Metric, Param

        now = int(1000 * time.time())
        tags = {PARENT: self.parent.info.run_id, TRIAL: str(trial.number), **_tags(trial)}
        run = self.runs.get(trial.number) or self.client.create_run(
            self.parent.info.experiment_id,
            start_time=now - int(1000 * trial.seconds),
            tags=tags,
            run_name=f"trial {trial.number}",
        )
        values = [(name, getattr(trial, name)) for name in METRICS]
        self.client.log_batch(
            run.info.run_id,
            metrics=[Metric(name, float(value), now, 0) for name, value in values if value is not None],
            params=[Param(name, str(value)) for name, value in trial.point.items()],
        )
        self.client.set_terminated(run.info.run_id, "FAILED" if trial.state == FAILED else "FINISHED", now)
        self.runs[trial.number] = self.client.get_run(run.info.run_id)

    def _tag(self, run: Any, tags: dict[str, str]) -> None:
        for name, value in tags.items():
            if run.data.tags.get(name) != value:
                self.client.set_tag(run.info.run_id, name, value)
                run.data.tags[name] = value

    def _status(self, status: str) -> None:
        """Of the study's run, which is running again where a finished search goes on."""
        if self.parent.info.status != status:
            if status == "FINISHED":
                self.client.set_terminated(self.parent.info.run_id, status)
            else:
                self.client.update_run(self.parent.info.run_id, status)
            self.parent = self.client.get_run(self.parent.info.run_id)


def place_of(where: str) -> tuple[str, Path | None]:
    """(MLflow's URI, the folder to be made for it if any). Raises UsageError."""
    if where.startswith(("http://", "https://", "sqlite:///")):
        return where, None
    if ":" in where:
        raise UsageError(
            f"{where} is no place for MLflow's runs", do="a folder, sqlite:///FILE or the http:// URL of a server"
        )
    folder = Path(where).absolute()
    return f"sqlite:///{folder / DATABASE}", folder


def _load() -> None:
    """Import MLflow, as quiet as the rest of us. Raises MissingError."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mlflow.tracking  # noqa: F401
    except ImportError as error:
        raise MissingError(
            "--mlflow needs MLflow", evidence=str(error), do="pip install 'tflite-edge[search,mlflow]'"
        ) from error
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _tags(trial: Trial) -> dict[str, str]:
    texts = {"state": trial.state, "origin": trial.origin, "scheme": trial.scheme, "sha256": trial.sha256}
    texts |= {"latency_on": trial.latency_on, "latency_kind": trial.latency_kind, "why": trial.why[:TEXT]}
    return {name: text for name, text in texts.items() if text}


def _word(holds: bool) -> str:
    return "true" if holds else "false"
