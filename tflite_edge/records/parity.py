"""Which answers of one file must be the same on two runtimes, which may differ, and by how much: pure decisions.

TFLite's kernels come in families that round differently, and one int8 file answers differently in each:

    A  plain rounding   tflite-runtime on ARM, whatever the board, and its reference kernels on any machine
    B  XNNPACK          ai-edge-litert's default kernels, on ARM and on x86
    C  x86 only         tflite-runtime's default kernels on x86: no board runs them

Within a family a difference is a fault. Between families it is expected, up to what is known of the pair. So the
oracle that stands for a board on this machine is chosen by the board's *runtime*: reference kernels for
tflite-runtime, ai-edge-litert for ai-edge-litert.

Source of the families and of RULES: one int8 file of each of four models (MobileNetV2 and ResNet8 among them) on 50
to 300 images, tflite-runtime 2.14.0 and ai-edge-litert 2.3.0, on x86-64 and on emulated Pi 3, 4, 5 (cortex-a53, -a72,
-a76, 64-bit) and armv7. A against its reference kernels: 293 to 300 of 300 images identical; B: 296 to 300 of 300, at
most 1 step apart; C against A: up to 43 steps, argmax agreement 94.7 to 99.3 %; A against B: up to 65 steps, 92.7 to
98.7 %. Float and float16: at most 2e-6 anywhere. Dynamic range: up to 0.03, argmax 96 to 100 %, everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from tflite_edge.records.errors import EXIT_GATE, MissingError
from tflite_edge.records.job import ScoreResult
from tflite_edge.records.verdict import Finding, Gates, drop_points

# What a target is asked to run: (runtime, kernels). The order is that of the report.
QUESTIONS: Tuple[Tuple[str, str], ...] = (
    ("tflite-runtime", "default"),
    ("tflite-runtime", "reference"),
    ("ai-edge-litert", "default"),
)
ARM = ("aarch64", "arm64", "armv7l", "armv8l", "armv6l", "arm")

FAMILIES: Dict[str, str] = {
    "A": "plain rounding (tflite-runtime on ARM, and its reference kernels anywhere)",
    "B": "XNNPACK (ai-edge-litert)",
    "C": "tflite-runtime on x86, which no board runs",
}

# The (runtime, kernels) on this machine that stand for a family.
ORACLES: Dict[str, Tuple[str, str]] = {"A": ("tflite-runtime", "reference"), "B": ("ai-edge-litert", "default")}

SAME, EXPECTED, FAULT, UNPROVEN = "same", "expected", "FAULT", "unproven"


@dataclass(frozen=True)
class Rule:
    """When two answers to one sample count as the same, and how often they must.

    within: in quantised steps where `steps`, else in the output's own unit. share: of the samples, within one family.
    argmax: share of the samples with the same argmax, within one family. across: the least argmax agreement known
    between two families; less than that is a fault too.
    """

    name: str
    steps: bool
    within: float
    share: float
    argmax: float
    across: float


RULES: Dict[str, Rule] = {
    "integer": Rule("integer", steps=True, within=1.0, share=0.99, argmax=0.995, across=0.927),
    "float": Rule("float", steps=False, within=1e-5, share=1.0, argmax=1.0, across=1.0),
    "dynamic": Rule("dynamic", steps=False, within=0.05, share=1.0, argmax=0.98, across=0.96),
}


def rule_of(scheme: str, step: float) -> Rule:
    """The rule for a file by its scheme (flatbuffer/scheme.py). step: of its answers, 0.0 when they have none.

    An integer file that ends in float operators has answers without steps, and is held like a dynamic one.
    """
    if scheme.startswith("dynamic"):
        return RULES["dynamic"]
    if scheme.startswith(("float", "weightonly")):
        return RULES["float"]
    return RULES["integer" if step else "dynamic"]


def family_of(runtime: str, kernels: str, machine: str) -> str:
    """A, B, C, or a name of its own for what nobody has looked at. machine: as `platform.machine()` says it."""
    if runtime == "tflite-runtime":
        if kernels == "reference":
            return "A"
        if kernels == "default":
            return "A" if machine.lower() in ARM else "C"
    if (runtime, kernels) == ("ai-edge-litert", "default"):
        return "B"
    return f"{runtime} {kernels}"


@dataclass(frozen=True)
class Run:
    """One target, runtime and kernels. score is None where it did not run: then `why` says so and `do` what to do.

    oracle: it stands for its family. absent: the runtime is not there, which is no fault. exit_code: of what failed.
    """

    target: str
    runtime: str
    kernels: str
    family: str = ""
    oracle: bool = False
    score: Optional[ScoreResult] = None
    absent: bool = False
    why: str = ""
    do: str = ""
    exit_code: int = 0

    @property
    def name(self) -> str:
        kernels = "" if self.kernels == "default" else f" ({self.kernels})"
        return f"{self.runtime}{kernels} on {self.target}"


@dataclass(frozen=True)
class Difference:
    """Two runs on the same samples. Counts are of samples; None where there is nothing to count.

    identical: every output is the same bit for bit. close: no output differs by more than the rule's `within`.
    most_steps: largest difference in quantised steps; None when the output has no scale. most: in its own unit.
    same_argmax: None when the output is no vector. gained, lost: samples that only the first / only the second run
    got right, where there are labels of classes.
    """

    samples: int
    identical: int
    close: int
    most: float
    most_steps: Optional[int] = None
    same_argmax: Optional[int] = None
    gained: Optional[int] = None
    lost: Optional[int] = None

    @property
    def drop(self) -> Tuple[Optional[float], Optional[float]]:
        """(points of top-1 that the first run has less than the second, half of the 95 % interval)."""
        if self.gained is None or self.lost is None:
            return None, None
        return drop_points(self.gained, self.lost, self.samples)


@dataclass(frozen=True)
class Comparison:
    """`one` held against `other`. verdict: SAME, EXPECTED or FAULT; why: in words.

    drop, drop_ci: points of top-1 that `one` has less than `other`, and half of the 95 % interval.
    """

    one: str
    other: str
    same_family: bool
    difference: Difference
    drop: Optional[float]
    drop_ci: Optional[float]
    verdict: str
    why: str
    do: str = ""


def compare(one: Run, other: Run, difference: Difference, rule: Rule, *, random_inputs: bool = False) -> Comparison:
    """The verdict on two runs that both have answers."""
    same_family = one.family == other.family
    if same_family:
        verdict, why, do = _within(difference, rule)
    else:
        verdict, why, do = _across(one, other, difference, rule, random_inputs)
    drop, half = difference.drop
    return Comparison(one.name, other.name, same_family, difference, drop, half, verdict, why, do)


def _within(found: Difference, rule: Rule) -> Tuple[str, str, str]:
    """(verdict, why, do) of two runs of one family."""
    if found.identical == found.samples:
        return SAME, "identical, as one kernel family must be", ""
    unit = _unit(rule, found)
    if _missed(found.close, found.samples, rule.share):
        what = f"{found.samples - found.close} of {found.samples} samples differ by more than {unit}"
        return FAULT, f"{what}, the most by {_most(found)}, within one kernel family", _FAMILY_DO
    if found.same_argmax is not None and _missed(found.same_argmax, found.samples, rule.argmax):
        what = f"another class on {found.samples - found.same_argmax} of {found.samples} samples"
        return FAULT, f"{what}; within one kernel family at most {1 - rule.argmax:.1%} may", _FAMILY_DO
    return SAME, f"within {unit}, as one kernel family must be; at most {_most(found)}", ""


def _across(one: Run, other: Run, found: Difference, rule: Rule, random_inputs: bool) -> Tuple[str, str, str]:
    """(verdict, why, do) of two runs of different families."""
    if found.identical == found.samples:
        return SAME, "identical, although the kernels are of two families", ""
    if not rule.steps and not _missed(found.close, found.samples, rule.share) and rule.name == "float":
        return SAME, f"within {rule.within:g}: float kernels only add in another order", ""
    families = f"kernel families {one.family} and {other.family} round differently: up to {_most(found)}"
    if random_inputs:  # no class of noise is worth anything
        return EXPECTED, families, ""
    drop, half = found.drop
    if drop is not None and half is not None and abs(drop) - half > 0 and abs(drop) > Gates().max_drop:
        worse, better = (one, other) if drop > 0 else (other, one)
        what = f"top-1 is {abs(drop):.2f} points (+-{half:.2f}) lower than that of {better.name}"
        return FAULT, f"{worse.name}: {what}", f"install {better.runtime} on the board, or quantise less there"
    if found.same_argmax is not None and _upper(found.same_argmax, found.samples) < rule.across:
        share = found.same_argmax / found.samples
        what = f"the same class on only {share:.1%}; no two families are known to agree on less than {rule.across:.1%}"
        return FAULT, what, "check both against the float model: one of the runtimes misreads this file"
    if rule.name == "float" and _missed(found.close, found.samples, rule.share):
        return FAULT, f"float answers differ by up to {_most(found)}", "one of the runtimes misreads this file"
    return EXPECTED, families, ""


_FAMILY_DO = "run it again; if it stays, this machine does not stand for that target: judge the file on the target"


_NO_ORACLE_DO = "nothing on this machine stands for tflite-runtime on a board now: compare with the board (--on)"


def _missed(count: int, samples: int, share: float) -> bool:
    """Fewer than `share` of the samples; one sample is always forgiven where the share is not all."""
    allowed = max(1, int((1 - share) * samples + 1e-9)) if share < 1 else 0
    return samples - count > allowed


def _upper(count: int, samples: int) -> float:
    """Upper end of the 95 % interval of a share: Wilson, JASA 22 (1927), DOI 10.1080/01621459.1927.10502953."""
    z = 1.96
    share, scale = count / samples, 1 + z * z / samples
    return float(
        (share + z * z / (2 * samples) + z * ((share * (1 - share) + z * z / (4 * samples)) / samples) ** 0.5) / scale
    )


def _unit(rule: Rule, found: Difference) -> str:
    return "1 step" if rule.steps and found.most_steps is not None else f"{rule.within:g}"


def _most(found: Difference) -> str:
    if found.most_steps is None:
        return f"{found.most:.2g}"
    return f"{found.most_steps} step{'s' if found.most_steps != 1 else ''}"


def pairs(runs: Sequence[Run]) -> List[Tuple[Run, Run]]:
    """Which runs are held against which: each against its family's oracle, then the families' oracles in pairs.

    A family without an oracle is represented by its first run. Only runs with answers are looked at.
    """
    ran = [run for run in runs if run.score is not None]
    heads: Dict[str, Run] = {}
    for run in sorted(ran, key=lambda run: not run.oracle):  # stable: oracles first, else in the report's order
        heads.setdefault(run.family, run)
    within = [(run, heads[run.family]) for run in ran if run is not heads[run.family]]
    first = [heads[family] for family in sorted(heads)]
    return within + [(one, other) for i, one in enumerate(first) for other in first[i + 1 :]]


def findings(runs: Sequence[Run], comparisons: Iterable[Comparison]) -> Tuple[Finding, ...]:
    """What is wrong, in sentences: faults of the comparisons, runs that failed, targets on which nothing ran."""
    found = [
        Finding(f"{c.one} and {c.other}: {c.why}", _evidence(c.difference), c.do)
        for c in comparisons
        if c.verdict == FAULT
    ]
    for target in dict.fromkeys(run.target for run in runs):
        own = [run for run in runs if run.target == target]
        ran = [run for run in own if run.score is not None]
        if not ran:
            worst = max(own, key=lambda run: run.exit_code)
            reasons = "\n".join(dict.fromkeys(run.why for run in own))
            found.append(Finding(f"nothing ran on {target}", reasons, worst.do, exit_code=worst.exit_code))
            continue
    return (*found, *_failures(runs))


def _failures(runs: Sequence[Run]) -> Iterator[Finding]:
    """Runs that failed beside others that did not, those of one reason together."""
    alive = {run.target for run in runs if run.score is not None}
    reasons: Dict[str, List[Run]] = {}
    for run in runs:
        if run.score is None and not run.absent and run.target in alive:
            reasons.setdefault(run.why, []).append(run)
    for why, failed in reasons.items():
        # Reference kernels are asked only to know what to expect: where they alone fail, the target did not.
        own = [run for run in failed if run.kernels == "default"]
        names = " and ".join(run.name for run in own or failed)
        # Of a file that one runtime refuses and another takes, the file is not to blame.
        code = max((run.exit_code for run in own if run.exit_code >= MissingError.exit_code), default=EXIT_GATE)
        yield Finding(f"{names} failed", why, own[0].do if own else _NO_ORACLE_DO, exit_code=code)


def _evidence(found: Difference) -> str:
    argmax = "" if found.same_argmax is None else f", {found.same_argmax} have the same argmax"
    return (
        f"of {found.samples} samples {found.identical} are identical{argmax}; the largest difference is {_most(found)}"
    )


def proof(run: Run, comparisons: Sequence[Comparison]) -> str:
    """What the report says of one run: what it is held against, and how that ended."""
    if run.score is None:
        return "not there" if run.absent else "failed"
    own = [c for c in comparisons if c.same_family and c.one == run.name]
    if own:
        return own[0].verdict
    if run.oracle:
        return "oracle"
    return UNPROVEN if run.family in ORACLES else "x86 only"


def unproven(runs: Sequence[Run], comparisons: Sequence[Comparison]) -> List[str]:
    """A sentence for each run whose oracle has no answers: nothing says whether its own are right."""
    said = []
    for run in runs:
        if proof(run, comparisons) == UNPROVEN:
            oracle = Run("local", *ORACLES[run.family])
            said.append(f"{run.name} has nothing to be held against: {oracle.name} gave no answers")
    return said
