"""The labelled pack: raw images with their labels and the float model's answers, in one `.npz`.

- x: raw data [N, ...], uint8 or float32, before any preprocessing
- y, optional: integer labels [N] (classification), or float targets, one per output (regression)
- reference, optional: float32 [N, K], what the Keras model behind the file answers on the same `x`
- baseline, optional: float32 [N, K], the same of the float model before it was optimised
- task, optional: the word "anomaly" where y is 0 (normal) or 1, and the model answers its own input
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np

from tflite_edge.harness.preprocess import Array
from tflite_edge.records.errors import DataError

# What numpy.load and zipfile raise for files that are no .npz or whose bytes were changed: found by changing them.
# MemoryError: a header of more values than there is room for. SyntaxError, TokenError: a header that is no Python.
# RuntimeError: an entry is marked as encrypted, or (NotImplementedError) packed in an unknown way.
# AttributeError, TypeError: a bare .npy, which is an array and no archive.
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    AttributeError,
    TypeError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


class Pack(NamedTuple):
    x: Array
    y: Optional[Array]
    reference: Optional[Array]
    baseline: Optional[Array] = None
    anomaly: bool = False


def load_pack(path: str) -> Pack:
    """Read a pack; nothing in it may be a pickle. Raises DataError."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            anomaly = str(arrays.get("task", "")) == "anomaly"
            pack = Pack(arrays["x"], arrays.get("y"), arrays.get("reference"), arrays.get("baseline"), anomaly)
    except UNREADABLE as error:
        raise DataError(
            f"{path} is not a pack",
            evidence=str(error),
            do="a pack is an .npz with x, and optionally y and reference",
        ) from error
    if pack.x.ndim == 0 or len(pack.x) == 0:
        raise DataError(f"the pack {path} is empty", evidence=f"x has shape {list(pack.x.shape)}")
    for key, array in (("x", pack.x), ("y", pack.y), ("reference", pack.reference)):
        if array is None:
            continue
        if array.ndim == 0 or len(array) != len(pack.x):
            raise DataError(f"{path}: x holds {len(pack.x)} images and {key} has shape {list(array.shape)}")
        if array.dtype.kind not in "iufb":
            raise DataError(f"{path}: {key} holds {array.dtype}, not numbers")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"{path}: {key} contains NaN or infinite values")
    return pack


def check_images(images: Array, details: List[Dict[str, Any]], path: str) -> None:
    """Raise DataError unless the pack's images, one at a time, are what the model's one input takes."""
    if len(details) != 1:
        names = ", ".join(str(detail["name"]) for detail in details)
        raise DataError(f"the model takes {len(details)} inputs and {path} holds one", evidence=names)
    shape = [int(size) for size in details[0]["shape"]]
    if shape[1:] != list(images.shape[1:]):
        raise DataError(
            f"the images of {path} do not have the shape of the model's input",
            evidence=f"the pack's x is {list(images.shape)}, the input is {shape}",
            do="pack the images at the size and with the channels of the model",
        )
    if shape[0] != 1:
        raise DataError(
            f"the model takes batches of {shape[0]} images",
            evidence=f"the input is {shape}",
            do="convert it with a batch of 1; images are given to it one at a time",
        )
