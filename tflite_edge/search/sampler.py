"""Optuna's sampler for dear trials of few recipes: a Gaussian process for each objective, and the expected gain.

TPE wants many trials before it knows more than chance; here each costs minutes and all points can be looked at (after
Jones, Schonlau and Welch 1998; Emmerich, Giannakoglou and Naujoks 2006, 10.1109/TEVC.2005.859463).
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import TrialState

from tflite_edge.records.search import Budget
from tflite_edge.search.front import POINTS
from tflite_edge.search.front import front as front_of

Floats = npt.NDArray[np.float64]

LEAST = 3  # trials that a process is fitted to
WORST_DROP = 10.0  # points: what loses more interests nobody, unless the budget says so or all trials lose more
LITTLE = 1e-12  # bytes or seconds, whose logarithm is one
NEGLIGIBLE = 1e-6  # of the volume below the limits: no gain is thought possible


class Gaussian(BaseSampler):
    """Of all points the one whose expected gain of hypervolume is greatest, below what the budget allows.

    distributions: of every axis. Points that were tried are not asked for again while there are others.
    """

    def __init__(self, distributions: dict[str, BaseDistribution], budget: Budget, seed: int) -> None:
        self.distributions, self.budget = distributions, budget
        self.chance = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, BaseDistribution]:  # noqa: ARG002
        return self.distributions

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        return self.chance.sample_independent(study, trial, param_name, param_distribution)

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        """{}, which leaves the point to chance, while fewer than LEAST trials have ended or no point is left."""
        if "fixed_params" in trial.system_attrs:  # a preset
            return {}
        trials = [
            (one, tuple(one.params[name] for name in search_space))
            for one in study.get_trials(deepcopy=False)
            if one.params.keys() == search_space.keys()
        ]
        tried = {point for _, point in trials}
        points = [
            point for point in itertools.product(*map(_values, self.distributions.values())) if point not in tried
        ]
        ended = [(one.values, point) for one, point in trials if one.state == TrialState.COMPLETE]
        if not points or len(ended) < LEAST:
            return {}
        values, known = np.array([one for one, _ in ended]), self._coded([point for _, point in ended])
        values[:, 1:] = np.maximum(values[:, 1:], LITTLE)
        running = [point for one, point in trials if one.state == TrialState.RUNNING]
        asked = self._coded([*points, *running])
        processes = [_process(known, column, asked) for column in _logarithms(values).T]
        mean, deviation = (np.stack(part, -1) for part in zip(*processes, strict=True))
        limits = self._limits(values)
        # What others are at counts as if it had come out as expected: two workers do not ask for the same.
        front = np.concatenate([values, _linear(mean[len(points) :])])
        front = front[front_of([tuple(one) for one in front])]
        mean, deviation = mean[: len(points)], deviation[: len(points)]
        gains = expected_gain(front, limits, _shortfalls(mean, deviation))
        scale = np.array([POINTS, *limits[1:]])  # as front.excess counts
        over = np.maximum(0, (_linear(mean) - limits) / scale).sum(-1)
        impossible = gains.max() < NEGLIGIBLE * scale.prod()
        best = np.lexsort((-gains, over))[0] if impossible else gains.argmax()
        return dict(zip(search_space, points[int(best)], strict=True))

    def _coded(self, points: Sequence[tuple[Any, ...]]) -> Floats:
        """[n, columns]: an axis whose neighbours are alike is one column of 0 to 1; another has one for each value."""
        columns = []
        for axis, distribution in zip(zip(*points, strict=True), self.distributions.values(), strict=True):
            values = np.array(axis, np.float64)
            if isinstance(distribution, CategoricalDistribution):
                columns += [values == choice for choice in distribution.choices]
            else:
                columns.append(values / max(_values(distribution)))
        coded: Floats = np.stack(columns, -1).astype(np.float64)
        return coded

    def _limits(self, values: Floats) -> Floats:
        """[objectives]: what the budget allows, else the largest of values [n, objectives].

        Of the drop WORST_DROP, unless all lose more.
        """
        budget = self.budget
        limits: Floats = values.max(0)
        drop = budget.max_drop
        if drop is None and values[:, 0].min() < WORST_DROP:
            drop = WORST_DROP
        for number, most in enumerate((drop, budget.max_bytes, budget.max_latency_s)):  # as Budget.objectives has them
            if most is not None and number < len(limits):
                limits[number] = most
        return limits


def _logarithms(values: Floats) -> Floats:
    """Bytes and seconds [..., 1:] as logarithms, in which shares removed add up; the drop in points as it is."""
    return np.concatenate([values[..., :1], np.log(values[..., 1:])], -1)


def _linear(values: Floats) -> Floats:
    """Back from `_logarithms`."""
    return np.concatenate([values[..., :1], np.exp(values[..., 1:])], -1)


Shortfall = Callable[[float], Floats]  # level -> [n]: by how much each of n unknown values is expected to be below it


def expected_gain(front: Floats, limits: Floats, shortfalls: Sequence[Shortfall]) -> Floats:
    """[n]: by how much n unknown points are expected to enlarge the hypervolume that front [k, m] has below limits [m].

    shortfalls: of each objective; these are independent. Cut into slabs along the last one, in each of which those of
    the front below it have a hypervolume of one objective less. Exact, for few objectives and points.
    """
    front = front[(front < limits).all(-1)]
    last = shortfalls[-1]
    if len(limits) == 1:
        return last(front.min(initial=limits[0]))
    gain = before = np.zeros(1)
    for edge in [*np.unique(front[:, -1]), limits[-1]]:
        below = front[front[:, -1] < edge][:, :-1]
        gain = gain + (last(edge) - before) * expected_gain(below, limits[:-1], shortfalls[:-1])
        before = last(edge)
    return gain


def _shortfalls(mean: Floats, deviation: Floats) -> list[Shortfall]:
    """Of the objectives as `_logarithms` leaves them [n, m]: a normal distribution, then log-normal ones."""
    from scipy.special import ndtr

    def normal(level: float) -> Floats:
        z = (level - mean[:, 0]) / deviation[:, 0]
        density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
        expected: Floats = deviation[:, 0] * (z * ndtr(z) + density)
        return expected

    def logarithmic(m: Floats, d: Floats) -> Shortfall:
        def expect(level: float) -> Floats:
            z = (np.log(level) - m) / d
            expected: Floats = level * ndtr(z) - np.exp(m + d**2 / 2) * ndtr(z - d)
            return expected

        return expect

    return [normal, *(logarithmic(m, d) for m, d in zip(mean.T[1:], deviation.T[1:], strict=True))]


def _process(known: Floats, values: Floats, asked: Floats) -> tuple[Floats, Floats]:
    """(mean, standard deviation) at asked [k, d] of a Gaussian process through values [n] at known [n, d]: Matern 5/2
    with a length for each axis, and noise (two trainings differ)."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    lengths = Matern([1.0] * known.shape[1], (0.1, 20.0), nu=2.5)
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * lengths + WhiteKernel(1e-2, (1e-4, 1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of lengths at their bounds: axes that change nothing
        process = GaussianProcessRegressor(kernel, normalize_y=True).fit(known, values)
        mean, deviation = process.predict(asked, return_std=True)
    return mean, deviation


def _values(distribution: Any) -> tuple[Any, ...]:
    """All that an axis can be, as Optuna counts it."""
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)
    return tuple(range(distribution.low, distribution.high + 1))
