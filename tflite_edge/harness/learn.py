"""Teach a trainable model the samples of a pack, and keep the head only when it got better."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from time import perf_counter
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from tflite_edge.harness.head import (
    OF_CLASSES,
    Checkpoint,
    Head,
    last_checkpoint,
    read_head,
    remove_checkpoint,
    write_checkpoint,
    write_head,
)
from tflite_edge.harness.pack import Pack, load_pack
from tflite_edge.harness.preprocess import Array
from tflite_edge.harness.runtime import choose, describe
from tflite_edge.harness.score import compare
from tflite_edge.harness.trainable import Trainable, rested, with_new_classes
from tflite_edge.records.errors import DataError
from tflite_edge.records.job import Job, LearnResult, Runtime, ScoreResult
from tflite_edge.records.learning import Epoch, HeadFacts, Lesson, Progress
from tflite_edge.records.plain import to_plain
from tflite_edge.records.preprocess import Preprocess

Tell = Callable[[str], None]


def to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - the board has no rich; talk goes to stderr


def learn(job: Job, tell: Tell = to_stderr) -> LearnResult:
    """Learn as the job's lesson says; a line of progress after every epoch.

    The head with the best held-out accuracy is kept, of several the one with the least loss, and the one that it began
    with counts. A killed lesson goes on after its last whole epoch and ends with the same bits as one that was not.
    Raises DataError for a head or a checkpoint of another model, a class that the model has no output for, and a loss
    that is NaN: the head on the disk is then still the last good one.
    """
    lesson = job.lesson
    assert lesson is not None
    assert job.pack is not None  # Job refuses to learn without them
    chosen = choose(job.runtime)
    model = Trainable(job.model, chosen, job.threads, lesson.features)
    record = job.preprocess or Preprocess()
    lessons, held = _samples(model, job.pack, lesson)
    head = _first_head(model, lesson)
    model.begin(head.weights)
    exact = _is_exact(model)
    runtime = describe(chosen)
    before = _score(model, held, record, runtime)
    began = perf_counter()
    school = School(model, model.features(lessons.x, record), lessons.y, model.features(held.x, record), held.y)
    features_s = perf_counter() - began
    tell(f"{len(lessons.x)} samples to learn from, {len(held.x)} held out; before: {before.top1:.2%}")
    new = sorted(set(map(int, lessons.y)) - set(head.facts.classes))
    model.begin(with_new_classes(head.weights, head.facts.classes, new))
    done = _epochs(school, lesson, _fingerprint(model, (lessons, held), record, lesson, head), before, tell)
    best = done.progress.best
    if best == 0:
        model.begin(head.weights)
    after = _score(model, held, record, runtime) if best else before
    rolled_back, why = _judge(done.progress, before, after)
    bytes_written = None
    if lesson.out is not None and best:
        facts = HeadFacts(
            model.sha256,
            tuple(sorted({*head.facts.classes, *new})),
            samples=head.facts.samples + len(lessons.x),
            epochs=head.facts.epochs + best,
            top1=after.top1,
            labels=lesson.labels or head.facts.labels,
            since_average=head.facts.since_average + len(lessons.x),
        )
        bytes_written = write_head(lesson.out, Head(model.weights(), facts))
    if lesson.checkpoint is not None:
        remove_checkpoint(lesson.checkpoint)
    tell(why)
    return LearnResult(
        runtime=runtime,
        before=before,
        after=after,
        start=done.progress.start,
        epochs=done.progress.epochs,
        best=best,
        rolled_back=rolled_back,
        why=why,
        samples=len(lessons.x),
        batch=model.batch,
        learning_rate=lesson.learning_rate or model.learning_rate,
        steps=len(done.steps_s),
        features_s=features_s,
        step_s=float(np.median(done.steps_s)) if done.steps_s else None,
        exact=exact,
        resumed=done.resumed,
        new_classes=new,
        head_bytes=bytes_written,
    )


class Labelled(NamedTuple):
    """x: raw [N, ...]; y: class numbers, int64 [N]; reference, baseline: as in a pack."""

    x: Array
    y: Array
    reference: Optional[Array] = None
    baseline: Optional[Array] = None


class School(NamedTuple):
    model: Trainable
    features: Array
    labels: Array
    held_features: Array
    held_labels: Array


class Done(NamedTuple):
    progress: Progress
    steps_s: List[float]
    resumed: int


def _samples(model: Trainable, path: str, lesson: Lesson) -> Tuple[Labelled, Labelled]:
    """(to learn from, held out). Raises DataError where they are not this model's."""
    lessons = _labelled(model, path, load_pack(path), lesson.labels)
    if lesson.test is not None:
        return lessons, _labelled(model, lesson.test, load_pack(lesson.test), lesson.labels)
    generator = np.random.default_rng(lesson.seed)
    held = np.zeros(len(lessons.y), bool)
    for label in np.unique(lessons.y):
        own = generator.permutation(np.flatnonzero(lessons.y == label))
        held[own[: int(np.ceil(len(own) * lesson.held_out)) if len(own) > 1 else 0]] = True
    if held.all() or not held.any():
        raise DataError(
            f"{path} has too few samples to learn from",
            evidence=f"{len(held)} samples; {lesson.held_out:.0%} of each class are held out to tell whether it helped",
            do="give two samples or more of each class",
        )
    return _taken(lessons, ~held), _taken(lessons, held)


