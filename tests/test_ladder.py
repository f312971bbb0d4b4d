"""What the ladder decides, from the numbers that a workshop tells it: nothing is made or run here."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.harness import twins
from tflite_edge.records.conversion import Conversion
from tflite_edge.records.errors import DataError, ModelError, TargetError
from tflite_edge.records.event import silent
from tflite_edge.records.job import Runtime, ScoreResult
from tflite_edge.records.manifest import Variant
from tflite_edge.records.plain import to_plain
from tflite_edge.records.recipe import recipe_for
from tflite_edge.records.repair import Repair
from tflite_edge.records.verdict import Finding, judge
from tflite_edge.repair import repaired

INT8 = Conversion("int8")
SCORE = ScoreResult(Runtime("r", "1", "", "3", "m", "2"), "regression", 100, 1.0, 100.0, 1, mae=1.5, reference_mae=1.0)


@dataclass
class Told:
    """A workshop whose numbers are given: settings -> (error on the held-out samples, findings on the test samples)."""

    file: Path
    known: dict
    conversion: Conversion = INT8
    more_samples: int = 100
    advised: str = ""
    refuse: Exception | None = None
    held_out: tuple = ("", "", "100 samples")
    listen = staticmethod(silent)

    def __post_init__(self):
        self.recipe = recipe_for("mobilenet", {"gates.max_drop": 1.0})
        self.asked = []

    def make(self, repair):
        if self.refuse:
            raise self.refuse
        self.asked.append(repair)
        return self.file.with_name(f"{len(self.asked) - 1}")

    def score(self, made):
        error = self.known.get(self.asked[int(made.name)], (1.0,))[0]
        if error is None:
            raise TargetError("the runtime ends")
        return replace(SCORE, relative_error=error)

    def sensitive(self, repair, most):
        return []

    def prove(self, repair, made):
        made.write_bytes(twins.int8_chain())
        findings = [*judge("int8", SCORE, self.recipe.gates), *self.known.get(repair, ())[1:]]
        return Variant("int8", "", "", False, "", 1, 1, "degraded", findings, score=SCORE)

    def climb(self):
        plain = self.prove(Repair(), self.make(Repair()))
        return repaired(self.file, plain, self)[1].repair


@pytest.fixture
def told(tmp_path):
    def told(known):
        file = tmp_path / "plain"
        file.write_bytes(twins.int8_chain())
        return Told(file, {Repair(): (1.0,), Repair(qat_epochs=2): (None,), **known})

    return told


def test_settings_that_break_a_promise_are_not_built_on(told):
    """The nearest candidate of the first rung computes in float, so the second rung begins with the plain settings."""
    broken, good = Repair(ranges="minmax"), Repair(ranges="minmax", equalize="weights")
    workshop = told({broken: (0.5, Finding("an operator computes in float")), good: (0.8,)})
    ladder = workshop.climb()
    assert {rung.name: rung.settings for rung in ladder.rungs if rung.loss is not None} == {
        "plain": Repair(), "calibration": broken, "equalisation": good,
    }  # fmt: skip
    assert ladder.accepted != "calibration"


def test_another_quantiser_s_file_is_kept_where_it_is_better_and_nothing_is_built_on_it(told):
    """Operators are spared in the converter's file: the other quantiser cannot."""
    ranged, theirs = Repair(ranges="minmax"), Repair(quantizer="litert")
    workshop = told({ranged: (0.9,), theirs: (0.5,)})
    workshop.sensitive = lambda repair, _: workshop.built_on.append(repair) or []
    workshop.built_on = []
    ladder = workshop.climb()
    assert [rung.name for rung in ladder.rungs if rung.loss is not None] == ["plain", "calibration", "quantizer"]
    assert workshop.built_on == [ranged]


def test_the_first_row_is_named_after_who_made_the_file(told):
    workshop = told({})
    workshop.conversion = Conversion("int8", quantizer="litert")
    rungs = {rung.name: rung for rung in workshop.climb().rungs}
    assert list(rungs)[:2] == ["litert", "calibration"]
    assert (rungs["quantizer"].tried, rungs["quantizer"].why) == (0, "nothing to try")


def test_a_recipe_s_repair_that_cannot_be_made_is_an_error_of_that_file_alone(told):
    workshop = told({})
    workshop.recipe = replace(workshop.recipe, repair=Repair(advice="more"))
    plain = workshop.prove(Repair(), workshop.make(Repair()))
    workshop.refuse = DataError("the data need no calibration by 'more'")
    with pytest.raises(ModelError, match="the data need no calibration by 'more'"):
        repaired(workshop.file, plain, workshop)


@pytest.mark.parametrize(("error", "looks"), [(0.99, 1), (0.97, 2)])
def test_a_rung_that_is_hardly_nearer_never_meets_the_test_samples(told, error, looks):
    assert told({Repair(ranges="minmax"): (error,)}).climb().looks == looks


@pytest.mark.parametrize(("error", "why"), [(None, "the runtime ends"), (float("nan"), "no finite error")])
def test_an_error_that_is_not_known_is_none_and_the_row_says_why(told, error, why):
    ladder = told({Repair(): (error,)}).climb()
    assert ladder.rungs[0].error is None
    assert ladder.rungs[0].why.startswith(why)
    json.dumps(to_plain(ladder), allow_nan=False)
