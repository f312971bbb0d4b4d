"""Arrays in one plain `.npz` with a seal: it appears whole or not at all, and what was damaged since is noticed."""

from __future__ import annotations

import hashlib
import io
import json
import os
from typing import Any, Dict, Tuple

import numpy as np

from tflite_edge.harness.pack import UNREADABLE
from tflite_edge.harness.preprocess import Array
from tflite_edge.records.errors import DataError, MissingError

ABOUT, SEAL = "about", "seal"  # entries that are no arrays of the caller's
PREVIOUS, PART = ".previous", ".part"
MOST_BYTES = 1 << 30  # of all arrays: a stranger's file must not fill a board's memory


def write_sealed(path: str, arrays: Dict[str, Array], about: Dict[str, Any], *, keep_previous: bool = False) -> int:
    """Write `arrays` and the JSON-ready `about`; the bytes written. At every moment `path` is the old file or the new.

    keep_previous: the old file stays as `path.previous`; between two moments only that one is there. The name
    reaches the disk after the content: else a power cut could leave a name with nothing in it.
    Raises MissingError where the place cannot be written.
    """
    text = json.dumps(about, sort_keys=True)
    entries: Dict[str, Any] = {**arrays, ABOUT: np.array(text), SEAL: np.array(_seal(arrays, text))}
    buffer = io.BytesIO()
    np.savez(buffer, **entries)
    part = path + PART
    try:
        with open(part, "wb") as stream:
            stream.write(buffer.getbuffer())
            stream.flush()
            os.fsync(stream.fileno())
        if keep_previous and os.path.exists(path):
            os.replace(path, path + PREVIOUS)
        os.replace(part, path)
        _flush_folder(os.path.dirname(os.path.abspath(path)))
    except OSError as error:
        raise MissingError(
            f"cannot write {path}", evidence=str(error), do="free some space, or choose a folder that can be written"
        ) from error
    return buffer.getbuffer().nbytes


def _flush_folder(folder: str) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot open folders
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_sealed(path: str) -> Tuple[Dict[str, Array], Dict[str, Any]]:
    """(arrays, about) as they were written. Raises DataError for anything else."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as entries:
            if sum(entry.file_size for entry in entries.zip.infolist()) > MOST_BYTES:
                raise DataError(f"{path} is too large", evidence=f"it unpacks to more than {MOST_BYTES >> 20} MiB")
            arrays = {name: entries[name] for name in entries.files if name not in (ABOUT, SEAL)}
            text, seal = str(entries[ABOUT]), str(entries[SEAL])
        about = dict(json.loads(text))
    except UNREADABLE as error:
        raise DataError(
            f"{path} is not a file of saved weights",
            evidence=str(error) or type(error).__name__,
            do="give what `learn` or `average` wrote, copied in binary mode",
        ) from error
    if seal != _seal(arrays, text):
        raise DataError(f"{path} is damaged", evidence="its content has another SHA-256 than when it was written")
    for name, array in arrays.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise DataError(f"{path}: {name} is {array.dtype}, or holds NaN or infinite values")
    return arrays, about


def _seal(arrays: Dict[str, Array], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
