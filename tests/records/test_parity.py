"""Which differences are faults: every rule kept once and broken once, with numbers made up for it."""

import pytest

from tflite_edge.records.job import Runtime, ScoreResult
from tflite_edge.records.parity import (
    EXPECTED,
    FAULT,
    RULES,
    SAME,
    UNPROVEN,
    Difference,
    Run,
    compare,
    family_of,
    findings,
    pairs,
    proof,
    rule_of,
    unproven,
)

INTEGER, FLOAT, DYNAMIC = RULES["integer"], RULES["float"], RULES["dynamic"]


def run(target="local", runtime="tflite-runtime", kernels="default", family="A", **fields):
    told = Runtime(runtime, "2", "", "3", "x86_64", "1")
    return Run(target, runtime, kernels, family, score=ScoreResult(told, "agreement", 200, 1.0, 200.0, 1), **fields)


ORACLE = run(kernels="reference", oracle=True)
BOARD = run("emulator:pi4")
LITERT = run(runtime="ai-edge-litert", family="B", oracle=True)
HERE = run(family="C")


def found(samples=200, identical=0, close=200, most=0.1, **fields):
    return Difference(samples, identical, close, most, **{"most_steps": 7, "same_argmax": samples, **fields})


def verdict(one, other, difference, rule=INTEGER, **options):
    return compare(one, other, difference, rule, **options).verdict


@pytest.mark.parametrize(
    ("runtime", "kernels", "machine", "family"),
    [
        ("tflite-runtime", "default", "aarch64", "A"),
        ("tflite-runtime", "default", "armv7l", "A"),
        ("tflite-runtime", "reference", "x86_64", "A"),
        ("tflite-runtime", "reference", "aarch64", "A"),
        ("ai-edge-litert", "default", "x86_64", "B"),
        ("ai-edge-litert", "default", "aarch64", "B"),
        ("tflite-runtime", "default", "x86_64", "C"),
        ("ai-edge-litert", "reference", "x86_64", "ai-edge-litert reference"),
    ],
)
def test_families(runtime, kernels, machine, family):
    assert family_of(runtime, kernels, machine) == family


@pytest.mark.parametrize(
    ("scheme", "step", "rule"),
    [
        ("static-wi8ai8", 0.1, INTEGER),
        ("static-wi8ai16", 0.1, INTEGER),
        ("mixed-wi8ai8", 0.1, INTEGER),
        ("mixed-wi8ai8", 0.0, DYNAMIC),  # it ends in float operators
        ("float", 0.0, FLOAT),
        ("weightonly-wf16", 0.0, FLOAT),
        ("dynamic-wi8af32", 0.0, DYNAMIC),
    ],
)
def test_rules_by_scheme(scheme, step, rule):
    assert rule_of(scheme, step) == rule


def test_within_a_family_int8_may_differ_by_one_step_on_one_sample_in_a_hundred():
    assert verdict(BOARD, ORACLE, found(identical=200, most=0.0, most_steps=0)) == SAME
    assert verdict(BOARD, ORACLE, found(close=198)) == SAME
    broken = compare(BOARD, ORACLE, found(close=197), INTEGER)
    assert broken.verdict == FAULT
    assert broken.why == "3 of 200 samples differ by more than 1 step, the most by 7 steps, within one kernel family"
    assert broken.do


def test_within_a_family_one_class_in_two_hundred_may_differ():
    assert verdict(BOARD, ORACLE, found(same_argmax=199)) == SAME
    assert verdict(BOARD, ORACLE, found(same_argmax=198)) == FAULT
    assert (
        verdict(BOARD, ORACLE, found(samples=20, close=20, same_argmax=19)) == SAME
    )  # 5 %, but one sample is no share
    assert verdict(BOARD, ORACLE, found(samples=20, close=20, same_argmax=18)) == FAULT


def test_float_must_be_close_everywhere_and_dynamic_nearly():
    near = {"most_steps": None, "most": 2e-6}
    assert verdict(BOARD, ORACLE, found(**near), FLOAT) == SAME
    assert verdict(LITERT, ORACLE, found(**near), FLOAT) == SAME
    assert verdict(BOARD, ORACLE, found(close=199, most_steps=None), FLOAT) == FAULT
    assert verdict(LITERT, ORACLE, found(close=199, most_steps=None), FLOAT) == FAULT
    assert verdict(BOARD, ORACLE, found(same_argmax=196, most_steps=None), DYNAMIC) == SAME
    assert verdict(BOARD, ORACLE, found(same_argmax=195, most_steps=None), DYNAMIC) == FAULT


