"""Saved heads: what a board has learnt, as a plain file, and the average of several boards'."""

from __future__ import annotations

import hashlib
import os
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from tflite_edge.harness.preprocess import Array
from tflite_edge.harness.sealed import PREVIOUS, read_sealed, write_sealed
from tflite_edge.records.errors import DataError, ModelError, RecipeError
from tflite_edge.records.learning import HeadFacts, Progress
from tflite_edge.records.plain import from_plain, to_plain

HEAD, CHECKPOINT = "head", "checkpoint"  # what a file says it is
NOW, BEST = "now_", "best_"
OF_CLASSES = ("kernel", "bias", "upper_kernel")  # their last axis is the classes
OPTIMIZER = "optimizer_"  # variables of the optimiser; they are not weights


class Head(NamedTuple):
    """Weights by name, float32, without the optimiser's variables."""

    weights: Dict[str, Array]
    facts: HeadFacts


class Checkpoint(NamedTuple):
    """The state after an epoch: every variable, the best weights so far, and how far it has come."""

    now: Dict[str, Array]
    best: Dict[str, Array]
    progress: Progress


def write_head(path: str, head: Head) -> int:
    """The bytes written; whole or not at all. Raises MissingError."""
    return write_sealed(path, head.weights, {"kind": HEAD, **to_plain(head.facts)})


def read_head(path: str) -> Head:
    """Raises DataError for what is none, or was damaged."""
    weights, about = read_sealed(path)
    if about.pop("kind", None) != HEAD:
        raise DataError(f"{path} is not a saved head", do="give what `learn -o` or `average -o` wrote")
    try:
        head = Head(weights, from_plain(HeadFacts, about))
    except RecipeError as error:
        raise DataError(f"{path} is not a saved head of this version", evidence=str(error)) from error
    _check_classes(path, head)
    return head


def _check_classes(path: str, head: Head) -> None:
    """Raise DataError unless each of its classes has an output in every array of classes."""
    outputs = {name: head.weights[name].shape[-1:] for name in OF_CLASSES if name in head.weights}
    width = min((shape[0] for shape in outputs.values() if shape), default=0)
    classes = head.facts.classes
    if "kernel" not in outputs or len(set(outputs.values())) > 1 or not classes:
        raise DataError(
            f"{path} does not hold the weights of a head", evidence=f"outputs: {outputs}, classes: {classes}"
        )
    if min(classes) < 0 or max(classes) >= width:
        raise DataError(
            f"{path} names a class that it has no output for",
            evidence=f"classes {min(classes)} to {max(classes)}, and {width} outputs",
            do="give what `learn -o` or `average -o` wrote",
        )


def write_checkpoint(path: str, state: Checkpoint) -> None:
    """The one before it stays as well. Raises MissingError."""
    arrays = {NOW + name: array for name, array in state.now.items()}
    arrays.update({BEST + name: array for name, array in state.best.items()})
    write_sealed(path, arrays, {"kind": CHECKPOINT, **to_plain(state.progress)}, keep_previous=True)


def last_checkpoint(path: str) -> Tuple[Optional[Checkpoint], str]:
    """(the last good one or None, what was wrong with a newer one)."""
    wrong = ""
    for candidate in (path, path + PREVIOUS):
        if os.path.exists(candidate):
            try:
                return _read_checkpoint(candidate), wrong
            except (DataError, RecipeError) as error:
                wrong = error.what
    return None, wrong


def _read_checkpoint(path: str) -> Checkpoint:
    arrays, about = read_sealed(path)
    if about.pop("kind", None) != CHECKPOINT:
        raise DataError(f"{path} is not a checkpoint")
    now, best = (
        {name[len(part) :]: array for name, array in arrays.items() if name.startswith(part)} for part in (NOW, BEST)
    )
    return Checkpoint(now, best, from_plain(Progress, about))


