"""The search as a whole, over outcomes by formula: what is made how often, kept, stopped, taken up, refused."""

import json
import math
import shutil
from contextlib import closing
from dataclasses import replace

import pytest

from tests.search.made import BASE, FULL, numbers, outcome
from tflite_edge.cli import show_search
from tflite_edge.records.errors import EdgeError, MissingError, ModelError, RecipeError, TargetError
from tflite_edge.records.plain import from_plain
from tflite_edge.records.recipe import DataSource, ModelSource, Recipe, read_recipe, with_changes
from tflite_edge.records.search import Budget, Study
from tflite_edge.search import engine
from tflite_edge.search.book import Book
from tflite_edge.search.engine import Plan, Search
from tflite_edge.search.meter import Reading
from tflite_edge.search.pool import Here
from tflite_edge.search.space import space_of
from tflite_edge.search.trial import Outcome


class Made:
    """Makes outcomes and remembers the recipes. stop: after so many, as Ctrl-C does."""

    def __init__(self, make=outcome, stop=math.inf):
        self.make, self.stop, self.recipes = make, stop, []

    def __call__(self, task):
        if len(self.recipes) >= self.stop:
            raise KeyboardInterrupt
        self.recipes.append(task.recipe)
        return self.make(task.recipe)


def search(folder, budget, made=None, *, recipe=BASE, told=None, meter=None, open_pool=Here, **more):
    made = made or Made()
    plan = Plan(budget, folder, **{"trials": 20, **more})
    space = space_of(recipe, budget, images=True, width=1.0, smallest=32)
    book = Book(folder, space, budget, {"a": 1}, name="n", seed=plan.seed, first=2 if recipe.optimize else 1)
    listen = told.append if told is not None else lambda event: None
    with closing(open_pool(made)) as pool:
        return Search(plan, space, book, pool=pool, meter=meter, listen=listen).run()


def written(folder):
    return from_plain(Study, json.loads((folder / "search.json").read_text()))


def test_a_search_finds_what_keeps_the_budget_and_writes_the_recipe_that_makes_it(tmp_path):
    budget = Budget(max_bytes=40_000, max_drop=3.0)
    study = search(tmp_path, budget)
    assert len(study.trials) == 21
    assert (study.trials[0].origin, study.reference_top1) == ("reference", 0.95)
    best = study.trial(study.best)
    assert best.feasible
    assert best.front
    assert best.bytes <= 40_000
    assert best.drop <= 3.0
    assert written(tmp_path).trials == study.trials
    recipe = read_recipe(str(tmp_path / "best.toml"))
    assert (tmp_path / best.file).read_text() == f"{numbers(recipe)[0]}-{numbers(recipe)[1]}"
    assert "the most accurate" in study.why
    assert study.cache_hits["found"] == 2 * study.cache_hits["made"] > 0


def test_only_the_front_the_reference_and_the_best_have_a_folder(tmp_path):
    study = search(tmp_path, Budget(max_bytes=60_000))
    kept = {int(path.name) for path in (tmp_path / "trials").iterdir()}
    assert kept == {0, study.best, *(trial.number for trial in study.front)}
    assert {trial.number for trial in study.trials if trial.file} == kept
    assert all((tmp_path / trial.file).is_file() for trial in study.trials if trial.file)


def test_hopeless_trials_get_the_short_fine_tuning_only(tmp_path):
    made = Made()
    study = search(tmp_path, Budget(max_bytes=60_000, max_drop=1.0), made)
    stopped = [trial for trial in study.trials if trial.state == "pruned"]
    assert stopped
    assert all(trial.epochs == 2 for trial in stopped)
    longer = [trial for trial in study.trials if trial.epochs == 8]
    assert longer
    assert len(made.recipes) == 1 + len(study.trials) + len(longer), "the probe, each trial, the longer ones again"
    assert sum(recipe.tune.epochs == 8 and bool(recipe.steps) for recipe in made.recipes[1:]) == len(longer)


def test_what_no_recipe_can_keep_is_said_after_the_probe(tmp_path):
    made = Made()
    study = search(tmp_path, Budget(max_bytes=1000), made)
    assert len(made.recipes) == 1
    assert made.recipes[0].model.weights == "random"
    assert all(step.epochs == 0 for step in made.recipes[0].steps)
    smallest = int(FULL * 0.5 * 0.25)
    assert (study.best, study.nearest) == (None, 0)
    assert study.why == f"no recipe of the space keeps the budget: its smallest has bytes {smallest:,} above 1,000"
    assert search(tmp_path, Budget(max_bytes=1000), made).why == study.why
    assert len(made.recipes) == 1


