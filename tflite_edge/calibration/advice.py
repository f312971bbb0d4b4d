"""What is wrong with a representative dataset, what mends it, and which of that is measurably better."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tflite_edge.calibration.effect import Trials, effect
from tflite_edge.calibration.facts import facts_of, ranges_of
from tflite_edge.records import calibration as doctor
from tflite_edge.records.calibration import Calibration, CalibrationFacts, Effect
from tflite_edge.records.conversion import STATIC, Conversion, for_runtime
from tflite_edge.records.errors import UsageError
from tflite_edge.records.event import Event, Listener, silent
from tflite_edge.records.preprocess import NORMALIZATIONS
from tflite_edge.records.recipe import Recipe
from tflite_edge.targets import open_machine
from tflite_edge.targets.machine import Machine

if TYPE_CHECKING:
    from tflite_edge.tf.convert.variants import Variants
    from tflite_edge.tf.data.dataset import Split
    from tflite_edge.tf.source import Source

Array = NDArray[Any]

MOST_HELD = 500
MOST_REDRAWN = 500


@dataclass(frozen=True)
class Advice:
    """fixes: kind of fix -> the source with another representative dataset, or another preprocessing.

    better: (kind, source) of the one that did best, None where none did better than what there is.
    """

    found: Calibration
    fixes: dict[str, Source]
    better: tuple[str, Source] | None


def diagnose(recipe: Recipe, *, listen: Listener = silent) -> Calibration:
    """What `advise` finds for the model and the data of a recipe, before any optimisation. Raises EdgeError.

    The recipe's first static mode is the one that is measured.
    """
    from tflite_edge.tf.convert.variants import Variants
    from tflite_edge.tf.source import open_model, refuse_unknown

    refuse_unknown(recipe)
    machine = open_machine(recipe.target.on)
    machine.refuse(recipe.target.harness_runtime)
    conversion = next(one for one in recipe.convert.conversions() if one.mode in STATIC)
    source = open_model(recipe, listen)
    with Variants(source) as variants:
        found = advise(source, conversion, variants, machine=machine, listen=listen).found
    notes = [f"{key}: {why}" for key, why in source.why.items()]
    return replace(found, notes=[*notes, *dict.fromkeys([*source.data.notes, *source.data.pool.notes])])


def advise(
    source: Source,
    conversion: Conversion,
    variants: Variants,
    *,
    machine: Machine,
    also: str = "",
    listen: Listener = silent,
) -> Advice:
    """What is wrong with the source's representative dataset, and the measured effect of what mends it.

    conversion: one of the modes in STATIC; the file is made with the set as it is and with each fix, and scored on the
    machine, on training samples that are in none of the sets. also: the kind of a fix that is wanted whether or not its
    problem shows here. Raises UsageError, and what conversions and runs raise.
    """
    if conversion.mode not in STATIC:
        raise UsageError(f"{conversion.mode} is not calibrated", do="one of " + ", ".join(STATIC))
    conversion, _ = for_runtime(conversion, source.recipe.target.runtime_name)
    held, rest = _apart(source, machine)
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        listen(Event("ranges", f"{len(source.data.calibration)} representative, {len(held)} other training samples"))
        layers, reached, clipped = ranges_of(source, variants, held, Path(work))
        facts = facts_of(source, held, layers, reached, clipped)
        found = doctor.problems(facts)
        fixes = _fixes(source, rest, facts, {problem.kind for problem in found} | ({also} if also else set()))
        trials = Trials(conversion, variants, held, machine, Path(work))
        listen(Event("measure", "as it is", 0, len(fixes) + 1))
        before = trials.of(source)
        effects = []
        for number, (kind, (what, fixed)) in enumerate(fixes.items(), 1):
            listen(Event("measure", what, number, len(fixes) + 1))
            effects.append(effect(kind, what, len(fixed.data.calibration), before, trials.of(fixed)))
        listen(Event("measure", "done", len(fixes) + 1, len(fixes) + 1))
    better = _best(effects)
    calibration = Calibration(
        conversion.mode, conversion.quantizer, trials.runtime, source.data.calibration.pool.name, facts, found,
        before.measured, effects, better, [],
    )  # fmt: skip
    sources = {kind: fixed for kind, (_, fixed) in fixes.items()}
    return Advice(calibration, sources, (better, sources[better]) if better else None)


def _best(effects: list[Effect]) -> str:
    """The kind of the better effect with the least error; fewer samples are no cure."""
    good = [effect for effect in effects if effect.better and effect.kind != "fewer"]
    return min(good, key=lambda one: one.after.error or 0.0).kind if good else ""


def _apart(source: Source, machine: Machine) -> tuple[Split, Array]:
    """(held: training samples to measure on, int64: the others, from which a set may be drawn anew). Class by class.

    However few are measured on, the same are set aside for it, so that the same set is drawn anew.
    """
    from tflite_edge.tf.data.dataset import Split

    data = source.data
    train = Split(data.pool, data.train.wanted, data.preprocess)
    aside = train.wanted[_spread(train, max(1, min(MOST_HELD, len(train.wanted) // 2)))]
    held = Split(data.pool, aside, data.preprocess)
    most = min(source.recipe.target.samples or machine.samples or MOST_HELD, len(aside))
    own = data.calibration.wanted if data.calibration.is_of(data.pool) else aside[:0]
    rest = np.setdiff1d(np.concatenate([train.wanted, own]), aside)
    return replace(held, wanted=aside[_spread(held, most)]), rest


def _spread(split: Split, most: int) -> Array:
    """As Split.spread, by the labels alone: nothing is decoded."""
    y = split.pool.y
    order = np.arange(len(split.wanted))
    if y is not None and y.ndim == 1 and np.issubdtype(y.dtype, np.integer):
        order = np.argsort(y[split.wanted], kind="stable")
    chosen: Array = np.sort(order[np.linspace(0, len(order) - 1, most).round().astype(int)])
    return chosen


def _redrawn(source: Source, rest: Array, count: int) -> Split:
    """`count` of the samples `rest`, from each class in turn."""
    from tflite_edge.tf.data.dataset import Split, round_robin

    y = source.data.pool.y
    rest = np.random.default_rng(source.recipe.data.seed).permutation(rest)
    groups = [rest]
    if y is not None and np.issubdtype(y.dtype, np.integer):
        groups = [rest[y[rest] == label] for label in np.unique(y[rest])]
    return Split(source.data.pool, round_robin(groups, count), source.data.preprocess)


def _fixes(source: Source, rest: Array, facts: CalibrationFacts, kinds: set[str]) -> dict[str, tuple[str, Source]]:
    """kind -> (what it is, the source with it), of the problems that there are."""
    from tflite_edge.tf.data.dataset import MIN_CALIBRATION, Split, split

    data, recipe = source.data, source.recipe
    own, fixes = data.calibration, {}
    if "normalize" in kinds and facts.doubt:
        mean, std = NORMALIZATIONS[facts.doubt.better]
        fed = replace(data.preprocess, mean=mean, std=std)
        fixes["normalize"] = (
            f"normalised {facts.doubt.better}",
            replace(source, data=split(data.pool, recipe.data, fed)),
        )
    if "redraw" in kinds:
        drawn = _redrawn(source, rest, max(recipe.data.calibration_samples, MIN_CALIBRATION))
        fixes["redraw"] = "drawn anew from the training data", source.calibrated_with(drawn)
    if "more" in kinds:
        drawn = _redrawn(source, rest, min(MOST_REDRAWN, max(recipe.data.calibration_samples, 4 * len(own))))
        if len(drawn) > len(own):
            fixes["more"] = f"{len(drawn)} samples of the training data", source.calibrated_with(drawn)
    for kind, what, dropped in (
        ("outliers", "without the outliers", {one.sample for one in facts.outliers}),
        ("clean", "without constant, repeated ones", {*facts.constant, *facts.duplicates}),
    ):
        kept = np.array([index for number, index in enumerate(own.indices) if number not in dropped])
        if kind in kinds and len(kept) >= MIN_CALIBRATION:
            fixes[kind] = what, source.calibrated_with(Split(own.pool, kept, own.preprocess))
    if not kinds and facts.enough is not None:
        fewer = Split(own.pool, own.indices[: facts.enough], own.preprocess)
        fixes["fewer"] = "the first of them alone", source.calibrated_with(fewer)
    return fixes
