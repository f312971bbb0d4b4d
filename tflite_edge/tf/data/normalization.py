"""Which normalisation a model was trained with, when it does not say: a wrong guess costs accuracy without an error."""

from __future__ import annotations

from collections.abc import Callable

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

    answer: the model's [n, K] answers to the samples under a preprocessing. Raises DataError without class labels.
    """
    if samples.y is None or not np.issubdtype(samples.y.dtype, np.integer):
        raise DataError(
            "without class labels nothing tells how the model's input is normalised",
            do="--normalize " + "|".join(tried),
        )
    right = {name: float((answer(trial).argmax(axis=-1) == samples.y).mean()) for name, trial in tried.items()}
    best = max(right.values())
    error = 2 * (best * (1 - best) / len(samples)) ** 0.5  # two standard errors: what chance may have done
    name = next(name for name in tried if right[name] >= best - error)
    shares = ", ".join(f"{other} {right[other]:.0%}" for other in sorted(right, key=lambda n: -right[n]))
    return name, f"most often right on {len(samples)} samples outside the test ({shares})"
