"""A search from its beginning: what is asked is made ready, the study opened or taken up, and run."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from tflite_edge import __version__
from tflite_edge.artifact import key_of, sha256, versions
from tflite_edge.records.errors import MissingError, UsageError
from tflite_edge.records.event import Event, Listener, silent
from tflite_edge.records.plain import to_plain
from tflite_edge.records.recipe import Recipe
from tflite_edge.records.search import Study
from tflite_edge.search.book import Book, Identity, locked
from tflite_edge.search.engine import Plan, Search
from tflite_edge.search.logbook import Logbook
from tflite_edge.search.meter import Meter
from tflite_edge.search.pool import Here, Pool
from tflite_edge.search.space import Space, space_of

# The packages whose versions results depend on, those of `versions` and:
ALSO_DECIDING = ("tensorflow-model-optimization",)
STUDY = "search"  # what a study is called: its folder is whose it is, and its identity what it is of


def search(
    recipe: Recipe,
    plan: Plan,
    *,
    open_pool: Callable[[], Pool] = Here,
    devices: Sequence[str] = (),
    listen: Listener = silent,
) -> Study:
    """Search for recipes like `recipe` that keep the plan's budget, in `plan.out`, or go on with what was begun there.

    open_pool: where trials run. devices: boards, ssh://..., that are alike and measure what `plan.budget` names.
    Raises EdgeError; what has ended is kept then.
    """
    _need_optuna()
    _refuse_busy_board(recipe)
    logbook = Logbook(plan.mlflow, listen) if plan.mlflow else None
    target = recipe.target
    meter = None
    if plan.budget.latency_on:
        meter = Meter(
            plan.budget, devices, target.harness_runtime, target.deadline_s
        )  # refused before anything is made
    name = study_name(plan)
    try:
        with locked(plan.out, plan.storage, name):
            listen(Event("load", recipe.data.source))
            space, data = prepared(recipe, plan)
            book = Book(
                plan.out,
                space,
                plan.budget,
                identity(space, plan, data),
                name=name,
                storage=plan.storage,
                sampler=plan.sampler,
                seed=plan.seed,
                first=2 if space.recipe.optimize else 1,
            )
            with closing(open_pool()) as pool:
                return Search(plan, space, book, pool=pool, meter=meter, listen=listen, logbook=logbook).run()
    finally:
        if meter is not None:
            meter.close()


def prepared(recipe: Recipe, plan: Plan) -> tuple[Space, str]:
    """(the space around the recipe, whose paths are absolute and whose model is resolved; SHA-256 of the data).

    Raises EdgeError for what cannot be made at all, before anything is trained.
    """
    from tflite_edge.targets import open_machine
    from tflite_edge.tf.data.sources import open_source
    from tflite_edge.tf.models import zoo
    from tflite_edge.tf.source import refuse_unknown

    recipe = recipe.with_paths(os.path.abspath)
    refuse_unknown(recipe)
    open_machine(recipe.target.on).refuse(recipe.target.harness_runtime)
    pool = open_source(recipe.data.source)
    # What the search makes of the recipe is its own: no head to learn with, no ladder of repairs beside it.
    recipe = replace(recipe, repair=None, convert=replace(recipe.convert, trainable=False, repair=False))
    if not recipe.model.name:
        return space_of(recipe, plan.budget, images=pool.are_images), pool.sha256
    entry = zoo.entry(recipe.model.name)
    recipe = replace(recipe, model=zoo.resolve(recipe.model, pool.channels))
    return (
        space_of(recipe, plan.budget, images=pool.are_images, width=entry.alpha, smallest=entry.smallest),
        pool.sha256,
    )


def identity(space: Space, plan: Plan, data: str) -> Identity:
    """What a study's results depend on, flat: a study that was begun with another one is not gone on with."""
    flat: Identity = {}
    for table, values in to_plain(space.recipe).items():
        flat |= (
            {f"{table}.{key}": value for key, value in values.items()} if isinstance(values, dict) else {table: values}
        )
    flat |= {f"budget.{key}": value for key, value in to_plain(plan.budget).items()}
    flat |= {f"space.{key}": value for key, value in space.words.items()}
    flat |= {"data": data, "tflite-edge": __version__, **versions()}
    if space.recipe.convert.quantizer != "litert":
        flat.pop("litert-quantizer", None)  # may come and go: it makes nothing here
    return flat | {name: _version(name) for name in ALSO_DECIDING} | contents(space.recipe)


def contents(recipe: Recipe) -> Identity:
    """SHA-256 of what the recipe names and a study may not find changed: files of models, the representative data."""
    from tflite_edge.tf.data.sources import open_source

    teachers = [step["teacher"] for step in recipe.optimize if Path(step.get("teacher", "")).is_absolute()]
    found: Identity = {f"teacher {path}": sha256(Path(path)) for path in teachers}
    if recipe.model.file:
        found["model.file, its content"] = sha256(Path(recipe.model.file))
    if recipe.data.representative:
        found["data.representative, its content"] = open_source(recipe.data.representative).sha256
    return found


def study_name(plan: Plan) -> str:
    """Of the study in its storage: a journal has one study; a database many, each of one folder."""
    return f"{STUDY} {key_of(str(plan.out.resolve()))[:16]}" if plan.storage else STUDY


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _need_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise MissingError(
            "a search needs Optuna", evidence=str(error), do="pip install 'tflite-edge[search]'"
        ) from error


def _refuse_busy_board(recipe: Recipe) -> None:
    if recipe.target.on.startswith("ssh:"):
        raise UsageError(
            f"a search cannot have all its trials answer on {recipe.target.on}",
            evidence="accuracy is scored where trials run, and a board measures one trial at a time",
            do=f"--devices {recipe.target.on}, which measures latency there",
        )
