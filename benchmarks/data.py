"""The real data that benchmarks use when it is at hand: as .npz files of x_train, y_train, x_test, y_test."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.process import HERE, run
from tflite_edge.artifact import cached, key_of

# A folder with `unpack_cifar10.py` and Keras's download cache, beside the checkout unless named.
SHARED = Path(os.environ.get("TFLITE_EDGE_BENCHMARK_DATA", HERE.parent.parent / "shared" / "data"))


def cifar10() -> str:
    """What `--data` takes: an .npz where the images lie in SHARED, else the name, which Keras downloads."""
    script = SHARED / "unpack_cifar10.py"
    if not script.exists():
        return "cifar10"
    return str(_made("cifar10", lambda path: run(sys.executable, script, path)))


def fashion_mnist() -> str:
    """As `cifar10`."""
    folder = SHARED / "keras_cache" / "datasets" / "fashion-mnist"
    if not folder.exists():
        return "fashion_mnist"

    def read(name: str, skip: int) -> np.ndarray:
        with gzip.open(folder / name) as stream:
            return np.frombuffer(stream.read(), np.uint8, offset=skip)

    def make(path: Path) -> None:
        arrays = {}
        for ours, theirs in (("train", "train"), ("test", "t10k")):
            arrays[f"x_{ours}"] = read(f"{theirs}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
            arrays[f"y_{ours}"] = read(f"{theirs}-labels-idx1-ubyte.gz", 8)
        np.savez(path, **arrays)

    return str(_made("fashion_mnist", make))


def some(source: str, train: int) -> str:
    """The first `train` training samples of what the above gave, and all of its tests."""

    def make(path: Path) -> None:
        whole = _arrays(source)
        np.savez(path, **{key: array[:train] if key.endswith("train") else array for key, array in whole.items()})

    return str(_made(f"{Path(source).stem}_{train}", make))


def odd_ones(source: str, normal: int) -> str:
    """Images of what the above gave as vectors of 0 to 1, in which those of every class but `normal` are anomalies."""

    def make(path: Path) -> None:
        arrays = _arrays(source)
        for part in ("train", "test"):
            images, odd = arrays[f"x_{part}"], arrays[f"y_{part}"] != normal
            arrays[f"x_{part}"] = images.reshape(len(images), -1).astype(np.float32) / 255
            arrays[f"y_{part}"] = odd.astype(np.int64)
        kept = arrays["y_train"] == 0
        arrays |= {key: arrays[key][kept] for key in ("x_train", "y_train")}
        np.savez(path, **arrays)

    return str(_made(f"{Path(source).stem}_but_{normal}", make))


def _arrays(source: str) -> dict[str, np.ndarray]:
    """Of an .npz, or of a data set that Keras downloads."""
    if Path(source).suffix == ".npz":
        with np.load(source) as whole:
            return dict(whole)
    from tf_keras import datasets

    (x_train, y_train), (x_test, y_test) = getattr(datasets, source).load_data()
    return {"x_train": x_train, "y_train": y_train.ravel(), "x_test": x_test, "y_test": y_test.ravel()}


def _made(name: str, make: Callable[[Path], object]) -> Path:
    folder = cached("benchmark-data", key_of(name), lambda folder: make(folder / f"{name}.npz"))
    return folder / f"{name}.npz"
