"""Which normalisation a model was trained with, when it does not say: a wrong guess costs accuracy without an error."""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import numpy as np

from tflite_edge.records.errors import DataError
from tflite_edge.records.preprocess import NORMALIZATIONS, Preprocess
from tflite_edge.records.recipe import DataSource
from tflite_edge.tf.data.dataset import Split
from tflite_edge.tf.data.sources import Pool

# Never guessed: files from Keras that subtract this mean want blue first, and red first would look nearly right. The
# zoo's ResNet50, which is turned round, names it.
TURNED = "imagenet-caffe"


def preprocess(pool: Pool, shape: tuple[int, ...], data: DataSource, name: str) -> Preprocess:
    """The preprocessing of `pool` for a model that takes `shape`. Raises DataError when the two do not fit."""
    mean, std = NORMALIZATIONS[name]
    if pool.are_images:
        if len(shape) != 3 or shape[2] not in (1, 3, 4):
            raise DataError(
                f"{pool.name} holds images, but the model takes {list(shape)}",
                do="a model that takes [height, width, 1, 3 or 4]",
            )
        return Preprocess((shape[0], shape[1]), shape[2], data.fit, "bilinear", mean, std)
    assert isinstance(pool.samples, np.ndarray)
    have = tuple(pool.samples.shape[1:])
    if have != shape:
        raise DataError(f"{pool.name} holds samples of {list(have)}, but the model takes {list(shape)}")
    return Preprocess(None, shape[-1], data.fit, "bilinear", mean, std)


def trials(pool: Pool, shape: tuple[int, ...], data: DataSource) -> dict[str, Preprocess]:
    """The normalisations to try, by name: the one asked for; "none" for data that are not images; or all that fit.

    Raises DataError for images without a normalisation asked for and without classes to find it by.
    """
    if data.normalize != "auto":
        names = [data.normalize]
    elif not pool.are_images:
        names = ["none"]
    elif data.task == "anomaly":
        raise DataError(
            "nothing tells how the input of an anomaly detector is normalised",
            do="--normalize " + "|".join(NORMALIZATIONS),
        )
    else:
        names = [name for name, (mean, _) in NORMALIZATIONS.items() if len(mean) in (1, shape[-1]) and name != TURNED]
    return {name: preprocess(pool, shape, data, name) for name in names}


def choose(samples: Split, tried: dict[str, Preprocess], answer: Callable[[Preprocess], np.ndarray]) -> tuple[str, str]:
    """(name, why): the trial under which the model is most often right on `samples`, which are not the test's.

    Of trials that chance may have told apart the most usual one, the first in `tried`, is taken.
    answer: the model's [n, K] answers to the samples under a preprocessing. Raises DataError without class labels.
    """
    labels = samples.y
    if labels is None or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            "without class labels nothing tells how the model's input is normalised",
            do="--normalize " + "|".join(tried),
        )
    right = {name: answer(trial).argmax(axis=-1) == labels for name, trial in tried.items()}
    best = max(right, key=lambda name: right[name].sum())
    close = [name for name in tried if name == best or may_be_chance(right[best], right[name])]
    name = close[0]
    return name, _why(name, best, close, right) + _warning(right[name], labels)


def may_be_chance(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two answerers of the same questions may be equally good. one, other: bool [n], right or not.

    The exact McNemar test, at 5 %, two-sided: only questions that one alone got right tell them apart, and of
    equals each would get half of those (Q. McNemar, Psychometrika 12, 1947).
    """
    won, lost = int((one & ~other).sum()), int((other & ~one).sum())
    apart = won + lost
    tail = sum(comb(apart, k) for k in range(min(won, lost) + 1))
    return 2 * tail * 20 > 2**apart  # whole numbers: 2**apart may be more than a float holds


def _why(name: str, best: str, close: list[str], right: dict[str, np.ndarray]) -> str:
    shares = ", ".join(f"{other} {right[other].mean():.0%}" for other in sorted(right, key=lambda n: -right[n].sum()))
    where = f"on {len(right[name])} samples outside the test ({shares})"
    if name != best:
        return f"usual, within chance of the best {where}"
    others = " and ".join(other for other in close if other != name)
    return f"most often right {where}" + (f", {others} within chance of it" if others else "")


def _warning(right: np.ndarray, labels: np.ndarray) -> str:
    """What to add when even the choice is hardly better than always answering the commonest class."""
    chance = np.bincount(labels).max() / len(labels)
    if right.mean() - chance >= (1 - chance) / 3:
        return ""
    return f"; none of them fits well (guessing gives {chance:.0%}): name it with --normalize"