def test_no_accuracy_is_enough_and_the_nearest_is_named(tmp_path):
    study = search(tmp_path, Budget(max_bytes=13_000, max_drop=0.1), trials=12)
    assert study.best is None
    assert not (tmp_path / "best.toml").exists()
    near = study.trial(study.nearest)
    assert f"trial {near.number} comes nearest" in study.why
    assert near.file


def test_stopped_and_called_again_it_goes_on(tmp_path):
    budget = Budget(max_bytes=60_000, max_drop=2.0)
    first = Made(stop=9)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, budget, first)
    half = written(tmp_path)
    assert not half.complete
    second = Made()
    study = search(tmp_path, budget, second)
    assert [trial.number for trial in study.trials] == list(range(21))
    assert study.trials[: len(half.trials)] == [*(trial for trial in study.trials if trial.number < len(half.trials))]
    assert {trial.number: trial.sha256 for trial in half.trials}.items() <= {
        trial.number: trial.sha256 for trial in study.trials
    }.items()
    done = len([trial for trial in half.trials if trial.epochs != 8])
    assert done <= len(first.recipes)
    assert all(recipe.model.weights != "random" for recipe in second.recipes), "one probe is enough"


def test_more_trials_later(tmp_path):
    budget = Budget(max_bytes=60_000)
    assert len(search(tmp_path, budget, trials=3).trials) == 4
    assert len(search(tmp_path, budget, trials=5).trials) == 6


def test_a_recipe_with_steps_of_its_own_is_tried_as_it_is(tmp_path):
    recipe = with_changes(BASE, {"optimize": [{"step": "prune", "pattern": "2:4"}, {"step": "qat"}]})
    made = Made()
    study = search(tmp_path, Budget(), made, recipe=recipe, trials=3)
    assert [trial.origin for trial in study.trials] == ["reference", "recipe", "plain int8", "trained int8"]
    assert study.trials[1].changes == {"convert.quantize": ["int8"]}
    assert next(recipe for recipe in made.recipes if recipe.optimize).optimize[0]["step"] == "prune"


def test_a_failed_trial_is_recorded_with_its_reason_and_the_search_goes_on(tmp_path):
    def make(recipe):
        if recipe.model.alpha == 0.5:  # a preset has it: what the sampler asks for differs between processors
            return Outcome(1.0, TargetError("the trial's process was killed by SIGSEGV", evidence="last words"))
        return outcome(recipe)

    study = search(tmp_path, Budget(), Made(make))
    failed = [trial for trial in study.trials if trial.state == "failed"]
    assert failed
    assert all("killed by SIGSEGV" in trial.why for trial in failed)
    assert not any(trial.front or trial.feasible for trial in failed)


def test_when_everything_fails_the_search_says_so_and_stops(tmp_path):
    def make(recipe):
        return outcome(recipe) if recipe.convert.quantize == ("float32",) else Outcome(1.0, ModelError("no such layer"))

    with pytest.raises(EdgeError, match="all of the first 5 trials failed") as failed:
        search(tmp_path, Budget(), Made(make))
    assert failed.value.exit_code == 3
    (tmp_path / "other").mkdir()
    for error, code in ((ModelError("no such layer"), 3), (TargetError("it crashed"), 5)):
        with pytest.raises(EdgeError, match="the float model cannot be made") as failed:
            search(tmp_path / "other", Budget(), Made(lambda recipe, error=error: Outcome(1.0, error)))
        assert failed.value.exit_code == code


def test_a_full_disk_ends_the_search_and_it_goes_on_later(tmp_path):
    def full(recipe):
        return Outcome(1.0, MissingError("no space left")) if recipe.steps else outcome(recipe)

    with pytest.raises(MissingError, match="no space left"):
        search(tmp_path, Budget(), Made(full), trials=4)
    study = search(tmp_path, Budget(), trials=4)
    assert [trial.state for trial in study.trials].count("failed") == 0
    assert len(study.trials) == 5


def test_longer_training_that_makes_it_worse_is_not_taken(tmp_path):
    def make(recipe):
        return outcome(with_changes(recipe, {"tune.epochs": 2 if recipe.tune.epochs == 8 else 8}))

    study = search(tmp_path, Budget(), Made(make))
    worse = [trial for trial in study.trials if "epochs were worse" in trial.why]
    assert worse
    assert all(trial.epochs == 2 for trial in worse)


