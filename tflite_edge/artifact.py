"""The output folder and the step cache: everything appears under its name only when it is complete."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from tflite_edge import __version__
from tflite_edge.records.errors import MissingError
from tflite_edge.records.manifest import Manifest, Provenance, Variant
from tflite_edge.records.plain import to_plain
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.recipe import Recipe
from tflite_edge.records.verdict import worst


def sha256(path: Path) -> str:
    """The SHA-256 of a file, or of a folder's relative names and contents, in hex."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        if file != path:
            digest.update(f"\0{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def key_of(*parts: Any) -> str:
    """The SHA-256 of JSON-ready values, in hex: the name of what they make."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Name what the disk refused: a full disk and a read-only folder are the user's to mend."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: ("no space left on the disk", "free some space, then run again: finished steps are kept"),
            errno.EDQUOT: ("the disk quota is used up", "free some space, then run again: finished steps are kept"),
            errno.EROFS: ("the file system is read-only", "choose another output folder with -o"),
            errno.EACCES: ("permission denied", "choose another output folder with -o"),
            errno.EPERM: ("permission denied", "choose another output folder with -o"),
            errno.ENOENT: ("the folder cannot be made there", "choose another output folder with -o"),
            errno.ENOTDIR: ("a file is in the way of the folder", "choose another output folder with -o"),
            errno.EEXIST: ("a file is in the way of the folder", "choose another output folder with -o"),
        }
        if error.errno not in reasons:
            raise
        what, do = reasons[error.errno]
        raise MissingError(f"cannot write {path}: {what}", evidence=str(error), do=do) from error


def write(path: Path, content: bytes | memoryview | str) -> Path:
    """Write `content` under a temporary name in the same folder, then rename it to `path`."""
    with _disk_errors(path):
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content.encode() if isinstance(content, str) else content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    return path


def cache_folder() -> Path:
    """Where finished steps are kept: $TFLITE_EDGE_CACHE, or the user's cache folder."""
    import platformdirs

    return Path(os.environ.get("TFLITE_EDGE_CACHE") or platformdirs.user_cache_dir("tflite-edge"))


def cached(step: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` filled for `key`: made once, then found, whoever asks, also after a kill.

    `make` gets an empty folder; only when it returns does the folder appear under its name. Two
    processes that want the same step wait for each other.
    """
    from filelock import FileLock

    home = cache_folder() / step
    with _disk_errors(home):
        home.mkdir(parents=True, exist_ok=True)
        final = home / key
        if final.is_dir():
            return final
        with FileLock(f"{final}.lock"):
            if final.is_dir():
                return final
            for stale in home.glob(f"{key}.tmp*"):  # left by a killed run; the lock proves nobody uses it
                shutil.rmtree(stale, ignore_errors=True)
            temporary = Path(tempfile.mkdtemp(dir=home, prefix=f"{key}.tmp"))
            try:
                make(temporary)
                temporary.rename(final)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            return final


class Artifact:
    """An output folder with its manifest, which is rewritten after every variant and so is always true."""

    def __init__(self, folder: Path, recipe: Recipe, argv: Sequence[str]) -> None:
        """Make the folder and prove, before any work is done, that it can be written. Raises MissingError."""
        with _disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"x")
        self.folder, self._recipe, self._argv = folder, recipe, list(argv)
        self._models: list[Variant] = []
        self._seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the wall time of the block to the manifest's `seconds`."""
        start = time.perf_counter()
        yield
        self._seconds[step] = round(self._seconds.get(step, 0.0) + time.perf_counter() - start, 3)

    def describe(self, source: Provenance, preprocess: Preprocess) -> None:
        """Where everything that follows comes from; writes `labels.txt`."""
        self._source, self._preprocess = source, preprocess
        write(self.folder / "labels.txt", "".join(f"{label}\n" for label in source.labels))

    def add(self, variant: Variant, made: Path | None) -> None:
        """Publish a variant's file under `variant.file`, and the manifest that lists it."""
        if made:
            taken = {other.file for other in self._models}
            if variant.file in taken:  # asked for two schemes, got one: both files stay, and both say so
                variant = replace(variant, file=variant.file.replace(".tflite", f"-asked-{variant.mode}.tflite"))
            write(self.folder / variant.file, made.read_bytes())
        self._models.append(variant)
        self._write_manifest(complete=False)

    def finish(self) -> Manifest:
        return self._write_manifest(complete=True)

    def _write_manifest(self, *, complete: bool) -> Manifest:
        manifest = Manifest(
            name=self._recipe.name,
            tool={"name": "tflite-edge", "version": __version__},
            versions=versions(),
            host=host(),
            argv=self._argv,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            recipe=self._recipe,
            preprocess=self._preprocess,
            source=self._source,
            models=self._models,
            verdict=worst(variant.verdict for variant in self._models),
            complete=complete,
            seconds=self._seconds,
        )
        write(self.folder / "manifest.json", json.dumps(to_plain(manifest), indent=1) + "\n")
        return manifest


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what comes out."""
    packages = ("tensorflow", "tf-keras", "numpy", "pillow", "scikit-learn", "ai-edge-litert", "tflite-runtime")
    found = {"python": platform.python_version()}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def host() -> dict[str, str]:
    """What the work was done on; no host or user names."""
    return {"machine": platform.machine(), "system": platform.system(), "cores": str(os.cpu_count()), "cpu": _cpu()}


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    return platform.processor()
