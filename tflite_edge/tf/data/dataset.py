"""A pool, split once and for all, behind one preprocessing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tflite_edge.harness.preprocess import normalize
from tflite_edge.records.errors import DataError
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import DataSource
from tflite_edge.tf.data.sources import Pool, open_source

# Below this, activation ranges are luck: the converter would not complain, the int8 model would be wrong.
MIN_CALIBRATION = 10


@dataclass
class Split:
    """Some samples of the pool, read on first use. raw: uint8 or float32 [n, ...]; y as in Pool."""

    pool: Pool
    wanted: np.ndarray
    preprocess: Preprocess

    @cached_property
    def _read(self) -> tuple[np.ndarray, np.ndarray]:
        return self.pool.read(self.wanted, self.preprocess)

    @property
    def raw(self) -> np.ndarray:
        return self._read[0]

    @property
    def indices(self) -> np.ndarray:
        return self._read[1]

    @property
    def y(self) -> np.ndarray | None:
        return None if self.pool.y is None else self.pool.y[self.indices]

    @property
    def x(self) -> np.ndarray:
        """float32 [n, ...]: what the model takes."""
        return normalize(self.raw, self.preprocess)

    def is_of(self, pool: Pool) -> bool:
        """The same data, also where they were opened twice: a number names the same sample in both."""
        return self.pool.sha256 == pool.sha256

    def spread(self, most: int | None) -> np.ndarray:
        """int64: the numbers of `most` samples, or of all, in their order; each class keeps its share."""
        y, count = self.y, len(self)
        order = np.arange(count)
        if y is not None and y.ndim == 1 and np.issubdtype(y.dtype, np.integer):
            order = np.argsort(y, kind="stable")
        chosen = np.linspace(0, count - 1, count if most is None else min(most, count)).round().astype(int)
        return np.sort(order[chosen])

    def first(self, count: int) -> np.ndarray:
        """float32 [count, ...]: the first samples of `x`, without normalising the others."""
        return normalize(self.raw[:count], self.preprocess)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(np.ascontiguousarray(self.raw).tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.indices)


@dataclass
class Dataset:
    """train, calibration and test never share a sample; `calibration` is the representative dataset, and may be of
    another pool.

    unused: of the pool, what was set aside to calibrate with and is more than was asked for.
    """

    pool: Pool
    preprocess: Preprocess
    train: Split
    calibration: Split
    test: Split
    notes: list[str] = field(default_factory=list)
    anomaly: bool = False
    unused: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def held_out(self, most: int = 1000) -> tuple[Split, str]:
        """(samples to choose among files by, where they are from): neither of the test nor of the calibration.

        What was never trained with where there is enough of it; else every other training sample helps out.
        """
        from_train = self.train.wanted[1::2]
        few = len(self.unused) < most // 2
        wanted = np.sort(np.concatenate([self.unused, from_train])) if few else self.unused
        spread = np.linspace(0, len(wanted) - 1, min(most, len(wanted))).round().astype(int)
        split = Split(self.pool, wanted[spread], self.preprocess)
        return split, "of the training split" if few else "set aside from training"

    def more_calibration(self, most: int) -> Split:
        """Up to `most` training samples, class by class, and the calibration's own; none of `held_out`."""
        wanted = self.train.wanted[::2]
        groups = (
            [wanted[self.pool.y[wanted] == label] for label in np.unique(self.pool.y[wanted])]
            if (self.pool.y is not None and self.task in ("classification", "anomaly"))
            else [wanted]
        )
        own = self.calibration.wanted if self.calibration.is_of(self.pool) else wanted[:0]
        return Split(self.pool, np.concatenate([own, round_robin(groups, max(0, most - len(own)))]), self.preprocess)

    def unseen_by_the_test(self, most: int = 500) -> Split:
        """Up to `most` samples of train and calibration together, for choices that must not look at the test."""
        own = [self.calibration.wanted] if self.calibration.is_of(self.pool) else []
        wanted = np.sort(np.concatenate([*own, self.train.wanted]))
        spread = np.linspace(0, len(wanted) - 1, min(most, len(wanted))).round().astype(int)
        return Split(self.pool, wanted[spread], self.preprocess)

    @property
    def task(self) -> str:
        if self.anomaly:
            return "anomaly"
        if self.pool.y is None:
            return "agreement"
        return "classification" if np.issubdtype(self.pool.y.dtype, np.integer) else "regression"


