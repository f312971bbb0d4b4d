"""One file on several targets, runtimes and kernels: are the answers the same where they must be?"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tflite_edge import flatbuffer
from tflite_edge.flatbuffer import Facts
from tflite_edge.flatbuffer.graph import graphs
from tflite_edge.flatbuffer.reader import read
from tflite_edge.inputs import find_inputs, write_inputs
from tflite_edge.records import parity
from tflite_edge.records.errors import DataError, EdgeError, MissingError, TargetError, UsageError
from tflite_edge.records.event import Event, Listener, silent
from tflite_edge.records.job import ALL_CORES, Job
from tflite_edge.records.parity import Comparison, Difference, Rule, Run
from tflite_edge.records.verdict import Finding, verdict_of
from tflite_edge.targets import open_machine
from tflite_edge.targets.machine import DEADLINE_S, Machine

Array = NDArray[Any]


@dataclass(frozen=True)
class Parity:
    """Everything `compare` found. inputs: where the samples come from. rule: what was asked of the answers."""

    scheme: str
    samples: int
    inputs: str
    random: bool
    rule: Rule
    runs: list[Run]
    comparisons: list[Comparison]
    findings: list[Finding]
    verdict: str
    notes: list[str]


def compare(
    model: str | Path,
    on: Sequence[str] = ("local",),
    data: str = "",
    *,
    samples: int = 200,
    deadline_s: float = DEADLINE_S,
    listen: Listener = silent,
) -> Parity:
    """Run up to `samples` samples through `model` on every target with every runtime and kernels there is.

    samples come from samples.npz beside the model, from `data` where it is given, or are made up. Targets run one
    after the other, each with a worker per core; one that fails gets its reason and the others go on. This machine is
    always asked, because its runs are the oracles. Raises EdgeError where nothing can be compared at all.
    """
    path, facts = Path(model), flatbuffer.inspect(model)
    machines = _machines(on)
    inputs = find_inputs(path, facts, data, samples, listen)
    step = step_of(path)
    rule = parity.rule_of(facts.scheme, step)
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as folder:
        work = Path(folder)
        job = Job(
            "score", str(path), workers=ALL_CORES, pack=str(write_inputs(work, inputs)), preprocess=inputs.preprocess
        )
        runs, answers = _run_all(machines, on, facts, job, deadline_s=deadline_s, listen=listen)
    comparisons = [
        parity.compare(
            one,
            other,
            difference(answers[one.name], answers[other.name], step, rule, inputs.pack.y),
            rule,
            random_inputs=inputs.random,
        )
        for one, other in parity.pairs(runs)
    ]
    findings = list(parity.findings([run for run in runs if run.target in on], comparisons))
    notes = [*inputs.notes, *parity.unproven(runs, comparisons)]
    return Parity(
        facts.scheme, len(inputs.pack.x), inputs.source, inputs.random, rule, runs, comparisons, findings,
        verdict_of(findings), notes,
    )  # fmt: skip


def _machines(on: Sequence[str]) -> dict[str, Machine | EdgeError]:
    """Every target by its name, this machine first, or why it is none. Raises UsageError for what is no target."""
    found: dict[str, Machine | EdgeError] = {}
    for name in dict.fromkeys(["local", *on]):
        try:
            found[name] = open_machine(name)
        except (MissingError, TargetError) as error:  # noqa: PERF203 - not there, or not reached: the others go on
            found[name] = error
    return found


def _run_all(
    machines: dict[str, Machine | EdgeError],
    on: Sequence[str],
    facts: Facts,
    job: Job,
    *,
    deadline_s: float,
    listen: Listener,
) -> tuple[list[Run], dict[str, Array]]:
    """(runs, answers float32 [N, ...] of those that have any, by the run's name).

    A machine that was not asked for runs oracles only. Raises the worst error where nothing ran at all.
    """
    runs: list[Run] = []
    answers: dict[str, Array] = {}
    errors: list[EdgeError] = []
    oracles = parity.ORACLES.values()
    todo = [(name, *asked) for name in machines for asked in parity.QUESTIONS if name in on or asked in oracles]
    for number, (name, runtime, kernels) in enumerate(todo):
        run, machine = Run(name, runtime, kernels), machines[name]
        listen(Event("compare", run.name, number, len(todo)))
        outputs = Path(job.pack or "").with_name("outputs.npy")
        try:
            if isinstance(machine, EdgeError):
                raise machine
            asked = replace(job, runtime=runtime, kernels=kernels, outputs=str(outputs))
            score = machine.score_of(facts, asked, deadline_s=deadline_s)
            answers[run.name] = np.load(outputs)
        except DataError:
            raise  # the samples do not fit the model, here or anywhere
        except EdgeError as error:
            errors.append(error)
            runs.append(_failed(run, error, machine))
        else:
            family = parity.family_of(runtime, kernels, score.runtime.machine)
            oracle = name == "local" and parity.ORACLES.get(family) == (runtime, kernels)
            runs.append(replace(run, family=family, oracle=oracle, score=score))
    listen(Event("compare", "done", len(todo), len(todo)))
    if not answers:
        worst = max(errors, key=lambda error: error.exit_code)
        reasons = "\n".join(f"{run.name}: {run.why}" for run in runs)
        raise type(worst)(f"no target answers for {job.model}", evidence=reasons, do=worst.do) from worst
    return runs, answers


def _failed(run: Run, error: EdgeError, machine: Machine | EdgeError) -> Run:
    why = "\n".join(filter(None, [error.what, error.evidence]))
    # UsageError: there is no such runtime for it. An emulated board was proven with all that there are: none can miss.
    excused = (
        () if isinstance(machine, EdgeError) else (UsageError,) if machine.emulated else (UsageError, MissingError)
    )
    absent = isinstance(error, excused)
    return replace(run, why=why, do=error.do, exit_code=error.exit_code, absent=absent)


def step_of(path: Path) -> float:
    """The scale of a model's first output, or of what DEQUANTIZE makes it from; 0.0 where its answers have no steps."""
    graph = graphs(read(path))[0]
    output = graph.outputs[0]
    for operator in graph.operators:
        if operator.name == "DEQUANTIZE" and operator.inputs and [output.index] == [t.index for t in operator.outputs]:
            output = operator.inputs[0]
    return output.scale or 0.0


def difference(one: Array, other: Array, step: float, rule: Rule, y: Array | None) -> Difference:
    """Count what is the same in two runs' answers, float32 [N, ...] each, dequantised.

    step: the least difference that two answers can have, 0.0 when there is none. y: integer labels [N], or None.
    """
    flat, twin = (array.reshape(len(array), -1).astype(np.float64) for array in (one, other))
    gap = np.abs(flat - twin).max(axis=1)  # [N]
    steps = np.rint(gap / step).astype(int) if step else None
    measure = steps if rule.steps and steps is not None else gap
    vector = one.ndim == 2 and one.shape[1] > 1
    classes = flat.argmax(axis=1), twin.argmax(axis=1)
    gained = lost = None
    if vector and y is not None and y.dtype.kind in "iu" and y.size == len(flat):
        right, twin_right = (guess == y.reshape(-1) for guess in classes)
        gained, lost = int((right & ~twin_right).sum()), int((twin_right & ~right).sum())
    return Difference(
        samples=len(flat),
        identical=int((gap == 0).sum()),
        close=int((measure <= rule.within).sum()),
        most=float(gap.max()),
        most_steps=None if steps is None else int(steps.max()),
        same_argmax=int((classes[0] == classes[1]).sum()) if vector else None,
        gained=gained,
        lost=lost,
    )
