"""A folder with one folder of images per class as a pack, on the board."""

from __future__ import annotations

import os
from typing import Callable, List, NamedTuple, Sequence, Tuple

import numpy as np

from tflite_edge.harness.preprocess import Array
from tflite_edge.records.errors import DataError

# One image file to uint8 [H, W, C], as the model's preprocessing record says; raises DataError where it cannot be read.
Decode = Callable[[str], Array]


class Photos(NamedTuple):
    """x: uint8 [N, H, W, C]; y: class numbers, int64 [N]; labels: the names by number."""

    x: Array
    y: Array
    labels: Tuple[str, ...]


def read_photos(folder: str, labels: Sequence[str], decode: Decode, tell: Callable[[str], None]) -> Photos:
    """All images under `folder`; a class's number is its place in `labels`.

    A folder that `labels` does not name gets the next free number: whether the model has an output for it is told by
    who learns. What cannot be read is told and left out. Raises DataError where nothing is left of a class.
    """
    classes = _classes(folder)
    labels = (*labels, *(name for name in classes if name not in labels))
    images: List[Array] = []
    found: List[int] = []
    for name in classes:
        own = os.path.join(folder, name)
        before = len(images)
        for file in sorted(os.listdir(own)):
            if file.startswith("."):
                continue
            try:
                images.append(decode(os.path.join(own, file)))
            except DataError as error:
                tell(f"left out: {error.what}")
            else:
                found.append(labels.index(name))
        if len(images) == before:
            raise DataError(f"no image in {own} can be read", do="remove the folder, or put images into it")
    return Photos(np.stack(images), np.array(found, np.int64), tuple(labels))


def _classes(folder: str) -> List[str]:
    try:
        names = sorted(name for name in os.listdir(folder) if os.path.isdir(os.path.join(folder, name)))
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}", evidence=str(error)) from error
    if not names:
        raise DataError(f"{folder} has no folders", do="one folder of images for each class, named as the class is")
    return names
