"""The story: load -> optimise -> convert -> inspect -> run on the target -> judge -> publish."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tflite_edge import flatbuffer
from tflite_edge.artifact import ORIGINAL, Artifact
from tflite_edge.records.conversion import STATIC, Conversion
from tflite_edge.records.errors import MissingError, ModelError, TargetError
from tflite_edge.records.estimate import Estimate
from tflite_edge.records.event import Event, Listener, silent
from tflite_edge.records.job import BenchResult, Job, cores
from tflite_edge.records.learning import Lesson
from tflite_edge.records.manifest import Manifest, Variant
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import Recipe
from tflite_edge.records.verdict import FAILED, Finding, drop_of, judge, judge_learning, verdict_of
from tflite_edge.targets import open_machine
from tflite_edge.targets.machine import Machine, scored_note

if TYPE_CHECKING:
    from tflite_edge.tf.source import Packs


def convert(recipe: Recipe, out: str | Path, *, listen: Listener = silent, argv: Sequence[str] = ()) -> Manifest:
    """Make every variant of the recipe, prove each on the target's runtime, and leave them in `out`.

    A variant that cannot be made, or that crashes its runtime, is recorded as failed and the others go
    on. Raises EdgeError when nothing can be done at all. Killed and run again, finished steps are found.
    """
    from tflite_edge.tf.convert.variants import Variants
    from tflite_edge.tf.optimize.optimize import optimize, rehearse
    from tflite_edge.tf.source import open_untrained, refuse_unknown

    refuse_unknown(recipe)
    machine = open_machine(recipe.target.on)  # refused here, before anything is trained
    machine.refuse(recipe.target.runtime)
    most = recipe.target.samples or machine.samples
    out = Path(out)
    artifact = Artifact(out, recipe, argv)
    with artifact.timed("load"):
        source = open_untrained(recipe, listen)
        rehearsed = source.must_be_trained  # else the first step that is not done has them rehearsed
        if rehearsed:
            rehearse(source, recipe.steps)
        source = source.trained(listen)
    with artifact.timed("optimize"):
        source = optimize(source, listen, rehearsed=rehearsed)
    with Variants(source) as variants, tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        samples = source.write_pack(Path(work) / "samples.npz", most=200)
        artifact.describe(source.recipe, source.provenance(), source.data.preprocess, samples)
        if most and most < len(source.data.test):
            artifact.remark(scored_note(most, len(source.data.test), machine))
        conversions = recipe.convert.conversions(original=bool(source.steps))
        for number, conversion in enumerate(conversions):
            listen(Event("convert", conversion.label, number, len(conversions)))
            try:
                with artifact.timed(f"convert {conversion.label}"):
                    made = variants.make(conversion)
                with artifact.timed(f"prove {conversion.label}"):
                    packs = source.write_packs(Path(work), conversion, most)
                    if conversion.trainable:
                        variant = prove_trainable(made, conversion, packs, source.data.preprocess, recipe)
                    else:
                        variant = prove(made, conversion, packs, source.data.preprocess, recipe, machine=machine)
            except (ModelError, TargetError) as error:
                if conversion.original:
                    artifact.remark(f"no {conversion.label} to compare with: {error.what}")
                else:
                    artifact.note(failed(conversion, error))
                listen(Event("convert", f"{conversion.label}: {error}", warning=True))
            else:
                artifact.add(variant, made)
        listen(Event("convert", "done", len(conversions), len(conversions)))
    return artifact.finish()


def prove(
    made: Path, conversion: Conversion, packs: Packs, preprocess: Preprocess, recipe: Recipe, *, machine: Machine
) -> Variant:
    """Read the bytes back, run them on the target's runtime, and hold both against what was asked."""
    facts = flatbuffer.inspect(made)
    fed = Preprocess(channels=preprocess.channels) if conversion.bake else preprocess
    job = Job("score", str(made), recipe.target.runtime, recipe.target.threads, pack=str(packs.test), preprocess=fed)
    score = machine.score_of(facts, replace(job, workers=cores()), deadline_s=recipe.target.deadline_s)
    bench, estimate = measure(machine, replace(job, verb="bench", pack=str(packs.one)), recipe.target.deadline_s)
    findings = [*flatbuffer.check(facts, conversion), *judge(conversion.mode, score, recipe.gates)]
    if conversion.original:  # made to compare with: nothing is promised of it
        findings = []
    suffix = facts.compression.suffix if facts.compression else ""
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
    )


def measure(machine: Machine, job: Job, deadline_s: float) -> tuple[BenchResult | None, Estimate | None]:
    """Times of the machine, or where it is emulated, counts and a prediction. Where nothing can be counted, the
    estimate says why: the answers on the board's runtime are worth having without it."""
    if not machine.emulated:
        return machine.bench(job, deadline_s=deadline_s), None
    try:
        return None, machine.estimate(job, deadline_s=deadline_s)
    except MissingError as error:
        board = machine.name.partition(":")[2]
        return None, Estimate(board, None, [], why=f"no instructions counted: {error.what}; {error.do}")


def prove_trainable(
    made: Path, conversion: Conversion, packs: Packs, preprocess: Preprocess, recipe: Recipe
) -> Variant:
    """As `prove`, and that it learns: from a head that knows nothing, on samples that it may train with."""
    features = made.with_name("features.tflite") if conversion.mode in STATIC else None
    backbone, head = flatbuffer.inspect(features or made), flatbuffer.inspect(made)
    fed = Preprocess(channels=preprocess.channels) if conversion.bake else preprocess
    lesson = Lesson(str(features) if features else None, test=str(packs.test), epochs=3, fresh=True)
    target = recipe.target
    job = Job(
        "learn", str(made), target.runtime, target.threads, pack=str(packs.lessons), preprocess=fed, lesson=lesson
    )
    learning = open_machine(target.on).learn(job, deadline_s=target.deadline_s)
    score = learning.before
    findings = [
        *flatbuffer.check(backbone, conversion),
        *flatbuffer.check_trainable(head, alone=features is not None),
        *judge(conversion.mode, score, recipe.gates),
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
    )


def failed(conversion: Conversion, error: ModelError | TargetError) -> Variant:
    """What is known of a variant that could not be made or run: why."""
    finding = Finding(error.what, error.evidence, error.do, fatal=True, exit_code=error.exit_code)
    return Variant(
        conversion.mode, "", conversion.prefix + conversion.scheme, conversion.bake, "", 0, 0, FAILED, [finding]
    )
