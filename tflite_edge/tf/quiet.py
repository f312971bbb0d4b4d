"""TensorFlow's C++ parts write to stderr whatever one asks; here it is kept until it matters."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import IO


class Talk:
    """What was said inside `quiet()`: `tail()` is evidence for an error message."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def tail(self, lines: int = 5) -> str:
        self._stream.seek(0)
        kept = [line for line in self._stream.read().decode(errors="replace").splitlines() if line.strip()]
        return "\n".join(kept[-lines:])


@contextlib.contextmanager
def quiet() -> Iterator[Talk]:
    """Send file descriptor 2 and Python's stdout and warnings to a temporary file for a while.

    stdout belongs to the command's result, so Keras's own prints ("Downloading data ...") go there too.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved = os.dup(2)
        os.dup2(stream.fileno(), 2)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield Talk(stream)
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
