"""Gates, findings and the verdict: pure decisions on records."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Iterable, Optional, Tuple

from tflite_edge.records.errors import EXIT_GATE, RecipeError
from tflite_edge.records.job import LearnResult, ScoreResult

OK, DEGRADED, FAILED = "ok", "degraded", "failed"
CALIBRATE = "more calibration samples, or quantisation int16x8 or float16"
TUNE = "more --tune-epochs, or less in [[optimize]]; where Keras lost nothing by the steps, " + CALIBRATE


@dataclass(frozen=True)
class Gates:
    """What the exported file must reach on the target's runtime.

    max_drop: points of top-1 below the float Keras model (anomaly: points of AUC; regression: percent
        of error growth).
    min_agreement: share of images with the float model's argmax, for all files but float32.
    max_difference: largest absolute output difference to Keras, for float32 files, which only reorder sums.
    max_relative_error: root mean square difference to Keras over the outputs' standard deviation, for
        quantised files that are held to nothing else: no labels, and no class to agree on.
    """

    max_drop: float = 1.0
    min_agreement: float = 0.9
    max_difference: float = 1e-4
    max_relative_error: float = 0.2

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            if math.isnan(value):  # compares as false with everything: such a gate would let all pass
                raise RecipeError(f"{key} must be a number, not nan", do=f"{key} = inf switches that gate off")


@dataclass(frozen=True)
class Finding:
    """One broken promise: what, with the evidence, and what to do about it.

    fatal: nothing usable was made. exit_code: what the command line answers because of it.
    """

    what: str
    evidence: str = ""
    do: str = ""
    fatal: bool = False
    exit_code: int = EXIT_GATE


def verdict_of(findings: Iterable[Finding]) -> str:
    """`ok` without findings, `failed` when one is fatal (nothing usable was made), else `degraded`."""
    findings = tuple(findings)
    if any(finding.fatal for finding in findings):
        return FAILED
    return DEGRADED if findings else OK


def worst(verdicts: Iterable[str]) -> str:
    order = (OK, DEGRADED, FAILED)
    return max(verdicts, key=order.index, default=OK)


def drop_points(gained: int, lost: int, images: int) -> Tuple[float, float]:
    """(drop, half width of its 95 % interval) in points of accuracy, for two models on the same images.

    gained/lost: images only the new / only the float model got right. Paired, so only the images on
    which they differ count; half an image is added to each cell of the table, because without any
    difference the plain interval would have no width (Agresti and Min, Statistics in Medicine 24, 2005).
    """
    b, c, n = lost + 0.5, gained + 0.5, images + 2
    variance = (b + c - (b - c) ** 2 / n) / n**2
    return 100 * (lost - gained) / images, 196 * variance**0.5


def drop_of(score: ScoreResult) -> Tuple[Optional[float], Optional[float]]:
    """(points below the float model, half of the 95 % interval): of top-1, or of AUC, without an interval."""
    if score.gained is not None and score.lost is not None:
        return drop_points(score.gained, score.lost, score.images)
    if score.auc is not None and score.reference_auc is not None:
        return 100 * (score.reference_auc - score.auc), None
    return None, None


def loss_of(score: ScoreResult) -> Tuple[float, Optional[float]]:
    """(what `max_drop` limits, half of its 95 % interval where there is one): lower is better, whatever the task.

    Where there are no labels: the share of answers that changed, or their difference, in per cent.
    """
    drop, half = drop_of(score)
    if drop is not None:
        return drop, half
    if score.mae is not None and score.reference_mae:
        return 100 * (score.mae / score.reference_mae - 1), None
    if score.agreement is not None:
        return 100 * (1 - score.agreement), None
    return 100 * (score.relative_error or 0.0), None


def judge(mode: str, score: ScoreResult, gates: Gates, *, optimized: bool = False) -> Tuple[Finding, ...]:
    """The gates that an exported file did not meet, from its answers on the target's runtime.

    optimized: accuracy is compared with that of the model before the optimisation, whose steps may have lost it.
    """
    missed = []
    cure = TUNE if optimized else CALIBRATE
    if score.gained is not None and score.lost is not None:
        drop, half = drop_points(score.gained, score.lost, score.images)
        if drop > gates.max_drop:
            missed.append(
                Finding(
                    f"accuracy is {drop:.2f} points below the float model; the gate allows {gates.max_drop:g}",
                    f"{score.top1:.2%} against {score.reference_top1:.2%} on {score.images} images, "
                    f"95 % interval +-{half:.2f}",
                    f"{cure}, or a wider [gates] max_drop",
                )
            )
    if score.mae is not None and score.reference_mae:
        growth = 100 * (score.mae / score.reference_mae - 1)
        if growth > gates.max_drop:
            missed.append(
                Finding(
                    f"the mean absolute error grew by {growth:.2f} %; the gate allows {gates.max_drop:g}",
                    f"{score.mae:.6g} against {score.reference_mae:.6g} on {score.images} samples",
                    cure,
                )
            )
    if score.auc is not None and score.reference_auc is not None:
        drop = 100 * (score.reference_auc - score.auc)
        if drop > gates.max_drop:
            missed.append(
                Finding(
                    f"the AUC is {drop:.2f} points below the float model; the gate allows {gates.max_drop:g}",
                    f"{score.auc:.4f} against {score.reference_auc:.4f} on {score.images} samples",
                    CALIBRATE,
                )
            )
    if mode == "float32" and score.max_difference is not None and score.max_difference > gates.max_difference:
        missed.append(
            Finding(
                f"the outputs differ from Keras by up to {score.max_difference:.2g}; "
                f"the gate allows {gates.max_difference:.2g}",
                do="[gates] max_difference, when the outputs are not probabilities",
            )
        )
    if mode != "float32" and score.agreement is not None and score.agreement < gates.min_agreement:
        missed.append(
            Finding(
                f"the file agrees with Keras on {score.agreement:.1%} of {score.images} samples; "
                f"the gate asks for {gates.min_agreement:.0%}",
                do=CALIBRATE,
            )
        )
    unjudged = score.agreement is None and score.mae is None and score.top1 is None
    if mode != "float32" and unjudged and (score.relative_error or 0.0) > gates.max_relative_error:
        missed.append(
            Finding(
                f"the outputs differ from Keras by {score.relative_error:.0%} of their spread; "
                f"the gate allows {gates.max_relative_error:.0%}",
                do=CALIBRATE,
            )
        )
    return tuple(missed)


def judge_learning(learning: LearnResult) -> Tuple[Finding, ...]:
    """What a trainable file did not do on the target's runtime when it was to learn from nothing."""
    broken = []
    if not learning.exact:
        broken.append(Finding("`restore` does not bring back what `save` gave", do="try the other runtime", fatal=True))
    losses = [learning.start.loss, *(epoch.loss for epoch in learning.epochs)]
    if not losses[-1] < losses[0]:
        broken.append(
            Finding(
                f"training did not lower the loss on {learning.samples} samples",
                evidence=" -> ".join(f"{loss:.4g}" for loss in losses) + f", learning rate {learning.learning_rate:g}",
                do="a smaller learning_rate in [head]",
            )
        )
    return tuple(broken)
