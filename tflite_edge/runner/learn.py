"""`classify learn PHOTOS` teaches the model on the board; `classify --head HEAD` answers with what it learnt."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from typing import List

from tflite_edge.harness import command
from tflite_edge.harness.head import read_head
from tflite_edge.harness.runtime import choose
from tflite_edge.harness.trainable import Trainable
from tflite_edge.records.card import CARD, Card
from tflite_edge.records.errors import UsageError
from tflite_edge.runner.classify import Classifier

HEAD = "head.npz"
EPILOG = """examples:
  classify learn photos/                    one folder of images for each class; writes head.npz
  classify --head head.npz photo.jpg        answers with what was learnt
  classify learn more/ -o head.npz          learns on from head.npz

The result is one JSON document on stdout. exit status: 0 learnt; 1 no epoch did better, the head is as it was;
2 this model cannot learn; 3 bad images or head; 4 something is missing
"""


def main(argv: List[str]) -> int:
    """Raises EdgeError for a bundle that is none, or cannot learn."""
    made = argparse.ArgumentParser(
        "classify learn", None, "Teach the bundle's model new images.", EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    made.add_argument("data", metavar="PHOTOS", help="a folder with one folder of images per class, or a pack (.npz)")
    made.add_argument("-o", "--out", default=HEAD, help="the learnt head; learns on from it  [default: head.npz]")
    made.add_argument("--head", help="learn on from this head  [default: OUT, where it is there]")
    made.add_argument("--epochs", type=int, default=20)
    made.add_argument("--learning-rate", type=float, help="[default: what the model proposes]")
    made.add_argument("--seed", type=int, default=7, help="of the shuffling and of what is held out  [default: 7]")
    made.add_argument("--bundle", default=os.environ.get("TFLITE_EDGE_BUNDLE", "."), help=argparse.SUPPRESS)
    options = made.parse_args(argv)
    classifier = Classifier(options.bundle)
    _must_learn(classifier.card)
    words = [os.path.join(options.bundle, classifier.card.model), "--data", options.data, "--out", options.out]
    words += ["--about", os.path.join(options.bundle, CARD), "--runtime", classifier.card.runtime]
    words += ["--epochs", str(options.epochs), "--seed", str(options.seed)]
    for name in ("head", "learning_rate"):
        if getattr(options, name) is not None:
            words += [f"--{name.replace('_', '-')}={getattr(options, name)}"]
    if classifier.card.features:
        words += ["--features", os.path.join(options.bundle, classifier.card.features)]
    return command.main(words, classifier.load)


def _must_learn(card: Card) -> None:
    if not card.trainable:
        raise UsageError(
            f"{card.model} cannot learn", do="convert with --trainable, and package with --model trainable-float"
        )


class Taught(Classifier):
    """The bundle's model with a saved head: its weights, and its names of the classes."""

    def __init__(self, folder: str, path: str) -> None:
        """Raises UsageError for a bundle that cannot learn, DataError for a head of another model."""
        super().__init__(folder)
        card = self.card
        _must_learn(card)
        head = read_head(path)
        model = self._model or Trainable(os.path.join(folder, card.model), choose(card.runtime), card.threads)
        model.check_head(head, path)
        model.begin(head.weights)
        self._model = model
        names = head.facts.labels[: len(card.labels)]
        self.card = replace(card, labels=[*names, *card.labels[len(names) :]])
