"""A folder with one folder of images per class as a pack, on the board; what counts in folders of images anywhere."""

from __future__ import annotations

import os
from typing import Callable, List, NamedTuple, Sequence, Tuple

import numpy as np

from tflite_edge.harness.preprocess import Array
from tflite_edge.records.errors import DataError

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
VALUES = (".npy",)  # raw values, one sample a file

# One image file to uint8 [H, W, C], as the model's preprocessing record says; raises DataError where it cannot be read.
Decode = Callable[[str], Array]


class Photos(NamedTuple):
    """x: uint8 [N, H, W, C]; y: class numbers, int64 [N]; labels: the names by number."""

    x: Array
    y: Array
    labels: Tuple[str, ...]


def hidden(name: str) -> bool:
    """Whether a file or folder of that name is none of the user's images."""
    return name.startswith((".", "__MACOSX"))  # the second is what macOS adds to its zip files


def files_in(folder: str, extensions: Sequence[str]) -> Tuple[List[str], int]:
    """(files with one of the extensions in and below `folder`, in alphabetical order; how many others there are)."""
    found: List[str] = []
    others = 0
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not hidden(name))
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in extensions and not hidden(name):
                found.append(os.path.join(root, name))
            else:
                others += not hidden(name)
    return found, others


def read_photos(
    folder: str,
    labels: Sequence[str],
    decode: Decode,
    tell: Callable[[str], None],
    extensions: Sequence[str] = IMAGES,
) -> Photos:
    """All images under `folder`; a class's number is its place in `labels`.

    A folder that `labels` does not name gets the next free number: whether the model has an output for it is told by
    who learns. What cannot be read, and what is no image, is told and left out. Raises DataError where nothing is left
    of a class, and for raw values of different shapes or types.
    """
    classes = _classes(folder)
    labels = (*labels, *(name for name in classes if name not in labels))
    images: List[Array] = []
    found: List[int] = []
    for name in classes:
        own = os.path.join(folder, name)
        before = len(images)
        files, others = files_in(own, extensions)
        if others:
            tell(f"left out: {others} files in {own} that are not {' '.join(extensions)}")
        for file in files:
            try:
                image = decode(file)
            except DataError as error:
                tell(f"left out: {error.what}")
                continue
            images.append(image)
            found.append(labels.index(name))
            _refuse_another_kind(image, images[0], file)
        if len(images) == before:
            raise DataError(f"no image in {own} can be read", do="remove the folder, or put images into it")
    return Photos(np.stack(images), np.array(found, np.int64), tuple(labels))


def _refuse_another_kind(image: Array, first: Array, file: str) -> None:
    if (image.shape, image.dtype) != (first.shape, first.dtype):
        raise DataError(
            f"{file} is not a sample like those before it",
            evidence=f"it is {image.dtype} {list(image.shape)}, they are {first.dtype} {list(first.shape)}",
            do="keep only samples that the model takes, each of the same shape and type",
        )


def _classes(folder: str) -> List[str]:
    try:
        names = [name for name in sorted(os.listdir(folder)) if not hidden(name)]
        names = [name for name in names if os.path.isdir(os.path.join(folder, name))]
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}", evidence=str(error)) from error
    if not names:
        raise DataError(f"{folder} has no folders", do="one folder of images for each class, named as the class is")
    return names