def test_between_families_what_is_known_is_expected():
    expected = compare(LITERT, ORACLE, found(close=60, same_argmax=188, most_steps=65), INTEGER)
    assert (expected.verdict, expected.same_family) == (EXPECTED, False)
    assert expected.why == "kernel families B and A round differently: up to 65 steps"
    assert verdict(LITERT, ORACLE, found(identical=200)) == SAME


def test_between_families_less_agreement_than_ever_seen_is_a_fault():
    """92.7 % is the least known; 176 of 200 could still be it, 150 could not."""
    assert verdict(LITERT, ORACLE, found(close=0, same_argmax=180)) == EXPECTED
    assert verdict(LITERT, ORACLE, found(close=0, same_argmax=150)) == FAULT
    assert verdict(LITERT, ORACLE, found(close=0, same_argmax=150), random_inputs=True) == EXPECTED


def test_between_families_accuracy_that_is_surely_lost_is_a_fault_and_names_the_loser():
    lost = compare(LITERT, ORACLE, found(close=0, same_argmax=190, gained=0, lost=10), INTEGER)
    assert lost.verdict == FAULT
    assert lost.drop == pytest.approx(5.0)
    assert lost.why.startswith("ai-edge-litert on local: top-1 is 5.00 points")
    assert lost.do.startswith("install tflite-runtime")
    chance = compare(LITERT, ORACLE, found(close=0, same_argmax=190, gained=4, lost=6), INTEGER)
    assert chance.verdict == EXPECTED


def test_each_run_is_held_against_its_oracle_and_the_families_against_each_other():
    absent = Run("emulator:pi4", "ai-edge-litert", "default", absent=True)
    assert pairs([HERE, ORACLE, LITERT, BOARD, absent]) == [
        (BOARD, ORACLE),
        (ORACLE, LITERT),
        (ORACLE, HERE),
        (LITERT, HERE),
    ]
    assert pairs([HERE]) == []


def test_proof_says_how_each_run_ended():
    same = compare(BOARD, ORACLE, found(identical=200), INTEGER)
    failed = Run("local", "tflite-runtime", "default", why="crash", exit_code=5)
    absent = Run("local", "ai-edge-litert", "default", absent=True)
    said = [proof(one, [same]) for one in (BOARD, ORACLE, HERE, failed, absent)]
    assert said == [SAME, "oracle", "x86 only", "failed", "not there"]
    assert proof(BOARD, []) == UNPROVEN
    (sentence,) = unproven([BOARD], [])
    assert sentence.endswith("tflite-runtime (reference) on local gave no answers")


def test_findings_are_the_faults_and_what_did_not_run():
    fault = compare(BOARD, ORACLE, found(close=100), INTEGER)
    (finding,) = findings([ORACLE, BOARD], [fault, compare(LITERT, ORACLE, found(), INTEGER)])
    assert finding.exit_code == 1
    assert finding.what.startswith("tflite-runtime on emulator:pi4 and tflite-runtime (reference) on local: 100 of 200")


def test_a_runtime_that_is_not_there_is_no_fault_but_a_target_without_any_is():
    absent = Run("pi", "ai-edge-litert", "default", absent=True, why="no wheel", exit_code=4)
    assert findings([run("pi"), absent], []) == ()
    (nothing,) = findings([absent], [])
    assert (nothing.what, nothing.exit_code) == ("nothing ran on pi", 4)


def test_a_crash_is_the_target_s_but_not_one_of_reference_kernels():
    crash = {"score": None, "why": "killed by SIGABRT", "exit_code": 5}
    others = run("pi", "ai-edge-litert", family="B")
    (own,) = findings([others, Run("pi", "tflite-runtime", "default", **crash)], [])
    (reference,) = findings([others, Run("pi", "tflite-runtime", "reference", **crash)], [])
    assert (own.exit_code, reference.exit_code) == (5, 1)


def test_a_file_that_one_runtime_refuses_everywhere_is_one_finding_and_a_gate():
    refused = {"score": None, "why": "it does not know FULLY_CONNECTED version 12", "do": "convert it", "exit_code": 3}
    runs = [
        Run(target, "tflite-runtime", kernels, **refused)
        for target in ("a", "b")
        for kernels in ("default", "reference")
    ]
    others = [run(target, "ai-edge-litert", family="B") for target in ("a", "b")]
    (finding,) = findings([*runs, *others], [])
    assert finding.what == "tflite-runtime on a and tflite-runtime on b failed"
    assert (finding.exit_code, finding.do) == (1, "convert it")
