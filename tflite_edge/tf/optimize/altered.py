"""How far a fine-tuning may alter its images: no further than the model that is tuned, and its teacher, know them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tflite_edge.tf.fit import augment
from tflite_edge.tf.quiet import quiet
from tflite_edge.tf.source import Source, predict

STRENGTHS = (0.5, 0.25, 0.125)
# A net that was trained with altered images lost 0.4 points by them and one without 40 (docs/log.md, 2026-12).
MOST_LOST = 0.05
BATCH = 128


def strength(source: Source) -> tuple[float, str]:
    """(the largest of STRENGTHS at which the model is hardly worse, or 0.0, why), asked of up to 500 training samples.

    Without labels its own answers are the right ones. What answers with quantities sees no altered images: a target may
    move with them (a key point does).
    """
    data = source.data
    if not data.pool.are_images or data.anomaly:
        return 0.0, ""
    if data.task == "regression" or len(source.model.output_shape) != 2:
        return 0.0, "0: a target may change with the image; [tune] augment alters them all the same"
    some = data.unseen_by_the_test()
    answers = predict(source.model, some.x).argmax(-1)
    right = answers if some.y is None else some.y
    before = float((answers == right).mean())
    found = {}
    for asked in STRENGTHS:
        found[asked] = float((_altered(source.model, some.x, asked) == right).mean())
        if before - found[asked] <= MOST_LOST:
            break
    chosen = asked if before - found[asked] <= MOST_LOST else 0.0
    shares = ", by ".join(f"{other:g} on {share:.1%}" for other, share in found.items())
    who = f"{source.recipe.name} is right on {before:.1%} of {len(some)} training images"
    return chosen, f"{chosen:g}: {who}, altered by {shares}"


def _altered(model: Any, x: np.ndarray, asked: float) -> np.ndarray:
    """int64 [n]: its classes of the images x, each turned, zoomed and shifted; the same every time."""
    import tf_keras

    with quiet():
        tf_keras.utils.set_random_seed(7)
        parts = [x[start : start + BATCH] for start in range(0, len(x), BATCH)]
        return np.concatenate([predict(model, augment(part, asked)).argmax(-1) for part in parts])
