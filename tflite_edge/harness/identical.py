"""Run two files on the same inputs and say whether they answer the same, bit for bit."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Tuple

import numpy as np

from tflite_edge.harness.bench import SEED, random_input
from tflite_edge.harness.pack import check_images, load_pack
from tflite_edge.harness.preprocess import Array, to_input
from tflite_edge.harness.runtime import choose, describe, open_interpreter, refusals
from tflite_edge.records.job import IdenticalResult, Job
from tflite_edge.records.preprocess import Preprocess

Pair = Tuple[Any, Any]


def identical(job: Job) -> IdenticalResult:
    """Answers of `job.model` and `job.against`: to `job.runs` random inputs, every sample of the pack, and the same for
    each signature that both have. Raises ModelError, MissingError or DataError."""
    assert job.against is not None  # Job refuses to compare with nothing
    chosen = choose(job.runtime)
    first = open_interpreter(job.model, chosen, job.threads)
    pair = first, open_interpreter(job.against, chosen, job.threads)
    edges = [_edges(interpreter) for interpreter in pair]
    if edges[0] != edges[1]:
        return IdenticalResult(describe(chosen), 0, (), f"inputs or outputs: {edges[0]} and {edges[1]}")
    inputs, different = 0, ""
    with refusals(job.model, chosen):
        for values in _inputs(job, first):
            inputs += 1
            different = _answer(pair, values)
            if different:
                break
        keys: List[str] = []
        for key in sorted(set(_signatures(first)) & set(_signatures(pair[1]))):
            different = different or _run(pair, key, job)
            keys.append(key)
    return IdenticalResult(describe(chosen), inputs, tuple(keys), different)


def _edges(interpreter: Any) -> List[Tuple[Any, ...]]:
    """What feeds and answers of two files must have in common; their names may differ."""
    details = [*interpreter.get_input_details(), *interpreter.get_output_details()]
    return [(np.dtype(d["dtype"]).name, tuple(map(int, d["shape"])), tuple(d["quantization"])) for d in details]


def _inputs(job: Job, interpreter: Any) -> Iterator[List[Array]]:
    details = interpreter.get_input_details()
    generator = np.random.default_rng(SEED)
    for _ in range(job.runs):
        yield [random_input(generator, detail, job.model) for detail in details]
    if job.pack is not None:
        images, (taker, record) = load_pack(job.pack).x, (details[0], job.preprocess or Preprocess())
        check_images(images, details, job.pack)
        for number in range(len(images)):
            yield [to_input(images[number : number + 1], record, taker["dtype"], *taker["quantization"])]


def _answer(pair: Pair, values: List[Array]) -> str:
    """Which output is not the same; "" where all are."""
    for interpreter in pair:
        for detail, value in zip(interpreter.get_input_details(), values):
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
    details = zip(*(interpreter.get_output_details() for interpreter in pair))
    for number, (one, other) in enumerate(details):
        answers = pair[0].get_tensor(one["index"]), pair[1].get_tensor(other["index"])
        if not _same(*answers):
            return f"output {number} ({one['name']})"
    return ""


def _signatures(interpreter: Any) -> Dict[str, Any]:
    found: Dict[str, Any] = interpreter.get_signature_list()
    return found


def _run(pair: Pair, key: str, job: Job) -> str:
    """The same for one signature, on one random input: a step of training, say."""
    runners = [interpreter.get_signature_runner(key) for interpreter in pair]
    generator = np.random.default_rng(SEED)
    details = runners[0].get_input_details()
    values = {name: random_input(generator, detail, job.model) for name, detail in sorted(details.items())}
    first, second = (runner(**values) for runner in runners)
    wrong = sorted(name for name in first if name not in second or not _same(first[name], second[name]))
    return f"signature {key}: {', '.join(wrong)}" if wrong else ""


def _same(one: Array, other: Array) -> bool:
    """The same bytes: NaN is the same as itself, and 0.0 is not -0.0."""
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