@pytest.mark.parametrize("change", [{"score": None}, {"file": ""}, None])
def test_a_trial_without_a_file_or_a_score_failed(tmp_path, change):
    def make(recipe):
        found = outcome(recipe)
        if not recipe.optimize:
            return found
        manifest = json.loads(found.files["manifest.json"])
        manifest["models"] = [manifest["models"][0] | change] if change else []
        return replace(found, files={**found.files, "manifest.json": json.dumps(manifest).encode()})

    study = search(tmp_path, Budget(latency_on="ssh://pi"), Made(make), trials=3, meter=Board({1: 0.1, 2: 0.1, 4: 0.1}))
    failed = [trial for trial in study.trials if trial.state == "failed"]
    assert {trial.why for trial in failed} == {"no file was made and scored"}
    assert any("1 failed (" in part or "2 failed (" in part for part in show_search.study(study, tmp_path)[1:])


def test_what_is_known_of_the_data_is_told(tmp_path):
    def make(recipe):
        found = outcome(recipe)
        manifest = json.loads(found.files["manifest.json"])
        manifest["source"] |= {"why": {"normalize": "none of them fits well: name it with --normalize"}, "notes": ["n"]}
        return replace(found, files={**found.files, "manifest.json": json.dumps(manifest).encode()})

    parts = show_search.study(search(tmp_path, Budget(), Made(make), trials=1), tmp_path)
    assert "the float model: normalize: none of them fits well: name it with --normalize; n" in parts


def test_each_trial_that_has_ended_is_a_line(tmp_path):
    told = []
    study = search(tmp_path, Budget(max_bytes=60_000), trials=6, told=told)
    lines = [event.note for event in told if event.step == "trial"]
    assert sorted(int(line.partition(":")[0]) for line in lines) == list(range(7))
    plain = next(trial for trial in study.trials if trial.origin == "plain int8")
    assert f"{plain.number}: int8, 97.7 KiB, top-1 95.00 %, bytes 100,000 above 60,000, 1 s" in lines
    assert all(event.total == 0 for event in told if event.step == "trial")