def _taken(samples: Labelled, which: Array) -> Labelled:
    return Labelled(*(None if array is None else array[which] for array in samples))  # type: ignore[arg-type]


def _labelled(model: Trainable, path: str, pack: Pack, names: Sequence[str]) -> Labelled:
    if pack.y is None or pack.y.dtype.kind not in "iu" or pack.y.shape != (len(pack.x),) or pack.anomaly:
        seen = "y is missing" if pack.y is None else f"y is {pack.y.dtype} {list(pack.y.shape)}"
        raise DataError(f"{path} has no class numbers to learn", evidence=seen, do="integer y, one for each sample")
    labels = pack.y.astype(np.int64)
    if labels.min() < 0 or labels.max() >= model.classes:
        spare, new = model.classes - model.known, int(labels.max())
        name = repr(names[new]) if new < len(names) else f"class {new} of {path}"
        raise DataError(
            f"{name} is new, and {model.path} has no output for it"
            if labels.min() >= 0
            else f"{path} has the negative class {int(labels.min())}",
            evidence=f"it knows classes 0 to {model.known - 1} and has {spare} spare one(s)",
            do="convert with more [head] spare_classes, or leave these samples out",
        )
    model.check(pack.x, path)
    return Labelled(pack.x, labels, pack.reference, pack.baseline)


def _first_head(model: Trainable, lesson: Lesson) -> Head:
    """What the lesson begins with: a saved head, the model's own, or one that knows nothing."""
    if lesson.head is not None:
        head = read_head(lesson.head)
        model.check_head(head, lesson.head)
        return head
    weights = model.weights()
    return Head(weights, HeadFacts(model.sha256, tuple(range(model.known))))


def _is_exact(model: Trainable) -> bool:
    """Whether `restore` brings back what `save` gave, bit for bit, after other values in between."""
    saved = model.save()
    model.restore({name: value + np.float32(1) for name, value in saved.items()})
    changed = any(not np.array_equal(value, saved[name]) for name, value in model.save().items())
    model.restore(saved)
    return changed and all(np.array_equal(value, saved[name]) for name, value in model.save().items())


def _score(model: Trainable, samples: Labelled, record: Preprocess, runtime: Runtime) -> ScoreResult:
    """Through `infer`, against the labels, and against the float model's answers where the pack has them."""
    began = perf_counter()
    outputs = model.infer(samples.x, record)
    seconds = perf_counter() - began
    if not np.isfinite(outputs).all():
        raise DataError(f"{model.path} answers NaN or infinite values", do="check the preprocessing and the head")
    reference, baseline = (_spared(array, model) for array in (samples.reference, samples.baseline))
    found = compare(outputs, samples.y, reference, baseline)
    found.pop("task")
    rate = len(outputs) / seconds
    return ScoreResult(runtime, "classification", len(outputs), seconds, rate, workers=1, **found)


def _spared(answers: Optional[Array], model: Trainable) -> Optional[Array]:
    """The float model's answers with a probability of 0 for the classes that it has not."""
    if answers is None or answers.ndim != 2 or answers.shape[1] != model.known:
        return answers
    return np.pad(answers, [(0, 0), (0, model.classes - model.known)])


def _epochs(school: School, lesson: Lesson, fingerprint: str, before: ScoreResult, tell: Tell) -> Done:
    """Every epoch of the lesson; the model ends with the best weights."""
    model = school.model
    if lesson.fresh:
        weights = model.weights()
        model.begin({name: np.zeros_like(value) if name in OF_CLASSES else value for name, value in weights.items()})
    best = model.weights()
    start = _held_out(school, _loss(model.recognize(school.features), school.labels))
    # Opening a spare output may already have moved an answer: what counts is the accuracy of the head as it came.
    progress = Progress(fingerprint, start if lesson.fresh else replace(start, top1=before.top1 or 0.0))
    resumed, saved = 0, _resumable(lesson, fingerprint, tell)
    if saved is not None:
        model.restore(saved.now)
        best, progress, resumed = saved.best, saved.progress, len(saved.progress.epochs)
        tell(f"going on after epoch {resumed}, where an earlier run was stopped")
    steps_s: List[float] = []
    for number in range(resumed + 1, lesson.epochs + 1):
        loss = _epoch(school, lesson, number, steps_s)
        epoch = _held_out(school, loss)
        before_it = progress.epochs[progress.best - 1] if progress.best else progress.start
        better = (epoch.top1, -epoch.held_out_loss) > (before_it.top1, -before_it.held_out_loss)
        progress = replace(progress, epochs=[*progress.epochs, epoch], best=number if better else progress.best)
        best = model.weights() if better else best
        tell(f"epoch {number}/{lesson.epochs}: loss {loss:.4f}, held out {epoch.top1:.2%}" + " *" * better)
        if lesson.checkpoint is not None:
            write_checkpoint(lesson.checkpoint, Checkpoint(model.save(), best, progress))
    model.restore({**rested(model.save()), **best})
    return Done(progress, steps_s, resumed)


