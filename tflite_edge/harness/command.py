"""`python harness.pyz learn MODEL --data DATA -o HEAD`: learning where no host is, for a person or a service."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from tflite_edge.harness.head import read_head
from tflite_edge.harness.learn import learn, to_stderr
from tflite_edge.harness.photos import IMAGES, VALUES, Decode, read_photos
from tflite_edge.records.errors import EXIT_GATE, EXIT_INTERRUPTED, EXIT_OK, DataError, EdgeError, ModelError
from tflite_edge.records.job import RUNTIMES, Job, LearnResult
from tflite_edge.records.learning import Lesson
from tflite_edge.records.plain import from_plain, to_plain
from tflite_edge.records.preprocess import Preprocess

ABOUT = ("bundle.json", "manifest.json")  # what is looked for beside the model
EPILOG = """The result is one JSON document on stdout, progress is on stderr. Stopped or without power, the same
command goes on after its last whole epoch.

exit status: 0 learnt; 1 no epoch did better, the head is as it was; 3 bad model, data or head; 4 something is missing
"""


def main(argv: List[str], decode: Optional[Decode] = None) -> int:
    """decode: one image file of a folder, as the model takes it; without it DATA must be a pack."""
    options = _parser().parse_args(argv)
    try:
        result = _learn(options, decode)
    except EdgeError as error:
        to_stderr(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        to_stderr("interrupted; run again to go on")
        return EXIT_INTERRUPTED
    print(json.dumps({"out": options.out, **to_plain(result)}))  # noqa: T201 - the answer; the board has no rich
    return EXIT_GATE if result.rolled_back else EXIT_OK


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        "learn", None, "Teach a trainable .tflite file new samples.", EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    made.add_argument("model")
    made.add_argument("--data", required=True, help="a folder with one folder of images per class, or a pack (.npz)")
    made.add_argument("-o", "--out", required=True, help="the learnt head; with --head learn on from another")
    made.add_argument("--head", help="learn on from this head  [default: OUT, where it is there]")
    made.add_argument("--about", help="preprocessing and labels  [default: bundle.json or manifest.json beside MODEL]")
    made.add_argument("--features", help="what computes a head's features  [default: as the manifest says]")
    made.add_argument("--epochs", type=int, default=20)
    made.add_argument("--learning-rate", type=float)
    made.add_argument("--seed", type=int, default=7)
    made.add_argument("--runtime", choices=["auto", *RUNTIMES], default="auto")
    return made


def _learn(options: argparse.Namespace, decode: Optional[Decode]) -> LearnResult:
    record, labels, features = _about(options.model, options.about)
    head = options.head or (options.out if os.path.exists(options.out) else None)
    if head is not None:
        labels = read_head(head).facts.labels or labels
    lesson = Lesson(
        options.features or features,
        head=head,
        out=options.out,
        checkpoint=options.out + ".checkpoint",
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        seed=options.seed,
        labels=labels,
    )
    job = Job("learn", options.model, options.runtime, pack=options.data, preprocess=record, lesson=lesson)
    if not os.path.exists(options.data):
        raise DataError(
            f"there is no folder {options.data}", do="a folder with one folder of images per class, or a pack"
        )
    if not os.path.isdir(options.data):
        return learn(job)
    if decode is None:
        raise DataError(
            f"{options.data} is a folder, and nothing here decodes images",
            do="give a pack (.npz with x and y), or use `classify learn` of a bundle, which has Pillow",
        )
    photos = read_photos(options.data, labels, decode, to_stderr, VALUES if record.size is None else IMAGES)
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        pack = os.path.join(work, "photos.npz")
        np.savez(pack, x=photos.x, y=photos.y)
        return learn(replace(job, pack=pack, lesson=replace(lesson, labels=photos.labels)))


def _about(model: str, given: Optional[str]) -> Tuple[Preprocess, Tuple[str, ...], Optional[str]]:
    """(preprocessing, labels, the file of the features or None) from a bundle's card or a manifest."""
    folder = os.path.dirname(os.path.abspath(model))
    candidates = [given] if given else [os.path.join(folder, name) for name in ABOUT]
    path = next((candidate for candidate in candidates if os.path.isfile(candidate)), None)
    if path is None:
        raise DataError(
            f"nothing says how {model} is fed", evidence="looked for " + ", ".join(candidates), do="--about FILE"
        )
    try:
        with open(path, encoding="utf-8") as stream:
            values: Dict[str, Any] = json.load(stream)
        record = from_plain(Preprocess, values["preprocess"])
        labels = tuple(map(str, values["labels"] if "labels" in values else values["source"]["labels"]))
        labels = labels[: len(labels) - int(values.get("spare", 0))]
        entries = [entry for entry in values.get("models", []) if entry["file"] == os.path.basename(model)]
    except (OSError, ValueError, KeyError, TypeError, EdgeError) as error:
        raise ModelError(f"{path} does not say how {model} is fed", evidence=repr(error)) from error
    entry = entries[0] if entries else {}
    if entry.get("baked"):
        record = Preprocess(channels=record.channels)
    features = os.path.join(folder, entry["features"]) if entry.get("features") else None
    return record, labels, features
