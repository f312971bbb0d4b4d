"""What a search logs, read back with MLflow's own client; skipped where MLflow is not installed."""

import builtins
import warnings
from contextlib import closing, contextmanager

import pytest

from tests.search.made import BASE, outcome
from tflite_edge.records.errors import MissingError, TargetError, UsageError
from tflite_edge.records.search import Budget
from tflite_edge.search.book import Book
from tflite_edge.search.engine import Plan, Search
from tflite_edge.search.logbook import DATABASE, PARENT, SETTINGS, STUDY, TRIAL, Logbook, place_of
from tflite_edge.search.pool import Here
from tflite_edge.search.space import space_of
from tflite_edge.search.trial import Outcome

BUDGET = Budget(max_bytes=60_000)
AWAY = "http://me:secret@127.0.0.1:1"


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A folder with a database of MLflow's, which takes seconds to make."""
    pytest.importorskip("mlflow", reason="pip install -c constraints.txt mlflow-skinny")
    folder = tmp_path_factory.mktemp("mlflow")
    with client_of(folder) as client:
        client.search_experiments()
    return folder


@pytest.fixture
def place(empty, tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / DATABASE).write_bytes((empty / DATABASE).read_bytes())
    return folder


@contextmanager
def client_of(folder):
    """MLflow's own client, whose warnings are its own affair; what the logbook does stays under ours."""
    Logbook(str(folder), print)  # sets the library up
    from mlflow.tracking import MlflowClient

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield MlflowClient(tracking_uri=place_of(str(folder))[0])


def search(folder, where, trials, *, make=outcome, stop=99, told=None):
    def made(task):
        nonlocal stop
        stop -= 1
        if stop < 0:
            raise KeyboardInterrupt
        return make(task.recipe)

    folder.mkdir(exist_ok=True)
    space = space_of(BASE, BUDGET, images=True, width=1.0, smallest=32)
    book = Book(folder, space, BUDGET, {"a": 1}, name="n")
    listen = [].append if told is None else told.append
    with closing(Here(made)) as pool:
        plan = Plan(BUDGET, folder, trials)
        log = Logbook(str(where), listen)
        return Search(plan, space, book, pool=pool, meter=None, listen=listen, logbook=log).run()


def logged(place):
    """(runs of studies, number -> runs of the trials) of the only experiment."""
    with client_of(place) as client:
        (experiment,) = (one for one in client.search_experiments() if one.name != "Default")
        runs = client.search_runs([experiment.experiment_id])
    assert experiment.name.startswith("tflite-edge ")
    parents = [run for run in runs if STUDY in run.data.tags]
    trials = [run for run in runs if TRIAL in run.data.tags]
    assert len(parents) + len(trials) == len(runs)
    return parents, sorted(trials, key=lambda run: int(run.data.tags[TRIAL]))


def test_every_trial_is_a_run_with_its_point_its_numbers_and_what_it_came_to(place, tmp_path):
    def make(recipe):
        failed = recipe.model.alpha == 0.5  # a preset has it
        return Outcome(1.0, TargetError("killed by SIGSEGV")) if failed else outcome(recipe)

    study = search(tmp_path / "out", place, 8, make=make)
    (parent,), runs = logged(place)
    assert (parent.info.status, parent.data.tags["best"]) == ("FINISHED", str(study.best))
    assert parent.data.params["max_bytes"] == "60000"
    assert {trial.state for trial in study.trials} >= {"complete", "failed"}
    assert [int(run.data.tags[TRIAL]) for run in runs] == [trial.number for trial in study.trials]
    for trial, run in zip(study.trials, runs, strict=True):
        tags, metrics = run.data.tags, run.data.metrics
        assert tags[PARENT] == parent.info.run_id
        assert (tags["state"], tags["origin"], tags.get("sha256", "")) == (trial.state, trial.origin, trial.sha256)
        assert run.data.params == {name: str(value) for name, value in trial.point.items()}
        assert [tags[name] == "true" for name in ("front", "best")] == [trial.front, trial.number == study.best]
        assert run.info.status == ("FAILED" if trial.state == "failed" else "FINISHED")
        values = [trial.drop, trial.top1, trial.bytes, trial.gzip_bytes, trial.latency_s, trial.seconds]
        names = ["drop", "top1", "bytes", "gzip_bytes", "latency_s", "seconds"]
        assert [metrics.get(name) for name in names] == pytest.approx(values)


def test_a_search_that_was_killed_or_gets_more_trials_goes_on_in_its_run_and_logs_nothing_twice(place, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "out", place, 6, stop=6)
    (half,), runs = logged(place)
    assert half.info.status == "RUNNING"
    assert 0 < len(runs) < 7
    with client_of(place) as client:
        client.update_run(runs[-1].info.run_id, "RUNNING")  # as a kill between its parts leaves it
    search(tmp_path / "out", place, 6)
    study = search(tmp_path / "out", place, 8)
    (parent,), runs = logged(place)
    assert (parent.info.run_id, parent.info.status) == (half.info.run_id, "FINISHED")
    assert [int(run.data.tags[TRIAL]) for run in runs] == list(range(9))
    assert [run.info.status for run in runs] == ["FINISHED"] * 9
    assert [run.data.tags["best"] for run in runs].count("true") == 1
    assert [run.data.tags["front"] == "true" for run in runs] == [trial.front for trial in study.trials]
    search(tmp_path / "other", place, 2)
    parents, runs = logged(place)
    assert (len(parents), len(runs)) == (2, 12)


def test_a_server_that_is_gone_is_one_warning_and_what_it_missed_is_written_later(place, tmp_path):
    told = []
    assert search(tmp_path / "out", AWAY, 3, told=told).complete
    (warning,) = (event for event in told if event.warning)
    assert "MLflow at http://127.0.0.1:1 does not answer; the search goes on" in warning.note
    assert "secret" not in warning.note
    search(tmp_path / "out", place, 3)
    assert len(logged(place)[1]) == 4


def test_a_folder_that_is_none_is_a_warning_too(empty, tmp_path):
    told = []
    (tmp_path / "file").touch()
    assert search(tmp_path / "out", tmp_path / "file" / "runs", 1, told=told).complete
    assert sum(event.warning for event in told) == 1


def test_places_are_databases_or_servers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert place_of("runs") == (f"sqlite:///{tmp_path}/runs/{DATABASE}", tmp_path / "runs")
    assert place_of("https://host/x") == ("https://host/x", None)
    with pytest.raises(UsageError, match="no place for MLflow"):
        place_of("ftp://host")


def test_without_mlflow_the_extra_is_named(tmp_path, monkeypatch):
    whole = builtins.__import__

    def without(name, *more):
        if name.startswith("mlflow"):
            raise ImportError("No module named 'mlflow'")
        return whole(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingError, match=r"pip install 'tflite-edge\[search,mlflow\]'") as found:
        Logbook(str(tmp_path), print)
    assert found.value.exit_code == 4
