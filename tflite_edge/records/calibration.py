"""Whether a representative dataset is representative: pure decisions on what it made every tensor reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from tflite_edge.records.layers import LEAST_USED, MOST_CLIPPED, short
from tflite_edge.records.verdict import Finding, verdict_of

# Our own lines (docs/log.md, "calibration doctor"). Sets of 185 to 200 samples that cost nothing clip at most 0.1 % of
# any tensor's values. The worst tenth of their ranges is 99 and 95 % of what 500 more samples reach in two nets with
# ReLU6, and 79 % in one whose ReLU has no limit: that ranges grow is a suspicion; what more samples come to decides.
LEAST_COVERAGE = 0.9
ENOUGH = 0.97
MOST_STRETCH = 1.25
RARE = 0.25
NAMED = 4  # things listed in a finding

# What an effect must come to, to be called one: of the error, and its interval must not exclude a gain in answers.
LEAST_GAIN = 0.05


@dataclass(frozen=True)
class Reach:
    """One tensor. low, high: what it reached on the representative dataset; held_*: on other training samples.

    clipped: share of its values on those that the range cannot hold. coverage: width of the range over that of the
    range of both together. used: width of their range over that of the representative dataset's, at most 1.
    """

    name: str
    operator: str
    low: float
    high: float
    held_low: float
    held_high: float
    clipped: float
    coverage: float
    used: float


@dataclass(frozen=True)
class Outlier:
    """A sample without which the range of `tensor` would be `stretch` times narrower. sample: its place in the set."""

    sample: int
    stretch: float
    tensor: str


@dataclass(frozen=True)
class Doubt:
    """A normalisation under which the float model is surely more often right than under the one that is used."""

    used: str
    better: str
    evidence: str


@dataclass(frozen=True)
class CalibrationFacts:
    """What is known of a representative dataset. Samples are named by their place in it.

    held: training samples beside it that were run. coverage: that of the worst tenth of the tensors.
    enough: the fewest samples from the front that reach ENOUGH of each range in nine of ten tensors; None: no fewer.
    constant, duplicates: samples that hold one value only, or what an earlier one holds.
    counts: samples of each class, by name, {} without classes; counted by "labels", or by "answers" of the float model.
    looks: what the input's range rather looks like, "" where it looks right.
    """

    samples: int
    held: int
    coverage: float
    enough: Optional[int]
    tensors: List[Reach]
    outliers: List[Outlier]
    constant: List[int]
    duplicates: List[int]
    counts: Dict[str, int]
    counted: str
    doubt: Optional[Doubt]
    looks: str


@dataclass(frozen=True)
class Problem:
    """kind: what would mend it, as in `Effect`."""

    kind: str
    finding: Finding


@dataclass(frozen=True)
class Measured:
    """The quantised file on held-out training samples. top1: None without classes. error: relative to the float model's
    answers (ScoreResult.relative_error)."""

    samples: int
    top1: Optional[float]
    agreement: Optional[float]
    error: Optional[float]


@dataclass(frozen=True)
class Effect:
    """What a fix came to. gain, gain_ci: points of top-1 (without labels: of agreement with the float model) more than
    before, and half of the 95 % interval; paired. better: see `is_better`; why: in words."""

    kind: str
    what: str
    samples: int
    after: Measured
    gain: Optional[float]
    gain_ci: Optional[float]
    better: bool
    why: str


@dataclass(frozen=True)
class Calibration:
    """Everything `calibrate` found. before: with the set as it is. better: kind of the best effect, "" where none is.

    mode, quantizer: of the file that was measured; runtime: what ran it.
    """

    mode: str
    quantizer: str
    runtime: str
    source: str
    facts: CalibrationFacts
    problems: List[Problem]
    before: Measured
    effects: List[Effect]
    better: str
    notes: List[str]

    @property
    def costly(self) -> List[Finding]:
        """The findings that cost something: what mends them is measurably better, or could not be measured.

        What the ranges show is a suspicion; the file on the target's runtime decides.
        """
        measured = {effect.kind: effect.better for effect in self.effects}
        return [problem.finding for problem in self.problems if measured.get(problem.kind, True)]

    @property
    def verdict(self) -> str:
        return verdict_of(self.costly)


def problems(facts: CalibrationFacts) -> List[Problem]:
    """What is wrong, what spoils most first, each with what mends it."""
    found = [
        ("normalize", _doubt(facts)),
        ("redraw", _looks(facts)),
        ("redraw", _classes(facts)),
        ("redraw", _clipped(facts)),
        ("redraw", _wasted(facts)),
        ("outliers", _outliers(facts)),
        ("clean", _useless(facts)),
    ]
    found = [(kind, finding) for kind, finding in found if finding is not None]
    if not any(kind in ("normalize", "redraw") for kind, _ in found):  # with other samples ranges would differ anyway
        found = [*found, ("more", _few(facts))]
    return [Problem(kind, finding) for kind, finding in found if finding is not None]


def _doubt(facts: CalibrationFacts) -> Optional[Finding]:
    doubt = facts.doubt
    if doubt is None:
        return None
    return Finding(
        f"the model is not fed as it was trained: {doubt.used} is used, {doubt.better} fits",
        doubt.evidence,
        f"--normalize={doubt.better}, or leave it out: it is found",
    )


def _looks(facts: CalibrationFacts) -> Optional[Finding]:
    if not facts.looks:
        return None
    reach = facts.tensors[0]
    return Finding(
        f"the representative samples look like {facts.looks}, which the model does not take",
        f"they reach {_range(reach.low, reach.high)}, training samples as the model takes them "
        f"{_range(reach.held_low, reach.held_high)}",
        "store them as the model takes them, or as uint8 images, which get its preprocessing",
    )


def _classes(facts: CalibrationFacts) -> Optional[Finding]:
    # Of samples that are fed wrongly the model's answers tell nothing.
    if len(facts.counts) < 2 or (facts.counted == "answers" and (facts.looks or facts.doubt)):
        return None
    fair = facts.samples / len(facts.counts)
    missing = [name for name, count in facts.counts.items() if count == 0]
    # Of few samples per class chance alone may leave one out by a half.
    rare = [name for name, count in facts.counts.items() if 0 < count < RARE * fair and fair >= 4]
    if not missing and not rare:
        return None
    by = "" if facts.counted == "labels" else ", as the float model answers"
    parts = [f"{len(names)} {what}" for what, names in (("missing", missing), ("rare", rare)) if names]
    listed = [f"{what}: {_listed(names)}" for what, names in (("missing", missing), ("rare", rare)) if names]
    return Finding(
        f"of {len(facts.counts)} classes {' and '.join(parts)} in the representative dataset{by}",
        "\n".join(listed),
        "a few samples of every class, as convert draws them from the data by itself",
    )


def _clipped(facts: CalibrationFacts) -> Optional[Finding]:
    worst = sorted((reach for reach in facts.tensors if reach.clipped >= MOST_CLIPPED), key=lambda one: -one.clipped)
    if not worst:
        return None
    return Finding(
        f"the ranges are too narrow: {len(worst)} of {len(facts.tensors)} tensors clip {MOST_CLIPPED:.0%} or more of "
        f"their values on {facts.held} other training samples",
        "\n".join(
            f"{short(one.name)}: {one.clipped:.1%} outside of {_range(one.low, one.high)}, up to "
            f"{_range(one.held_low, one.held_high)}"
            for one in worst[:NAMED]
        ),
        "calibrate with more samples, and with such as the model will see",
    )


def _wasted(facts: CalibrationFacts) -> Optional[Finding]:
    worst = sorted((reach for reach in facts.tensors if reach.used <= LEAST_USED), key=lambda one: one.used)
    if not worst:
        return None
    return Finding(
        f"the ranges are too wide: {len(worst)} of {len(facts.tensors)} tensors use {LEAST_USED:.0%} of theirs or less "
        f"on {facts.held} other training samples",
        "\n".join(
            f"{short(one.name)}: {_range(one.low, one.high)}, of which {_range(one.held_low, one.held_high)} is used"
            for one in worst[:NAMED]
        ),
        "calibrate with samples like those that the model will see, in the same preprocessing",
    )


def _few(facts: CalibrationFacts) -> Optional[Finding]:
    if facts.coverage >= LEAST_COVERAGE:
        return None
    return Finding(
        f"perhaps too few samples: with {facts.held} more, ranges still grow",
        f"{facts.samples} samples reach {facts.coverage:.0%} or less of the range in one of ten tensors",
        "more samples (--calibration-samples, or a larger [data] calibration)",
    )


def _outliers(facts: CalibrationFacts) -> Optional[Finding]:
    if not facts.outliers:
        return None
    count = len(facts.outliers)
    return Finding(
        f"{count} sample{'s' * (count > 1)} alone stretch{'es' * (count == 1)} ranges",
        "\n".join(
            f"sample {one.sample} makes the range of {short(one.tensor)} {one.stretch:.2f} times as wide"
            for one in facts.outliers[:NAMED]
        ),
        "look at them: leave out what the model will not see",
    )


def _useless(facts: CalibrationFacts) -> Optional[Finding]:
    if not facts.constant and not facts.duplicates:
        return None
    counts = {"constant": facts.constant, "duplicate": facts.duplicates}
    said = [f"{len(found)} {name}" for name, found in counts.items() if found]
    return Finding(
        f"{' and '.join(said)} of {facts.samples} samples tell the converter nothing",
        "\n".join(f"{name}: samples {_listed([str(i) for i in found])}" for name, found in counts.items() if found),
        "leave them out",
    )


def is_better(before: Measured, effect: Tuple[Optional[float], Optional[float]], after: Measured) -> Tuple[bool, str]:
    """(whether a fix is one, why). effect: points more of right answers and half of the 95 % interval.

    It is, when more answers are right beyond chance; or when the error to the float model shrinks by LEAST_GAIN and
    answers are not surely fewer: that error is measured far more finely than answers are.
    """
    gain, half = effect
    if gain is not None and half is not None:
        if gain > half:
            return True, "more answers are right, beyond chance"
        if -gain > half:
            return False, "fewer answers are right, beyond chance"
    if before.error and after.error is not None:
        change = after.error / before.error - 1
        if change <= -LEAST_GAIN:
            return True, f"{-change:.0%} less error against the float model"
        return False, "no less error against the float model" if change > -0.01 else f"only {-change:.0%} less error"
    return False, "no difference beyond chance"


def _range(low: float, high: float) -> str:
    return f"{low:.4g} to {high:.4g}"


def _listed(names: List[str]) -> str:
    more = len(names) - 2 * NAMED
    return ", ".join(names[: 2 * NAMED]) + (f" and {more} more" if more > 0 else "")
