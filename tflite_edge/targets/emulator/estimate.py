"""Counts for the runtime that was asked for, and the latency predicted from counts of the runtime that was fitted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

from tflite_edge import flatbuffer
from tflite_edge.flatbuffer.facts import Facts
from tflite_edge.flatbuffer.graph import graphs
from tflite_edge.flatbuffer.prefix import cuts as cuts_of
from tflite_edge.flatbuffer.reader import read
from tflite_edge.records.board import Board
from tflite_edge.records.cut import Cut
from tflite_edge.records.errors import ModelError, TargetError
from tflite_edge.records.estimate import Estimate, OperatorCost, Prediction
from tflite_edge.records.job import CountResult, Job
from tflite_edge.targets.emulator.fit import Fit, kind_of, load_fit, workload


def estimate(board: Board, count: Callable[[Job], CountResult], job: Job, *, operators: bool = False) -> Estimate:
    """What `Emulated.estimate` says; count: as `Emulated.count`."""
    facts = flatbuffer.inspect(job.model)
    cuts = cuts_of(read(job.model)) if operators else None
    counted = count(replace(job, cuts=cuts))
    fit = load_fit()
    asked = refusal(fit, board, counted, job.threads)
    predictions = [asked] if asked else []
    if board.name == fit.board:
        predictions.append(_fitted(fit, facts, job.model, counted, lambda: count(_as_fitted(fit, job))))
    return Estimate(board.name, counted, predictions, costs(job.model, cuts, counted.cuts) if cuts else [])


def _as_fitted(fit: Fit, job: Job) -> Job:
    return replace(job, runtime=fit.runtime, kernels=fit.kernels, cuts=None)


def _fitted(fit: Fit, facts: Facts, model: str, counted: CountResult, again: Callable[[], CountResult]) -> Prediction:
    """The prediction of the configuration that was fitted, from counts of it: one runtime's counts say little of
    another's latency (18 to 20 % off). again: counts it, where `counted` is of another."""
    kind = kind_of(facts.scheme)
    if kind not in fit.coefficients:
        return fit.refused(f"the published figures are of {' and '.join(fit.coefficients)} models, and this is {kind}")
    try:
        same = (counted.runtime.name, counted.kernels) == (fit.runtime, fit.kernels)
        ran = counted if same else again()
    except (ModelError, TargetError) as error:
        return fit.refused(f"{fit.runtime} does not run it: {error.what}")
    if ran.runtime.version != fit.version:
        return fit.refused(f"{fit.runtime} {ran.runtime.version} was counted, and {fit.version} was fitted")
    return fit.predict(workload(model, ran.classes), kind)


def refusal(fit: Fit, board: Board, counted: CountResult, threads: int) -> Prediction | None:
    """Why what was asked for is not predicted; None where it is what was fitted."""
    asked = (board.name, counted.runtime.name, counted.kernels, threads)
    if asked == (fit.board, fit.runtime, fit.kernels, fit.threads):
        return None
    faults = [
        f"{what} {has} and not {wanted}"
        for what, has, wanted in (
            ("the board", fit.board, board.name),
            ("the runtime", fit.runtime, counted.runtime.name),
            ("the kernels", fit.kernels, counted.kernels),
            ("the threads", fit.threads, threads),
        )
        if has != wanted
    ]
    why = f"the published figures are of another configuration: {', '.join(faults)}"
    return Prediction(*asked, None, None, None, fit.source, why)


def costs(model: str, cuts: Sequence[Cut], totals: Sequence[int]) -> list[OperatorCost]:
    """Each operator's share from the totals of the models cut short, the one without operators first."""
    tensors = graphs(read(model))[0].tensors
    own = [totals[0], *(after - before for before, after in itertools.pairwise(totals))]
    return [
        OperatorCost(
            cut.operators - 1,
            cut.last or "(call)",
            tensors[cut.outputs[0]].name,
            instructions,
            instructions / totals[-1],
        )
        for cut, instructions in zip(cuts, own, strict=True)
    ]
