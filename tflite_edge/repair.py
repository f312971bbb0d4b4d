"""The repair ladder: an int8 file that loses too much is made again, rung by rung, until one loses little enough.

Candidates of a rung are compared on held-out samples of the training split; only the best of each meets the test
samples, as every file does, and there it is only asked whether it may stay. So the test samples choose among seven
files at most, and nothing else is tuned on them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path

from tflite_edge import flatbuffer
from tflite_edge.records.errors import DataError, MissingError, ModelError, RecipeError, TargetError
from tflite_edge.records.event import Event
from tflite_edge.records.job import ScoreResult
from tflite_edge.records.manifest import Variant
from tflite_edge.records.recipe import Recipe
from tflite_edge.records.repair import Ladder, Repair, Rung
from tflite_edge.records.verdict import FAILED, Finding, judge, loss_of
from tflite_edge.workshop import Workshop

QAT_EPOCHS = 2
SUSPECTS, MOST_SPARED = 6, 4  # operators that are measured alone, and that may stay in float
GAIN = 0.98  # the error that is left must be this share of what it was, or less: nearer by chance is no look worth
SPARE_GAIN = 0.9  # the error that is left must be this share of what it was, or less, for one more operator in float
PLAIN = "plain"
NO_ERROR = "no finite error on the held-out samples: the answers are not finite, or the float model's are all the same"
OTHERS_FILE = "repaired, so by the converter and not by {}, which takes no ranges and no operators to spare"
REFUSALS = (ModelError, DataError, MissingError, RecipeError, TargetError)  # what ends a candidate and not the ladder


def repaired(made: Path, variant: Variant, workshop: Workshop) -> tuple[Path, Variant]:
    """(the file that is kept, what is known of it): the given one, unless it is int8 and loses too much.

    With [repair] in the recipe the file is made as it says, and there is no ladder. Raises ModelError where it cannot.
    """
    conversion, recipe = workshop.conversion, workshop.recipe
    if conversion.mode != "int8" or conversion.original or conversion.trainable:
        return made, variant
    if recipe.repair is not None:
        if recipe.repair.is_plain:
            return made, variant
        try:
            made = workshop.make(recipe.repair)
        except (DataError, MissingError, RecipeError) as error:  # of this file alone: the run goes on
            raise ModelError(f"[repair]: {error.what}", evidence=error.evidence, do=error.do) from error
        return made, replace(workshop.prove(recipe.repair, made), why=variant.why)
    if not recipe.convert.repair or not inaccuracies(variant, recipe):
        return made, variant
    return _Ladder(workshop).climb(made, variant)


def inaccuracies(variant: Variant, recipe: Recipe) -> tuple[Finding, ...]:
    """The gates of accuracy that the file misses on the target's runtime."""
    assert variant.score is not None  # proven files have one
    return judge(variant.mode, variant.score, recipe.gates)