def _resumable(lesson: Lesson, fingerprint: str, tell: Tell) -> Optional[Checkpoint]:
    if lesson.checkpoint is None:
        return None
    saved, wrong = last_checkpoint(lesson.checkpoint)
    if wrong:
        tell(f"{wrong}; " + ("the one before it is whole" if saved else "beginning anew"))
    if saved is None or saved.progress.lesson == fingerprint:
        return saved
    model, mine = saved.progress.lesson.partition("-")[0], fingerprint.partition("-")[0]
    if model != mine:
        raise DataError(
            f"{lesson.checkpoint} is a checkpoint of another model",
            evidence=f"it is of SHA-256 {model[:12]}..., the model has {mine[:12]}...",
            do="remove it to begin anew, or give the file that it was made with",
        )
    tell("the checkpoint there is of other samples or settings; beginning anew")
    return None


def _fingerprint(
    model: Trainable, samples: Tuple[Labelled, Labelled], record: Preprocess, lesson: Lesson, head: Head
) -> str:
    """`MODEL-REST`: the same only for what goes on with the same bits. The number of epochs may grow."""
    digest = hashlib.sha256()
    settings = (lesson.learning_rate, lesson.fresh, lesson.seed, to_plain(record), model.chosen.title)
    digest.update(json.dumps(settings, sort_keys=True).encode())
    arrays = [array for part in samples for array in (part.x, part.y)]
    for array in (*arrays, *(head.weights[name] for name in sorted(head.weights))):
        digest.update(np.ascontiguousarray(array).tobytes())
    return f"{model.sha256}-{digest.hexdigest()}"


def _epoch(school: School, lesson: Lesson, number: int, steps_s: List[float]) -> float:
    """The mean loss of one epoch. Raises DataError when it is NaN or infinite."""
    model, rate = school.model, lesson.learning_rate or school.model.learning_rate
    order = np.random.default_rng((lesson.seed, number)).permutation(len(school.labels))
    losses = []
    for at in range(0, len(order), model.batch):
        chosen = order[at : at + model.batch]
        began = perf_counter()
        losses.append(model.train(school.features[chosen], school.labels[chosen], rate))
        steps_s.append(perf_counter() - began)
        if not np.isfinite(losses[-1]):
            raise DataError(
                f"the loss became {losses[-1]} in step {len(losses)} of epoch {number}",
                evidence=f"learning rate {rate:g}; losses before: {', '.join(f'{loss:.3g}' for loss in losses[-4:-1])}",
                do="a smaller --learning-rate; nothing was written, the last good head is as it was",
            )
    return float(np.mean(losses))


def _held_out(school: School, loss: float) -> Epoch:
    answers = school.model.recognize(school.held_features)
    if not np.isfinite(answers).all():
        raise DataError(
            "the model answers NaN or infinite values after this epoch",
            do="a smaller --learning-rate; nothing was written, the last good head is as it was",
        )
    right = float((answers.argmax(axis=1) == school.held_labels).mean())
    return Epoch(loss, _loss(answers, school.held_labels), right)


def _loss(answers: Array, labels: Array) -> float:
    """Cross entropy of probabilities [N, K]; of logits, where rows do not add up to 1."""
    if answers.min() < 0 or not np.allclose(answers.sum(axis=1), 1, atol=1e-3):
        answers = np.exp(answers - answers.max(axis=1, keepdims=True))
        answers /= answers.sum(axis=1, keepdims=True)
    own = np.take_along_axis(answers, labels[:, np.newaxis], axis=1)
    return float(-np.log(np.maximum(own, 1e-30)).mean())


def _judge(progress: Progress, before: ScoreResult, after: ScoreResult) -> Tuple[bool, str]:
    """(rolled back, in words)."""
    if progress.best:
        return False, f"kept epoch {progress.best}: held out {before.top1:.2%} -> {after.top1:.2%}"
    if not progress.epochs:
        return False, f"nothing to learn was asked for; held out {before.top1:.2%}"
    last = progress.epochs[-1].top1
    return True, f"no epoch did better than the head it began with ({before.top1:.2%}, the last {last:.2%}): it stays"
