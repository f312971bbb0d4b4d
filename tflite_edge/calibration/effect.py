"""What a representative dataset comes to: the quantised file, scored on training samples that are held out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tflite_edge import flatbuffer
from tflite_edge.harness.preprocess import normalize
from tflite_edge.records.calibration import Effect, Measured, is_better
from tflite_edge.records.conversion import Conversion
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.verdict import drop_points
from tflite_edge.samples import score_job
from tflite_edge.targets.machine import Machine

if TYPE_CHECKING:
    from tflite_edge.tf.convert.variants import Variants
    from tflite_edge.tf.data.dataset import Split
    from tflite_edge.tf.source import Source

Array = NDArray[Any]


@dataclass(frozen=True)
class Trial:
    """right: bool [n], whether each held sample is answered as its label says, or else as the float model."""

    measured: Measured
    right: Array | None


class Trials:
    """Quantised files of one conversion, scored on the held samples."""

    def __init__(self, conversion: Conversion, variants: Variants, held: Split, machine: Machine, work: Path) -> None:
        self.conversion, self.variants, self.held, self.machine, self.work = conversion, variants, held, machine, work
        self.runtime = ""

    def of(self, source: Source) -> Trial:
        from tflite_edge.tf.data.packs import write_pack
        from tflite_edge.tf.source import predict

        fed, y = source.data.preprocess, self.held.y
        labelled = source.data.task == "classification"
        behind = source.behind(self.conversion)
        reference = predict(behind.model, normalize(self.held.raw, fed))
        pack = write_pack(self.work / "held.npz", self.held.raw, y if labelled else None, reference)
        made = self.variants.of(source).make(self.conversion)
        outputs = self.work / "outputs.npy"
        target = source.recipe.target
        given = Preprocess(channels=fed.channels) if self.conversion.bake else fed
        job = replace(score_job(made, pack, given, target), outputs=str(outputs))
        score = self.machine.score_of(flatbuffer.inspect(made), job, deadline_s=target.deadline_s)
        self.runtime = f"{score.runtime.name} {score.runtime.version}"
        answers = np.load(outputs)
        classes = answers.ndim == 2 and answers.shape[1] > 1 and source.data.task in ("classification", "agreement")
        wanted = y if labelled else reference.argmax(axis=-1)
        right = answers.argmax(axis=-1) == wanted if classes else None
        return Trial(Measured(score.images, score.top1, score.agreement, score.relative_error), right)


def effect(kind: str, what: str, samples: int, before: Trial, after: Trial) -> Effect:
    gain = half = None
    if before.right is not None and after.right is not None:
        gained, lost = int((after.right & ~before.right).sum()), int((before.right & ~after.right).sum())
        drop, half = drop_points(gained, lost, len(before.right))
        gain = -drop
    better, why = is_better(before.measured, (gain, half), after.measured)
    return Effect(kind, what, samples, after.measured, gain, half, better, why)
