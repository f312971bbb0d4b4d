"""Run a labelled pack through one model and say how good the answers are."""

from __future__ import annotations

import os
import threading
from time import perf_counter
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from tflite_edge.harness.pack import check_images, load_pack
from tflite_edge.harness.preprocess import Array, dequantize, encoder, normalize
from tflite_edge.harness.runtime import Chosen, choose, describe, open_interpreter, refusals
from tflite_edge.harness.trainable import Trainable
from tflite_edge.records.errors import DataError, MissingError, ModelError
from tflite_edge.records.job import Job, ScoreResult, cores
from tflite_edge.records.preprocess import Preprocess


def score(job: Job) -> ScoreResult:
    """Answer every image of the pack and compare. Raises ModelError, MissingError or DataError."""
    assert job.pack is not None  # Job refuses a score without one
    pack = load_pack(job.pack)
    chosen, record = choose(job.runtime), job.preprocess or Preprocess()
    outputs, seconds, workers = (_of_one if job.lesson is None else _of_pair)(job, pack.x, record, chosen)
    wrong = len(outputs) - int(np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1).sum())
    if wrong:
        raise ModelError(
            f"{job.model} answers NaN or infinite values on {wrong} of {len(outputs)} images",
            do="check the preprocessing and the float model; in float16 weights, values above 65504 overflow",
        )
    if job.outputs is not None:
        save(job.outputs, outputs)
    return ScoreResult(
        runtime=describe(chosen),
        images=len(outputs),
        seconds=seconds,
        images_per_s=len(outputs) / seconds,
        workers=workers,
        **(
            compare_errors(outputs, normalize(pack.x, record), pack.y, pack.reference)
            if pack.anomaly
            else compare(outputs, pack.y, pack.reference, pack.baseline)
        ),
    )


def _of_one(job: Job, images: Array, record: Preprocess, chosen: Chosen) -> Tuple[Array, float, int]:
    """(outputs float32 [N, ...], seconds, workers) of one file."""
    workers = min(job.workers or cores(), len(images))
    # Several workers already keep every core busy: more threads in each would only take turns.
    threads = job.threads if workers == 1 else 1
    interpreters = [open_interpreter(job.model, chosen, threads, job.kernels) for _ in range(workers)]
    check_images(images, interpreters[0].get_input_details(), str(job.pack))
    outputs_of = interpreters[0].get_output_details()
    if len(outputs_of) != 1:
        names = ", ".join(str(detail["name"]) for detail in outputs_of)
        raise DataError(f"the model has {len(outputs_of)} outputs and a pack scores one", evidence=names)

    answers = [_answerer(interpreter, record, images.dtype) for interpreter in interpreters]
    with refusals(job.model, chosen):
        raw, seconds = answer_all(answers, images)
    return dequantize(raw, *outputs_of[0]["quantization"]), seconds, workers


def _of_pair(job: Job, images: Array, record: Preprocess, chosen: Chosen) -> Tuple[Array, float, int]:
    """As `_of_one`, of a head that learns and the file of its features."""
    assert job.lesson is not None
    model = Trainable(job.model, chosen, job.threads, job.lesson.features)
    model.check(images, str(job.pack))
    began = perf_counter()
    return model.infer(images, record), perf_counter() - began, 1


def _answerer(interpreter: Any, record: Preprocess, raw_dtype: Any) -> Callable[[Array], Array]:
    """A function from one raw image [...] to the output tensor of the batch of one."""
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]["index"]
    encode = encoder(raw_dtype, record, source["dtype"], *source["quantization"])

    def answer(image: Array) -> Array:
        interpreter.set_tensor(source["index"], encode(image)[np.newaxis])
        interpreter.invoke()
        output: Array = interpreter.get_tensor(sink)
        return output

    return answer


def answer_all(answers: List[Callable[[Array], Array]], images: Array) -> Tuple[Array, float]:
    """(outputs [N, ...] in the output tensor's type, seconds), one thread per element of `answers`.

    The threads take the next image from one iterator, so a slow core does not keep the others waiting;
    the interpreter lets go of the GIL while it runs. The first image is answered once more beforehand,
    because its output gives the shape. What an answer raises is raised here, once all threads have stopped.
    """
    sample = answers[0](images[0])
    shape = sample.shape[1:] if sample.shape[:1] == (1,) else sample.shape
    outputs = np.empty((len(images), *shape), sample.dtype)
    todo = iter(range(len(images)))  # next() of a range is atomic
    failures: List[BaseException] = []

    def work(answer: Callable[[Array], Array]) -> None:
        try:
            for index in todo:
                outputs[index] = answer(images[index])
                if failures:
                    return
        except BaseException as error:  # noqa: BLE001 - crosses the thread: the caller raises it, Ctrl-C included
            failures.append(error)

    threads = [threading.Thread(target=work, args=(answer,)) for answer in answers[1:]]
    began = perf_counter()
    for thread in threads:
        thread.start()
    work(answers[0])
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt as interrupt:
        failures.append(interrupt)  # the others stop after the image in hand, and the process waits for them
    if failures:
        raise failures[0]
    return outputs, perf_counter() - began