@dataclass(eq=False)
class _Ladder:
    """On the way up. best: the settings that answer nearest to the float model on the held-out samples, at `error`.

    judged: (name, settings, file, variant) of each rung that met the test samples, the plain file first.
    """

    workshop: Workshop
    best: Repair = field(default_factory=Repair)
    error: float = float("inf")
    judged: list[tuple[str, Repair, Path, Variant]] = field(default_factory=list)
    rungs: list[Rung] = field(default_factory=list)

    def climb(self, made: Path, variant: Variant) -> tuple[Path, Variant]:
        """From the plain file up, as far as it takes."""
        asked = self.workshop.conversion.quantizer
        first = PLAIN if asked == "converter" else asked
        self.judged.append((first, Repair(), made, variant))
        self.error, problem = self.error_of(Repair())
        error, why = (self.error, "") if isfinite(self.error) else (None, problem or NO_ERROR)
        self.rungs.append(self._measured(Rung(first, Repair(), 0.0, 1, error, why=why), variant))
        for number, (name, rung) in enumerate(_RUNGS):
            self.workshop.listen(Event("repair", name, number, len(_RUNGS)))
            began = time.perf_counter()
            taken, judged = self._take(name, rung)
            taken = self._measured(taken, judged)
            self.rungs.append(replace(taken, seconds=round(time.perf_counter() - began, 3)))
            if judged and not self._missed(judged):
                break
        self.workshop.listen(Event("repair", "done", len(_RUNGS), len(_RUNGS)))
        kept, known = self._result()
        return kept, replace(known, why=variant.why)

    def _missed(self, variant: Variant) -> bool:
        return self._broken(variant) or bool(self._inaccurate(variant))

    def _broken(self, variant: Variant) -> bool:
        """Does it break a promise that is none of accuracy, and that the plain file keeps?"""
        plain, new = (len(one.findings) - len(self._inaccurate(one)) for one in (self.judged[0][3], variant))
        return variant.verdict == FAILED or new > plain

    def _loss(self, variant: Variant) -> float:
        assert variant.score is not None
        return float("inf") if self._broken(variant) else loss_of(variant.score)[0]

    def _inaccurate(self, variant: Variant) -> tuple[Finding, ...]:
        return inaccuracies(variant, self.workshop.recipe)

    def _take(self, name: str, rung: Callable[[_Ladder], Iterator[Repair]]) -> tuple[Rung, Variant | None]:
        """The best candidate of one rung, judged where it is nearer to the float model than what there was.

        Training makes another function: how near that is says little of it, so it is judged in any case.
        """
        tried, error, best, problem = 0, float("inf"), self.best, ""
        try:
            for candidate in rung(self):
                tried += 1
                found, problem = self.error_of(candidate)
                if found < error:
                    best, error = candidate, found
            known = error if isfinite(error) else None
            enough = self.error * (SPARE_GAIN if best.spare else GAIN)  # float costs time and bytes
            if known is None or (error >= enough and not best.qat_epochs):
                nearer = f"no nearer to the float model on the held-out samples (wanted: below {enough:.4g})"
                why = problem or (NO_ERROR if tried else "nothing to try") if known is None else nearer
                return Rung(name, best, 0.0, tried, known, why=why), None
            made = self.workshop.make(best)
            variant = self.workshop.prove(best, made)
        except REFUSALS as refusal:
            return Rung(name, best, 0.0, tried, why=refusal.what), None
        self.judged.append((name, best, made, variant))
        made_anew = best.qat_epochs or best.quantizer  # and so nothing to build on
        if not made_anew and not self._broken(variant):  # else later rungs would break the promise as well
            self.best, self.error = best, error
        return Rung(name, best, 0.0, tried, known), variant

    def error_of(self, candidate: Repair) -> tuple[float, str]:
        """(its error on the held-out samples, why it has none): one that cannot be made does not end its rung."""
        try:
            return _error(self.workshop.score(self.workshop.make(candidate))), ""
        except REFUSALS as refusal:
            return float("inf"), refusal.what

    def _measured(self, rung: Rung, variant: Variant | None) -> Rung:
        """The rung with what was measured of its file, the last one that was judged."""
        if variant is None or variant.score is None:
            return rung
        plain = self.judged[0][3]
        loss, loss_ci = loss_of(variant.score)
        latency = variant.bench.median_s / plain.bench.median_s if variant.bench and plain.bench else None
        return replace(
            rung,
            loss=loss,
            loss_ci=loss_ci,
            top1=variant.score.top1,
            bytes=variant.bytes,
            latency=latency,
            float_operators=len(flatbuffer.inspect(self.judged[-1][2]).float_operators),
        )

    def _result(self) -> tuple[Path, Variant]:
        """The last file where it met the gates, else the one that lost least, the plain one first."""
        name, repair, made, variant = self.judged[-1]
        met = not self._missed(variant)
        if not met:
            name, repair, made, variant = min(self.judged, key=lambda one: self._loss(one[3]))
        max_drop, looks = self.workshop.recipe.gates.max_drop, len(self.judged)
        why = "the first that meets the gates" if met else f"no rung meets the gates; of {looks} it loses least"
        ladder = Ladder(max_drop, self.rungs, name, why, repair, self.workshop.held_out[2], looks)
        if not met:
            tried = "; ".join(_summary(rung) for rung in self.rungs[1:])
            inaccurate = self._inaccurate(variant)
            found = [
                replace(one, evidence=f"{one.evidence}\nrepair: {tried}".strip()) if one in inaccurate else one
                for one in variant.findings
            ]
            variant = replace(variant, findings=found)
        return made, replace(variant, repair=ladder)