def split(pool: Pool, source: DataSource, preprocess: Preprocess, *, calibrated: bool = True) -> Dataset:
    """Deterministic splits by `source.seed`, stratified by class; a source's own test split is kept.

    What looks for anomalies is trained and calibrated with normal samples: the others are for the test. calibrated:
    False where only the other parts are wanted, so that calibration may be short of samples, and of its own dataset.
    Raises DataError when calibration would have fewer than MIN_CALIBRATION samples or test none, or when a
    representative dataset of its own does not fit.
    """
    generator = np.random.default_rng(source.seed)
    anomaly = source.task == "anomaly"
    if anomaly:
        _refuse_no_anomalies(pool)
    tests, rests = [], []
    for group in _groups(pool):
        shuffled = generator.permutation(group)
        if anomaly and pool.y is not None and pool.y[group[0]] == 1:
            test, rest = shuffled if pool.fixed is None else shuffled[pool.fixed[shuffled] == "test"], shuffled[:0]
        elif pool.fixed is None:
            cut = max(1, round(len(shuffled) * source.test)) if len(shuffled) > 2 else 0
            test, rest = shuffled[:cut], shuffled[cut:]
        else:
            test, rest = (shuffled[pool.fixed[shuffled] == name] for name in ("test", "train"))
        tests.append(test)
        rests.append(rest)
    # Small pools need more than their share to calibrate with; never more than a third of a class.
    total = sum(map(len, rests))
    wanted = max(source.calibration * len(pool.samples), 2 * MIN_CALIBRATION) / max(total, 1)
    cuts = [min(len(rest) // 3, int(np.ceil(len(rest) * wanted))) for rest in rests]
    parts = {
        "train": [rest[cut:] for rest, cut in zip(rests, cuts, strict=True)],
        "calibration": [rest[:cut] for rest, cut in zip(rests, cuts, strict=True)],
        "test": tests,
    }
    calibration = Split(pool, round_robin(parts["calibration"], source.calibration_samples), preprocess)
    notes = list(pool.notes)
    if source.representative and calibrated:
        own = open_source(source.representative)
        if own.sha256 == pool.sha256:  # all of it would calibrate with test samples
            notes.append(f"representative is {pool.name} itself: drawn from what is set aside to calibrate with")
        else:
            calibration = _representative(own, source, pool, preprocess)
    if calibrated:
        _refuse_few(calibration, source)
    if not sum(map(len, tests)):
        raise DataError(
            f"no test samples in {pool.name}", evidence=f"{len(pool.samples)} samples in all", do="add samples"
        )
    if calibrated and len(calibration.wanted) < 100:
        notes.append(f"{len(calibration.wanted)} calibration samples are few; 100 to 500 are usual")
    return Dataset(
        pool,
        preprocess,
        Split(pool, np.sort(np.concatenate(parts["train"])), preprocess),
        calibration,
        Split(pool, np.sort(np.concatenate(parts["test"])), preprocess),
        notes,
        anomaly,
        np.setdiff1d(
            np.concatenate(parts["calibration"]), calibration.wanted if calibration.is_of(pool) else np.zeros(0, int)
        ),
    )


def unseen(pool: Pool, source: DataSource, preprocess: Preprocess) -> Dataset:
    """All of a pool that nothing was made with is there to test with; of one with a test split of its own, that."""
    anomaly = source.task == "anomaly"
    if anomaly:
        _refuse_no_anomalies(pool)
    every = np.arange(len(pool.samples))
    nothing = Split(pool, every[:0], preprocess)
    test = every if pool.fixed is None else np.flatnonzero(pool.fixed == "test")
    return Dataset(pool, preprocess, nothing, nothing, Split(pool, test, preprocess), list(pool.notes), anomaly)


def _refuse_no_anomalies(pool: Pool) -> None:
    if pool.y is None or not np.issubdtype(pool.y.dtype, np.integer) or set(np.unique(pool.y)) != {0, 1}:
        seen = "no labels" if pool.y is None else f"labels {pool.y.min()} to {pool.y.max()}, {pool.y.dtype}"
        raise DataError(
            f"{pool.name} does not say what is normal",
            evidence=seen,
            do="task anomaly takes integer labels, 0 for normal and 1 for anomalous samples, and both are needed",
        )


def _groups(pool: Pool) -> list[np.ndarray]:
    if pool.y is None or not np.issubdtype(pool.y.dtype, np.integer):
        return [np.arange(len(pool.samples))]
    return [np.flatnonzero(pool.y == label) for label in np.unique(pool.y)]


def _representative(own: Pool, source: DataSource, pool: Pool, preprocess: Preprocess) -> Split:
    """The representative dataset that the user brings, up to `calibration_samples`, evenly spread. Raises DataError."""
    if own.are_images and not pool.are_images:
        raise DataError(
            f"{own.name} holds images and {pool.name} other values", do="a representative .npz with float32 x"
        )
    if not own.are_images:
        assert isinstance(own.samples, np.ndarray)
        have = tuple(own.samples.shape[1:])
        size = (*preprocess.size, preprocess.channels) if preprocess.size else None
        wanted = size or (pool.samples.shape[1:] if isinstance(pool.samples, np.ndarray) else ())
        if have != wanted:
            raise DataError(
                f"{own.name} holds samples of {list(have)}, but the model takes {list(wanted)}",
                do="float32 x as the model takes it, or images, which are fitted",
            )
    fed = Preprocess(channels=preprocess.channels) if pool.are_images and not own.are_images else preprocess
    count = min(len(own.samples), source.calibration_samples)
    return Split(own, np.linspace(0, len(own.samples) - 1, count).round().astype(np.int64), fed)


def round_robin(groups: list[np.ndarray], count: int) -> np.ndarray:
    """Up to `count` samples, one of every group in turn: balanced, and the first few are already diverse."""
    turns = [(turn, number, index) for number, group in enumerate(groups) for turn, index in enumerate(group)]
    return np.array([index for _, _, index in sorted(turns)[:count]], dtype=np.int64)


def _refuse_few(calibration: Split, source: DataSource) -> None:
    pool, count = calibration.pool, len(calibration.wanted)
    if count < MIN_CALIBRATION:
        share = "" if source.representative else f", {source.calibration} of them set aside"
        raise DataError(
            f"too few calibration samples: {count}, at least {MIN_CALIBRATION} are needed",
            evidence=f"{pool.name} has {len(pool.samples)} samples{share}",
            do="add samples, or raise [data] calibration or calibration_samples",
        )