def compare(
    outputs: Array, y: Optional[Array], reference: Optional[Array], baseline: Optional[Array] = None
) -> Dict[str, Any]:
    """The fields of ScoreResult that follow from the answers: outputs float32 [N, ...]. Raises DataError.

    Agreement and differences are those to `reference`; accuracy and errors stand beside `baseline`, where there is one.
    """
    flat = outputs.reshape(len(outputs), -1)  # [N, K]
    classes = max(outputs.shape[1:], default=1)
    one_score_per_class = classes == flat.shape[1] > 1
    found: Dict[str, Any] = {"task": "agreement"}
    if reference is not None:
        reference = _shaped(reference, flat, "reference")
        found["max_difference"] = float(np.abs(flat - reference).max())
        spread = float(reference.std())
        found["relative_error"] = float(np.sqrt(np.square(flat - reference).mean())) / spread if spread else None
    if baseline is not None:
        baseline = _shaped(baseline, flat, "baseline")
    beside = reference if baseline is None else baseline
    if y is not None and y.dtype.kind == "f":
        targets = _shaped(y, flat, "y")
        found.update(task="regression", mae=float(np.abs(flat - targets).mean()))
        if beside is not None:
            found["reference_mae"] = float(np.abs(beside - targets).mean())
        return found
    if reference is not None and one_score_per_class:
        found["agreement"] = float((flat.argmax(axis=1) == reference.argmax(axis=1)).mean())
    if y is not None:
        labels = _labels(y, flat, one_score_per_class)
        found.update(task="classification", **_classification(flat, labels, beside))
    return found


def compare_errors(outputs: Array, x: Array, y: Optional[Array], reference: Optional[Array]) -> Dict[str, Any]:
    """The fields of ScoreResult for a model that rebuilds its input, all float32 [N, ...]. Raises DataError.

    The worse a sample is rebuilt (mean squared error), the less it is like those the model was trained
    on: that error is the score of which the AUC is taken (y: 1 is anomalous, 0 normal).
    """
    flat = outputs.reshape(len(outputs), -1)
    wanted = _shaped(x, flat, "x")
    if y is None or y.shape[:1] != (y.size,) or not np.isin(y, (0, 1)).all():
        evidence = "y is missing" if y is None else f"y is {y.dtype} {list(y.shape)}, {y.min()} to {y.max()}"
        raise DataError("anomalies are labelled 1 and normal samples 0", evidence=evidence)
    anomalous = y.astype(bool)
    found: Dict[str, Any] = {"task": "anomaly", "auc": auc(((flat - wanted) ** 2).mean(axis=1), anomalous)}
    if reference is not None:
        answers = _shaped(reference, flat, "reference")
        found["max_difference"] = float(np.abs(flat - answers).max())
        found["reference_auc"] = auc(((answers - wanted) ** 2).mean(axis=1), anomalous)
    return found


def auc(scores: Array, positive: Array) -> Optional[float]:
    """The share of pairs of a positive and a negative sample in which the positive scores more; ties count half.

    scores: float [N]; positive: bool [N]. None without a sample of either kind. By ranks: Mann and
    Whitney (1947), DOI 10.1214/aoms/1177730491.
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if positives == 0 or negatives == 0:
        return None
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[group]  # equal scores share the mean of their ranks
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _shaped(array: Array, flat: Array, key: str) -> Array:
    if array.size != flat.size:
        raise DataError(
            f"{key} does not fit the model's outputs",
            evidence=f"{key} is {list(array.shape)}, the outputs are {list(flat.shape)}",
        )
    return array.reshape(flat.shape)


def _labels(y: Array, flat: Array, one_score_per_class: bool) -> Array:
    """Labels as int64 [N]; raises DataError when the outputs are not scores of these classes."""
    if y.size != len(flat):
        raise DataError(
            "y must hold one integer label per image",
            evidence=f"y is {list(y.shape)} for {len(flat)} images",
        )
    labels = y.reshape(-1).astype(np.int64)
    if not one_score_per_class:
        raise DataError(
            "integer labels need a model that gives one score per class",
            evidence=f"the model gives {flat.shape[1]} value(s) per image",
            do="give float targets for a single output (regression), or no y and only a reference",
        )
    if labels.min() < 0 or labels.max() >= flat.shape[1]:
        raise DataError(
            "the labels are not classes of the model",
            evidence=f"labels {labels.min()} to {labels.max()}, classes 0 to {flat.shape[1] - 1}",
        )
    return labels


def _classification(scores: Array, labels: Array, reference: Optional[Array]) -> Dict[str, Any]:
    predicted = scores.argmax(axis=1)
    right = predicted == labels
    pairs, counts = np.unique(np.stack([labels, predicted], axis=1), axis=0, return_counts=True)
    found: Dict[str, Any] = {
        "top1": float(right.mean()),
        "top5": float((_rank(scores, labels) < 5).mean()) if scores.shape[1] >= 6 else None,
        "confusion": {f"{true},{guess}": int(count) for true, guess, count in np.column_stack([pairs, counts])},
    }
    if reference is not None:
        reference_right = reference.argmax(axis=1) == labels
        found["reference_top1"] = float(reference_right.mean())
        found["gained"] = int((right & ~reference_right).sum())
        found["lost"] = int((reference_right & ~right).sum())
    return found


def _rank(scores: Array, labels: Array) -> Array:
    """How many classes come before the true one, [N].

    Of equal scores the lower class comes first, as in argmax: int8 outputs tie often, and top-1 and top-5
    must agree on what comes first.
    """
    own = np.take_along_axis(scores, labels[:, np.newaxis], axis=1)
    before = np.arange(scores.shape[1]) < labels[:, np.newaxis]
    ranks: Array = ((scores > own) | ((scores == own) & before)).sum(axis=1)
    return ranks


def save(path: str, outputs: Array) -> None:
    """Write a .npy whole or not at all. Raises MissingError when the place cannot be written."""
    part = path + ".part"
    try:
        with open(part, "wb") as stream:
            np.save(stream, outputs)
        os.replace(part, path)
    except OSError as error:
        raise MissingError(f"cannot write the outputs to {path}", evidence=str(error)) from error
