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


def _made(name: str, make: Callable[[Path], object]) -> Path:
    folder = cached("benchmark-data", key_of(name), lambda folder: make(folder / f"{name}.npz"))
    return folder / f"{name}.npz"
