"""What a trial came to, from its manifest: every drop is against one float model, on the same samples."""

from __future__ import annotations

from dataclasses import replace

from tflite_edge.records.job import ScoreResult
from tflite_edge.records.manifest import Variant
from tflite_edge.records.search import FAILED, MEASURED, Trial
from tflite_edge.search.meter import Reading
from tflite_edge.search.trial import Outcome


def judged(
    blank: Trial, outcome: Outcome, reading: Reading | None, reference: Trial | None, *, same: bool = True
) -> Trial:
    """`blank` with what its file was found to be. reading: of the board; None: this machine's own timing, no goal.

    same: whether the trial's float model, before any step, is the reference itself. Without a reference it is.
    """
    if outcome.error is not None:
        return replace(blank, state=FAILED, why=str(outcome.error))
    variant = outcome.variant
    if variant is None or variant.score is None:
        found = outcome.manifest.models[0].findings if outcome.manifest.models else []
        return replace(blank, state=FAILED, why="; ".join(one.what for one in found) or "no file was made and scored")
    drop, drop_ci = _drop(variant, None if same else reference)
    if reading is None:
        seconds = variant.bench.median_s if variant.bench else None
        reading = Reading(seconds, MEASURED if seconds else "", outcome.manifest.recipe.target.on)
    notes = [finding.what for finding in variant.findings] + [reading.why]
    return replace(
        blank,
        drop=drop,
        drop_ci=drop_ci,
        bytes=variant.bytes,
        gzip_bytes=variant.gzip_bytes,
        latency_s=reading.latency_s,
        latency_kind=reading.kind,
        latency_on=reading.on,
        energy_mj=reading.energy_mj,
        file=variant.file,
        scheme=variant.scheme,
        sha256=variant.sha256,
        top1=quality(variant.score),
        why="; ".join(filter(None, notes)),
    )


def quality(score: ScoreResult) -> float | None:
    """Share of right answers, or AUC of an anomaly detector, or minus the mean absolute error of a regression."""
    if score.top1 is not None:
        return score.top1
    if score.auc is not None:
        return score.auc
    return None if score.mae is None else -score.mae


def _drop(variant: Variant, reference: Trial | None) -> tuple[float | None, float | None]:
    """(points below the reference, half of the 95 % interval). None: the pipeline's own, of paired answers; else of two
    shares, which is wider."""
    score = variant.score
    assert score is not None
    if reference is None and score.mae is None:
        return variant.drop, variant.drop_ci
    mine, its = quality(score), reference.top1 if reference else score.reference_mae and -score.reference_mae
    if mine is None or its is None:
        return None, None
    if score.mae is not None:
        return (100 * (mine / its - 1) if its else None), None  # of a reference without error no growth is a share
    if score.auc is not None:
        return 100 * (its - mine), None
    spread = sum(share * (1 - share) for share in (mine, its)) / score.images
    return 100 * (its - mine), 196 * spread**0.5