def test_what_is_to_be_typed_next_is_quoted(tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    parts = show_search.study(search(folder, Budget(), trials=2), folder)
    assert any(f"tflite-edge convert '{folder}/best.toml'" in part for part in parts[1:])


@pytest.mark.parametrize("damage", ["gone", "other bytes", "empty manifest", "no models", "best.toml"])
def test_a_damaged_folder_does_not_stop_the_study(tmp_path, damage):
    budget = Budget(max_bytes=60_000)
    before = search(tmp_path, budget, trials=3)
    trial = tmp_path / "trials" / f"{before.best:03d}"
    text = (tmp_path / "best.toml").read_bytes()
    if damage == "gone":
        shutil.rmtree(tmp_path / "trials")
    elif damage == "best.toml":
        (tmp_path / "best.toml").write_bytes(b"\xff")
    elif damage == "other bytes":
        (trial / "model.tflite").write_bytes(b"x")
    else:
        (trial / "manifest.json").write_text("" if damage == "empty manifest" else '{"models": []}')
    study = search(tmp_path, budget, trials=3)
    assert study.best == before.best
    best = study.trial(study.best)
    assert bool(best.file) == (damage == "best.toml")
    assert ("damaged or gone" in best.why) == (damage != "best.toml")
    assert read_recipe(str(tmp_path / "best.toml")).model == with_changes(BASE, best.changes).model
    if damage == "best.toml":
        assert (tmp_path / "best.toml").read_bytes() == text


def test_longer_training_that_breaks_the_budget_is_not_taken(tmp_path):
    def make(recipe):
        found = outcome(recipe)
        if recipe.tune.epochs < 8 or not recipe.optimize:
            return found
        manifest = json.loads(found.files["manifest.json"])
        manifest["models"][0]["gzip_bytes"] = int(1.2 * manifest["models"][0]["gzip_bytes"])
        return replace(found, files={**found.files, "manifest.json": json.dumps(manifest).encode()})

    study = search(tmp_path, Budget(max_bytes=43_000, compressed=True), Made(make), trials=14)
    kept = [trial for trial in study.trials if "epochs do not keep the budget: bytes" in trial.why]
    assert kept
    assert all(trial.feasible and trial.epochs == 2 for trial in kept)


def test_drops_are_against_one_model_and_unpaired_where_the_width_differs(tmp_path):
    study = search(tmp_path, Budget(), trials=12)
    narrow = next(trial for trial in study.trials if trial.point.get("alpha") == 0.5)
    assert narrow.drop == pytest.approx(100 * (0.95 - narrow.top1))
    assert narrow.drop_ci == pytest.approx(196 * ((0.95 * 0.05 + narrow.top1 * (1 - narrow.top1)) / 1000) ** 0.5)
    whole = next(trial for trial in study.trials if trial.point.get("alpha") == 1.0)
    assert whole.drop_ci == 0.5


def test_paths_are_written_from_where_they_lie_also_the_teacher_s(tmp_path):
    recipe = Recipe(ModelSource(file=str(tmp_path / "my.h5")), DataSource(str(tmp_path / "photos")))
    (tmp_path / "my.h5").touch()
    out = tmp_path / "out"
    out.mkdir()

    def make(recipe):
        return outcome(with_changes(recipe, {"model.alpha": 1.0}))

    study = search(out, Budget(max_bytes=60_000, max_drop=90.0), Made(make), recipe=recipe, trials=12)
    texts = (out / "search.json").read_text(), (out / "best.toml").read_text()
    assert not any(str(tmp_path) in text for text in texts)
    assert "../my.h5" in texts[1]
    taught = [trial for trial in written(out).trials if trial.point.get("distill")]
    assert taught
    assert all(trial.changes["optimize"][0]["teacher"] == "./../my.h5" for trial in taught)
    made = with_changes(recipe, study.trial(study.best).changes)
    assert replace(read_recipe(str(out / "best.toml")), gates=made.gates) == made


def test_time_that_is_over_begins_no_trial(tmp_path):
    told = []
    study = search(tmp_path, Budget(), time_s=0.0, told=told)
    assert [trial.origin for trial in study.trials] == ["reference"]
    assert told[-1].total == 20


def test_the_listener_hears_best_front_and_time_left(tmp_path):
    told = []
    search(tmp_path, Budget(max_bytes=60_000), trials=4, told=told)
    assert [event.done for event in told if event.step == "search"][-1] == 4
    assert "KiB, front" in told[-1].note
    assert "s left" in told[-1].note


class Board:
    """A meter that reads from a table: threads -> seconds."""

    def __init__(self, seconds):
        self.seconds = seconds

    def submit(self, model, threads, done):
        done(Reading(self.seconds[threads], "measured", "ssh://pi"))


def test_the_probe_is_as_fast_as_the_best_number_of_threads(tmp_path):
    budget = Budget(max_latency_s=0.003, latency_on="ssh://pi")
    study = search(tmp_path, budget, meter=Board({1: 0.004, 2: 0.0025, 4: 0.0015}), trials=6)
    assert study.trial(study.best).latency_s <= 0.003
    (tmp_path / "slow").mkdir()
    study = search(tmp_path / "slow", budget, meter=Board({1: 0.009, 2: 0.007, 4: 0.006}), trials=6)
    assert study.best is None
    assert "latency ms 6 above 3" in study.why


@pytest.mark.parametrize("error", [ModelError("no layer whose channels can be removed"), TargetError("crashed")])
def test_a_probe_that_cannot_be_made_tells_nothing_and_the_others_are_tried(tmp_path, error):
    def make(recipe):
        channels = any(step["step"] == "channels" for step in recipe.optimize)
        return Outcome(1.0, error) if channels else outcome(recipe)

    told = []
    study = search(tmp_path, Budget(max_bytes=120_000), Made(make), trials=6, told=told)
    assert study.best is not None
    assert any(error.what in event.note for event in told)


def test_a_point_that_is_no_recipe_is_one_failed_trial(tmp_path, monkeypatch):
    made = Search._recipe

    def refuse(self, changes):
        if changes.get("model.alpha") == 0.5:  # of a preset
            raise RecipeError("these do not go together")
        return made(self, changes)

    monkeypatch.setattr(Search, "_recipe", refuse)
    study = search(tmp_path, Budget())
    assert len(study.trials) == 21
    failed = [trial for trial in study.trials if trial.state == "failed"]
    assert {trial.why for trial in failed} == {"these do not go together"}


def test_workers_that_are_all_gone_are_waited_for_but_not_for_ever(tmp_path, monkeypatch):
    class Lost(Here):
        size = 0

        def submit(self, task, done):
            """Nobody takes it."""

    monkeypatch.setattr(engine, "BEAT_S", 0.01)
    monkeypatch.setattr(engine, "PATIENCE_S", 0.03)
    told = []
    with pytest.raises(TargetError, match="all workers of the Dask scheduler are gone"):
        search(tmp_path, Budget(), told=told, open_pool=Lost)
    assert [event.warning for event in told].count(True) == 1
