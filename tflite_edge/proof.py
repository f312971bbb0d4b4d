"""Every file is read back, run on the target's runtime, and held against what was asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tflite_edge import flatbuffer
from tflite_edge.artifact import ORIGINAL
from tflite_edge.flatbuffer.rules import look
from tflite_edge.flatbuffer.rules.contract import contract
from tflite_edge.flatbuffer.rules.runtimes import RuntimeTable, find
from tflite_edge.records.conversion import STATIC, Conversion
from tflite_edge.records.errors import MissingError, ModelError, TargetError
from tflite_edge.records.estimate import Estimate
from tflite_edge.records.job import ALL_CORES, BenchResult, Job, Runtime
from tflite_edge.records.learning import Lesson
from tflite_edge.records.manifest import StepRecord, Variant
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import Recipe, Target
from tflite_edge.records.verdict import FAILED, Finding, drop_of, judge, judge_learning, verdict_of
from tflite_edge.targets.machine import Machine

if TYPE_CHECKING:
    from tflite_edge.tf.source import Packs


def prove(
    made: Path,
    conversion: Conversion,
    packs: Packs,
    preprocess: Preprocess,
    recipe: Recipe,
    *,
    machine: Machine,
    steps: Sequence[StepRecord] = (),
) -> Variant:
    """Read the bytes back, run them on the target's runtime, and hold both against what was asked, and against what
    the optimisation's steps reached."""
    facts = flatbuffer.inspect(made)
    fed = Preprocess(channels=preprocess.channels) if conversion.bake else preprocess
    target = recipe.target
    job = Job("score", str(made), target.harness_runtime, target.threads, pack=str(packs.test), preprocess=fed)
    score = machine.score_of(facts, replace(job, workers=ALL_CORES), deadline_s=target.deadline_s)
    bench, estimate = measure(machine, replace(job, verb="bench", pack=str(packs.one)), target.deadline_s)
    proof, broken = proven(made, target, score.runtime)
    findings = [
        *broken,
        *flatbuffer.check(facts, conversion, steps),
        *judge(conversion.mode, score, recipe.gates, optimized=bool(steps)),
    ]
    if conversion.original:  # made to compare with: nothing is promised of it
        findings = []
    suffix = conversion.suffix + (facts.compression.suffix if facts.compression else "")
    drop, drop_ci = drop_of(score)
    return Variant(
        mode=conversion.mode,
        file=f"{ORIGINAL}/" * conversion.original + f"{recipe.name}-{facts.scheme}{suffix}.tflite",
        scheme=f"{conversion.prefix}{facts.scheme}{suffix}",
        baked=conversion.bake,
        sha256=facts.file.sha256,
        bytes=facts.file.size_bytes,
        gzip_bytes=facts.file.gzip_bytes,
        verdict="" if conversion.original else verdict_of(findings),
        findings=findings,
        drop=drop,
        drop_ci=drop_ci,
        compression=facts.compression,
        original=conversion.original,
        sparse_tensors=facts.sparse.tensors,
        score=score,
        bench=bench,
        estimate=estimate,
        proof=proof,
        quantizer=conversion.quantizer,
    )


def measure(machine: Machine, job: Job, deadline_s: float) -> tuple[BenchResult | None, Estimate | None]:
    """Times of the machine, or where it is emulated, counts and a prediction. Where nothing can be counted, the
    estimate says why: the answers on the board's runtime are worth having without it."""
    if not machine.emulated:
        return machine.bench(job, deadline_s=deadline_s), None
    try:
        return None, machine.estimate(job, deadline_s=deadline_s)
    except (MissingError, TargetError) as error:
        board = machine.name.partition(":")[2]
        why = "; ".join(filter(None, (error.what, error.do)))
        return None, Estimate(board, None, [], why=f"no instructions counted: {why}")


def settled(target: Target, machine: Machine) -> Target:
    """The target with the runtime of its machine, where that is known before anything runs and none was named."""
    return replace(target, runtime=machine.default_runtime) if target.runtime == "auto" else target


def table_of(target: Target) -> RuntimeTable | None:
    """What is known of the runtime that the target names; None for "auto". Raises UsageError for an unknown version."""
    return None if target.runtime_name == "auto" else find(target.runtime)[0]


def proven(made: Path, target: Target, ran: Runtime) -> tuple[str, list[Finding]]:
    """(how it is known that the file loads on the target's runtime, what breaks there). `ran`: what scored it."""
    table = table_of(target)
    loaded = f"loaded and run on {ran.name} {ran.version}"
    named = f"{ran.version}.".startswith(f"{target.runtime_version}.") if target.runtime_version else True
    if table is None or (table.name == ran.name and named):
        return loaded, []
    findings = contract(look(str(made)), table)
    verdict = "does not load" if any(finding.fatal for finding in findings) else "loads"
    return f"{verdict} on {table.title} by its table of {table.probed}; that is not installed here: {loaded}", findings


def prove_trainable(
    made: Path,
    conversion: Conversion,
    packs: Packs,
    preprocess: Preprocess,
    recipe: Recipe,
    *,
    machine: Machine,
    steps: Sequence[StepRecord] = (),
) -> Variant:
    """As `prove`, and that it learns: from a head that knows nothing, on samples that it may train with.

    What steps reached is not looked for: the layers behind the features are cut off.
    """
    features = made.with_name("features.tflite") if conversion.mode in STATIC else None
    backbone, head = flatbuffer.inspect(features or made), flatbuffer.inspect(made)
    fed = Preprocess(channels=preprocess.channels) if conversion.bake else preprocess
    lesson = Lesson(str(features) if features else None, test=str(packs.test), epochs=3, fresh=True)
    target = recipe.target
    job = Job(
        "learn",
        str(made),
        target.harness_runtime,
        target.threads,
        pack=str(packs.lessons),
        preprocess=fed,
        lesson=lesson,
    )
    learning = machine.learn(job, deadline_s=target.deadline_s)
    score = learning.before
    proof, broken = proven(made, target, score.runtime)
    findings = [
        *broken,
        *flatbuffer.check(backbone, conversion),
        *flatbuffer.check_trainable(head, alone=features is not None),
        *judge(conversion.mode, score, recipe.gates, optimized=bool(steps)),
        *judge_learning(learning),
    ]
    drop, drop_ci = drop_of(score)
    return Variant(
        mode=conversion.mode,
        file=f"{recipe.name}-trainable-{'head-' if features else ''}{head.scheme}.tflite",
        scheme=f"{conversion.prefix}{backbone.scheme}",
        baked=conversion.bake,
        sha256=head.file.sha256,
        bytes=head.file.size_bytes + (backbone.file.size_bytes if features else 0),
        gzip_bytes=head.file.gzip_bytes + (backbone.file.gzip_bytes if features else 0),
        verdict=verdict_of(findings),
        findings=findings,
        drop=drop,
        drop_ci=drop_ci,
        score=score,
        features=f"{recipe.name}-trainable-features-{backbone.scheme}.tflite" if features else "",
        features_sha256=backbone.file.sha256 if features else "",
        learning=learning,
        proof=proof,
    )


def failed(conversion: Conversion, error: ModelError | TargetError) -> Variant:
    """What is known of a variant that could not be made or run: why."""
    finding = Finding(error.what, error.evidence, error.do, fatal=True, exit_code=error.exit_code)
    scheme = conversion.prefix + conversion.scheme + conversion.suffix
    return Variant(
        conversion.mode, "", scheme, conversion.bake, "", 0, 0, FAILED, [finding], quantizer=conversion.quantizer
    )