def _calibration(ladder: _Ladder) -> Iterator[Repair]:
    """Ranges measured on the same samples, on more of them, and on those that the calibration doctor advises."""
    yield replace(ladder.best, ranges="minmax")
    yield replace(ladder.best, ranges="minmax", samples=ladder.workshop.more_samples)
    advice = ""
    with suppress(*REFUSALS):  # what cannot be had is no advice
        advice = ladder.workshop.advised
    if advice:
        yield replace(ladder.best, ranges="minmax", advice=advice)


def _equalisation(ladder: _Ladder) -> Iterator[Repair]:
    """Biases corrected, channels evened out between layers by either measure, and both."""
    ranges = ladder.best.ranges or "minmax"
    shared = any(step.name == "cluster" for step in ladder.workshop.recipe.steps)
    for goal in ("",) if shared else ("", "weights", "activations"):  # a scale per channel would part shared values
        if goal:
            yield replace(ladder.best, ranges=ranges, equalize=goal)
        yield replace(ladder.best, ranges=ranges, equalize=goal, correct=True)


def _ranges(ladder: _Ladder) -> Iterator[Repair]:
    """Ranges that leave the few values far out."""
    for rule in ("mse", "99.99", "99.9"):
        yield replace(ladder.best, ranges=rule)


def _quantizer(ladder: _Ladder) -> Iterator[Repair]:
    """The other quantiser, which rounds and measures in its own way; where it is not installed, the rung says so."""
    if ladder.workshop.conversion.quantizer == "converter":
        yield Repair(quantizer="litert")


def _sparing(ladder: _Ladder) -> Iterator[Repair]:
    """Operators in float: each suspect alone, then those that helped most together, as long as one more helps."""
    best = replace(ladder.best, ranges=ladder.best.ranges or "minmax")
    alone = []
    for name in ladder.workshop.sensitive(best, SUSPECTS):
        candidate = replace(best, spare=(name,))
        alone.append((ladder.error_of(candidate)[0], name))
        yield candidate
    alone.sort()
    for count in range(2, min(len(alone), MOST_SPARED) + 1):
        candidate = replace(best, spare=tuple(name for _, name in alone[:count]))
        error, _ = ladder.error_of(candidate)
        if error > SPARE_GAIN * alone[0][0]:
            break
        alone[0] = error, alone[0][1]
        yield candidate


def _qat(ladder: _Ladder) -> Iterator[Repair]:
    """Training with quantisation, for a few epochs."""
    if any(step.name == "qat" for step in ladder.workshop.recipe.steps):
        raise RecipeError("the recipe trains with quantisation already")
    if ladder.workshop.conversion.per_tensor:
        raise RecipeError("it trains a scale for each channel, and per_tensor wants one for each kernel")
    yield Repair(qat_epochs=QAT_EPOCHS)


_RUNGS: Sequence[tuple[str, Callable[[_Ladder], Iterator[Repair]]]] = (
    ("calibration", _calibration),
    ("equalisation", _equalisation),
    ("ranges", _ranges),
    ("quantizer", _quantizer),
    ("sparing", _sparing),
    ("qat", _qat),
)


def _error(score: ScoreResult) -> float:
    """How far from the float model: smooth where a share of equal classes would jump with single samples."""
    error = score.relative_error
    return float("inf") if error is None or not isfinite(error) else error


def _summary(rung: Rung) -> str:
    return f"{rung.name} {'not judged' if rung.loss is None else format(rung.loss, '+.2f')}" + (
        f" ({rung.why})" if rung.why else ""
    )
