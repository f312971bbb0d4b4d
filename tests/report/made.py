"""A folder as `convert` leaves it, of two hand-made files that are really run, without TensorFlow."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from tests.harness import twins
from tflite_edge.artifact import Artifact
from tflite_edge.proof import prove
from tflite_edge.records.conversion import Conversion
from tflite_edge.records.manifest import Effect, LayerEffect, Provenance, StepRecord
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import DataSource, ModelSource, Recipe, Target
from tflite_edge.records.search import Budget, Study, Trial
from tflite_edge.records.verdict import Gates
from tflite_edge.targets.local import Local

LABELS = ["null", "eins", "zwei", "drei"]


def folder(root, name="twins"):
    """`root`/name with float and int8 files, manifest.json, labels.txt and samples.npz; and the manifest."""
    root.mkdir(parents=True, exist_ok=True)
    pack, one = root / "pack.npz", root / "one.npz"
    reference = twins.activations(twins.X)[-1]
    np.savez(pack, x=twins.X, y=twins.LABELS, reference=reference)
    np.savez(one, x=twins.X[:1])
    recipe = Recipe(
        ModelSource(file=f"{name}.h5"),
        DataSource("pack.npz"),
        target=Target(runtime="ai-edge-litert"),
        gates=Gates(max_drop=5.0),
    )
    source = Provenance(
        f"{name}.h5", "a" * 64, 740, "pack.npz", "b" * 64, "c" * 64, {"train": 100, "test": 60}, "classification",
        1.0, LABELS, {"normalize": "none: as asked"}, ["a note"],
    )  # fmt: skip
    record = Preprocess(channels=8)
    artifact = Artifact(root / name, recipe, ["convert", f"/srv/somebody/{name}.h5", "-o", name])
    artifact.describe(recipe, source, record, pack)
    packs = SimpleNamespace(test=pack, one=one)
    for mode, io, content in (("float32", "float32", twins.float_chain()), ("int8", "int8", twins.int8_chain())):
        made = root / f"{mode}.tflite"
        made.write_bytes(content)
        artifact.add(prove(made, Conversion(mode, io=io), packs, record, recipe, machine=Local()), made)
    return root / name, artifact.finish()


def step():
    """One of the optimisation, with the numbers of a Keras model before and after it."""
    layers = (LayerEffect("conv", "Conv2D", 100, 0.5, 16, 9),)
    before, after = Effect(740, 0.0, layers, 700, 1.0), Effect(740, 0.5, layers, 700, 0.98)
    return StepRecord("prune", {"sparsity": 0.5, "layers": []}, before, after, {"conv": "few weights"})


def trial(number, drop, size, **more):
    """One that was judged; its latency is predicted where `latency_s` is given."""
    settings = {"alpha": 0.25, "scheme": "int8", "input": [32, 32], "distill": False}
    return Trial(
        number, {"model.alpha": 0.25}, "complete", drop, 0.5, size, size - 100, seconds=3.0, scheme="static-wi8ai8",
        sha256="d" * 64, **{"point": settings, "feasible": True, **more},
    )  # fmt: skip


def study(*trials, budget=None, **more):
    """A search that was handed these trials."""
    recipe = Recipe(ModelSource("mobilenet"))
    budget = budget or Budget(max_bytes=200_000, max_drop=1.0)
    told = {"best": None, "why": "", "seconds": 60.0, "versions": {"python": "3.11"}, "seed": 7}
    space = {"alpha": "0.25, 0.125", "threads": "not searched: only 1 is possible"}
    return replace(
        Study("mobilenet", recipe, budget, space, list(trials), objectives=["drop", "bytes", "latency_s"], **told),
        **more,
    )
