"""How far a fine-tuning may alter its images: no further than the model that is tuned, and its teacher, know them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tflite_edge import __version__
from tflite_edge.artifact import cached, key_of
from tflite_edge.harness.preprocess import normalize
from tflite_edge.records.plain import to_plain
from tflite_edge.tf.fit import augment
from tflite_edge.tf.quiet import quiet
from tflite_edge.tf.source import Source, predict, tensorflow_version

STRENGTHS = (0.5, 0.25, 0.125)
# A net that was trained with altered images lost 0.4 points by them and one without 42 (docs/log.md, 2026-12).
MOST_LOST = 0.05
BATCH = 128


def strength(source: Source) -> tuple[float, str]:
    """(the largest of STRENGTHS at which the model is hardly worse, or 0.0, why), asked of up to 500 training samples.

    Without labels its own answers are the right ones. What answers with quantities sees no altered images: a target may
    move with them (a key point does). Asked once for a model and its data, then found; reseeds Keras.
    """
    data, answers = source.data, tuple(source.model.output_shape[1:])
    if not data.pool.are_images or data.anomaly:
        return 0.0, ""
    if data.task == "regression" or len(answers) != 1 or answers[0] == 1:
        return 0.0, "0: a target may change with the image; [tune] augment alters them all the same"

    def ask(folder: Path) -> None:
        (folder / "strength.json").write_text(json.dumps(_asked(source)))

    key = key_of(
        source.fingerprint, data.pool.sha256, data.train.wanted.tolist(), to_plain(data.preprocess), STRENGTHS,
        tensorflow_version(), __version__,
    )  # fmt: skip
    chosen, why = json.loads((cached("augment", key, ask) / "strength.json").read_text())
    return chosen, f"{chosen:g}: {source.recipe.name} {why}"


def _asked(source: Source) -> tuple[float, str]:
    some = source.data.unseen_by_the_test()
    plain = _classes(source, some.raw, 0.0)
    right = plain if some.y is None else some.y
    before = float((plain == right).mean())
    chosen, shares = 0.0, []
    for tried in STRENGTHS:
        share = float((_classes(source, some.raw, tried) == right).mean())
        shares.append(f"{tried:g} on {share:.1%}")
        if before - share <= MOST_LOST:
            chosen = tried
            break
    return chosen, f"is right on {before:.1%} of {len(some)} training images, altered by {', by '.join(shares)}"


def _classes(source: Source, raw: np.ndarray, tried: float) -> np.ndarray:
    """int64 [n]: what it says of the images, each turned, zoomed and shifted; the same every time."""
    import tf_keras

    with quiet():
        tf_keras.utils.set_random_seed(7)
        parts = (normalize(raw[i : i + BATCH], source.data.preprocess) for i in range(0, len(raw), BATCH))
        return np.concatenate([predict(source.model, augment(x, tried) if tried else x).argmax(-1) for x in parts])
