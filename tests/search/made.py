"""Outcomes of trials that were not run: real manifests with numbers that follow from the recipe by a formula."""

import json
from hashlib import sha256

from tflite_edge.records.job import Runtime, ScoreResult
from tflite_edge.records.manifest import Manifest, Provenance, Variant
from tflite_edge.records.plain import to_plain
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import ModelSource, Recipe, Tuning
from tflite_edge.search.trial import Outcome

RUNTIME = Runtime("ai-edge-litert", "2.3.0", "", "3.11", "x86_64", "1.26")
BASE = Recipe(ModelSource("mobilenet", input=(64, 64, 1), alpha=1.0), tune=Tuning(epochs=8))
FULL, IMAGES = 100_000, 1000


def numbers(recipe):
    """(bytes, right answers of IMAGES): channels and width cost accuracy, training gives some of it back."""
    share = recipe.model.alpha * (recipe.model.input or (64,))[0] / 64
    steps = {step["step"]: step for step in recipe.optimize}
    kept = 1 - steps.get("channels", {}).get("fraction", 0.0)
    size = FULL * recipe.model.alpha * kept * (4 if recipe.convert.quantize[0] == "float32" else 1)
    lost = 100 * (1 - share) ** 2 + 200 * (1 - kept) ** 2
    if steps:
        lost *= 0.4 if "distill" in steps else 0.6
        lost *= 1 if recipe.tune.epochs < 8 else 0.5
    return int(size), 950 - int(lost)


def outcome(recipe, *, seconds=1.0, name="model.tflite"):
    size, right = numbers(recipe)
    content = f"{size}-{right}".encode()
    score = ScoreResult(RUNTIME, "classification", IMAGES, 0.1, 1e4, 1, top1=right / IMAGES, reference_top1=0.95)
    variant = Variant(
        recipe.convert.quantize[0], name, "scheme", False, sha256(content).hexdigest(), size, size * 8 // 10, "ok",
        drop=0.1 * (950 - right), drop_ci=0.5, score=score,
    )  # fmt: skip
    source = Provenance("m", "", 1, "digits", "", "", {}, "classification", 0.95, [])
    manifest = Manifest("m", {}, {}, {}, [], "", recipe, Preprocess(), source, "", [variant], "ok", True, {})
    files = {"manifest.json": json.dumps(to_plain(manifest)).encode(), name: content}
    return Outcome(seconds, files=files, hits={"found": 2, "made": 1})
