"""An operating system's files for one architecture, unpacked into a folder, with a record of every byte."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from tflite_edge.artifact import sha256, write
from tflite_edge.records.errors import EdgeError, MissingError
from tflite_edge.records.plain import from_plain, to_plain
from tflite_edge.targets.emulator.apt import Part

RECORD, ROOT = "record.json", "root"

# What Python, NumPy and the runtimes load (ctypes needs libffi8). armhf: NumPy is Debian's, and needs a BLAS.
PYTHON = (
    "libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8", "libssl3", "libbz2-1.0", "liblzma5",
    "libpython3.11-minimal", "libpython3.11-stdlib", "python3.11-minimal",
)  # fmt: skip
PACKAGES = {
    "arm64": PYTHON,
    "armhf": (*PYTHON, "python3-numpy", "libblas3", "liblapack3", "libgfortran5"),
}
# What update-alternatives links on the board.
LINKS = {"libblas.so.3": "blas/libblas.so.3", "liblapack.so.3": "lapack/liblapack.so.3"}


@dataclass(frozen=True)
class Record:
    """What a folder holds. files: path -> SHA-256, or "-> target" of a link; what is added later is not among them."""

    architecture: str
    created: str
    packages: list[Part]
    wheels: list[Part]
    size_bytes: int
    files: dict[str, str] = field(default_factory=dict)
    schema: int = 1


def build(home: Path, name: str, packages: Sequence[Part], wheels: Sequence[Part], files: Sequence[Path]) -> Path:
    """The folder `home`/`name` with all packages and wheels of `files` unpacked; it appears whole or not at all.

    Raises MissingError when there is no room or a package cannot be unpacked.
    """
    temporary = Path(tempfile.mkdtemp(dir=home, prefix=f"{name}.tmp"))
    try:
        root = temporary / ROOT
        root.mkdir()
        for file in files:
            _unpack(file, root)
        for link, target in LINKS.items():
            for folder in (root / "usr" / "lib").glob("*-linux-gnu*"):
                if (folder / target).is_file():
                    (folder / link).symlink_to(target)
        found = _files(root)
        size = sum((root / path).lstat().st_size for path in found)
        created = datetime.now(timezone.utc).isoformat(timespec="seconds")
        record = Record(name, created, list(packages), list(wheels), size, found)
        write(temporary / RECORD, json.dumps(to_plain(record), indent=1) + "\n")
        shutil.rmtree(home / name, ignore_errors=True)  # a damaged one
        temporary.chmod(0o755)
        temporary.rename(home / name)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return home / name


def _unpack(file: Path, root: Path) -> None:
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as archive:
            archive.extractall(root / "usr" / "lib" / "python3" / "dist-packages")
        return
    done = subprocess.run(["dpkg-deb", "-x", str(file), str(root)], check=False, capture_output=True, text=True)
    if done.returncode:
        raise MissingError(
            f"cannot unpack {file.name}",
            evidence=done.stderr.strip()[-1500:],
            do="free 500 MB, or set TFLITE_EDGE_CACHE to a folder with room; then run it again",
        )


def _files(root: Path) -> dict[str, str]:
    found = {}
    for folder, _, names in os.walk(root):
        for path in (Path(folder, name) for name in names):
            found[path.relative_to(root).as_posix()] = _content(path)
    return dict(sorted(found.items()))


def _content(path: Path) -> str:
    return f"-> {path.readlink()}" if path.is_symlink() else sha256(path)


def record_of(folder: Path) -> Record | None:
    """None where there is no record, or none that can be read."""
    try:
        return from_plain(Record, json.loads((folder / RECORD).read_text()))
    except (OSError, ValueError, EdgeError):
        return None


def damage(folder: Path) -> str:
    """What is wrong with a folder that was built, in a few words; "" when every byte is as recorded."""
    if not folder.is_dir():
        return "not there"
    record = record_of(folder)
    if record is None:
        return f"no readable {RECORD}"
    for name, content in record.files.items():
        path = folder / ROOT / name
        if not path.is_symlink() and not path.is_file():
            return f"{name} is missing"
        if _content(path) != content:
            return f"{name} was changed"
    return ""
