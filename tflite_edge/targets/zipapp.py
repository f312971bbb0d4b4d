"""The harness as one file, `harness.pyz`: what a board needs besides NumPy and a runtime."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import tflite_edge

HARNESS = ("records", "harness")  # the two folders that measure a model
BUNDLE = (*HARNESS, "runner")  # what a bundle's program is made of
MAIN = """import sys

from tflite_edge.{folder}.__main__ import main

sys.exit(main(sys.argv[1:]))
"""
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip can hold


def harness_pyz(folder: Path) -> Path:
    """The zipapp of the installed harness in `folder`, named by its content; made only where it is not there.

    `python -I` runs it with nothing else of tflite-edge installed. It appears whole or not at all.
    """
    content = harness_bytes()
    path = Path(folder) / f"harness-{hashlib.sha256(content).hexdigest()[:12]}.pyz"
    if path.is_file() and path.read_bytes() == content:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    Path(part).chmod(0o644)  # mkstemp makes files for their owner alone
    Path(part).replace(path)
    return path


def harness_bytes() -> bytes:
    return zipapp_bytes(HARNESS)


def zipapp_bytes(folders: Sequence[str]) -> bytes:
    """A zipapp of these folders that starts the last one: the same sources give the same bytes on every machine."""
    root = Path(tflite_edge.__file__).parent
    sources = [root / "__init__.py", *(path for name in folders for path in (root / name).glob("*.py"))]
    files = {f"tflite_edge/{path.relative_to(root).as_posix()}": path.read_bytes() for path in sources}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # stored: starts without zlib
        for name, content in sorted({"__main__.py": MAIN.format(folder=folders[-1]).encode(), **files}.items()):
            entry = zipfile.ZipInfo(name, date_time=EPOCH)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # Unix, also when made on Windows
            archive.writestr(entry, content)
    return buffer.getvalue()