def remove_checkpoint(path: str) -> None:
    for candidate in (path, path + PREVIOUS):
        if os.path.exists(candidate):
            os.remove(candidate)


def model_sha256(model: str, features: Optional[str] = None) -> str:
    """Of the trainable file; with an extractor, of both files' hashes: a head fits these features and no others."""
    hashes = [_sha256(path) for path in (model, features) if path]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    except OSError as error:
        raise ModelError(f"cannot read the model {path}", evidence=str(error)) from error
    return digest.hexdigest()


def average(heads: Sequence[Tuple[str, Head]]) -> Head:
    """The mean of several boards' heads, each weighted by what it learnt from since the last; pairs of (path, head).

    Federated averaging: McMahan et al., 2017, algorithm 1, whose n_k are the samples of the round. A class that only
    some boards were shown is theirs alone: the others' weights for it say nothing.
    Raises DataError for heads of different models or shapes, for numbers that two heads name differently, and for a
    head that has learnt from nothing since.
    """
    first_path, first = heads[0]
    longest_path, longest = max(heads, key=lambda pair: len(pair[1].facts.labels))
    for path, head in heads:
        _check_classes(path, head)
        if head.facts.model_sha256 != first.facts.model_sha256:
            raise DataError(
                f"{path} and {first_path} are heads of different models",
                evidence=f"SHA-256 {head.facts.model_sha256[:12]}... and {first.facts.model_sha256[:12]}...",
                do="average heads that were learnt with the same file",
            )
        if _shapes(head) != _shapes(first):
            raise DataError(
                f"{path} and {first_path} do not hold the same weights",
                evidence=f"{_shapes(head)}\n{_shapes(first)}",
            )
        # Boards that gave the same spare output to different classes: what they learnt of it is not one class.
        pairs = enumerate(zip(head.facts.labels, longest.facts.labels))
        differ = [f"number {number}: {one!r} and {other!r}" for number, (one, other) in pairs if one != other]
        if differ:
            raise DataError(
                f"{path} and {longest_path} mean different classes by the same number",
                evidence="\n".join(differ),
                do=f"let one learn its new classes on from the other: --head {longest_path}",
            )
        if head.facts.since_average < 1:
            raise DataError(
                f"{path} has learnt from no samples since it was averaged, so it has no weight in an average",
                do="leave it out, or learn with it first: tflite-edge learn MODEL --data DATA --head " + path,
            )
    weights = {name: _mean(name, [head for _, head in heads]) for name in first.weights}
    classes: List[int] = sorted({number for _, head in heads for number in head.facts.classes})
    return Head(
        weights,
        HeadFacts(
            first.facts.model_sha256,
            tuple(classes),
            # What the round began with is in each of them, and counts once.
            samples=max(head.facts.samples - head.facts.since_average for _, head in heads)
            + sum(head.facts.since_average for _, head in heads),
            epochs=max(head.facts.epochs for _, head in heads),
            labels=longest.facts.labels,
        ),
    )


def _mean(name: str, heads: Sequence[Head]) -> Array:
    """The weighted mean of one array, in float64; per class where its last axis is the classes."""
    arrays = np.stack([head.weights[name].astype(np.float64) for head in heads])
    shares = np.array([float(head.facts.since_average) for head in heads]).reshape(-1, *[1] * (arrays.ndim - 1))
    if name in OF_CLASSES:
        known = np.zeros((len(heads), arrays.shape[-1]))
        for number, head in enumerate(heads):
            known[number, list(head.facts.classes)] = 1.0
        known[:, known.sum(axis=0) == 0] = 1.0
        shares = shares * known.reshape(len(heads), *[1] * (arrays.ndim - 2), -1)
    mean: Array = ((shares * arrays).sum(axis=0) / shares.sum(axis=0)).astype(np.float32)
    return mean


def _shapes(head: Head) -> Dict[str, Tuple[int, ...]]:
    return {name: array.shape for name, array in sorted(head.weights.items())}
