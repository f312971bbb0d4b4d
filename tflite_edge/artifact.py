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
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from tflite_edge import __version__
from tflite_edge.records.errors import MissingError, ModelError, RecipeError
from tflite_edge.records.manifest import SCHEMA as MANIFEST_SCHEMA
from tflite_edge.records.manifest import Manifest, Provenance, Variant
from tflite_edge.records.plain import from_plain, to_plain
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.records.realised import realised
from tflite_edge.records.recipe import Recipe
from tflite_edge.records.repair import Repair
from tflite_edge.records.verdict import worst

MANIFEST = "manifest.json"
ORIGINAL = "original"  # the folder in the output folder for what is made to compare with and not to be used
uses: Counter[str] = Counter()  # "found" and "made": how often this process found a step in the cache, or made it
CACHE_ADVICE = "set TFLITE_EDGE_CACHE to a folder that can be written"


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
def disk_errors(path: Path, elsewhere: str = "choose another output folder with -o") -> Iterator[None]:
    """Name what the disk refused: a full disk and a read-only folder are the user's to mend."""
    try:
        yield
    except OSError as error:
        space = "free some space, then run again: finished steps are kept"
        reasons = {
            errno.ENOSPC: ("no space left on the disk", space),
            errno.EDQUOT: ("the disk quota is used up", space),
            errno.EROFS: ("the file system is read-only", elsewhere),
            errno.EACCES: ("permission denied", elsewhere),
            errno.EPERM: ("permission denied", elsewhere),
            errno.ENOENT: ("the folder cannot be made there", elsewhere),
            errno.ENOTDIR: ("a file is in the way of the folder", elsewhere),
            errno.EEXIST: ("a file is in the way of the folder", elsewhere),
            errno.EISDIR: ("a folder is in the way of the file", elsewhere),
            errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
        }
        if error.errno not in reasons:
            raise
        what, do = reasons[error.errno]
        raise MissingError(f"cannot write {path}: {what}", evidence=str(error), do=do) from error


def write(path: Path, content: bytes | memoryview | str) -> Path:
    """Write `content` under a temporary name in the same folder, then rename it to `path`."""
    with disk_errors(path):
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


def read_manifest(folder: Path) -> Manifest:
    """What `convert` left in `folder`. Raises ModelError where there is none, or one that this version cannot read."""
    path, do = folder / MANIFEST, f"tflite-edge convert MODEL -o {folder}"
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        schema = plain.get("schema") if isinstance(plain, dict) else None
        if schema != MANIFEST_SCHEMA:
            raise ModelError(
                f"{path} is a manifest of another version of tflite-edge, or none at all",
                evidence=f"schema {schema!r}; this version reads {MANIFEST_SCHEMA}",
                do=do,
            )
        return from_plain(Manifest, plain)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{folder} is not a folder that `tflite-edge convert` filled", evidence=str(error), do=do
        ) from error
    except RecipeError as error:
        raise ModelError(f"{path} cannot be read by this version", evidence=str(error), do=do) from error


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
    final = home / key
    with disk_errors(home, CACHE_ADVICE):
        home.mkdir(parents=True, exist_ok=True)
        if final.is_dir():
            uses["found"] += 1
            return final
        lock = FileLock(f"{final}.lock")
        lock.acquire()
    try:
        if final.is_dir():
            uses["found"] += 1
            return final
        for stale in home.glob(f"{key}.tmp*"):  # left by a killed run; the lock proves nobody uses it
            shutil.rmtree(stale, ignore_errors=True)
        with disk_errors(home, CACHE_ADVICE):
            temporary = Path(tempfile.mkdtemp(dir=home, prefix=f"{key}.tmp"))
        try:
            make(temporary)
            with disk_errors(home, CACHE_ADVICE):
                _flush(temporary)
                temporary.rename(final)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        uses["made"] += 1
        return final
    finally:
        lock.release()


def is_cached(step: str, key: str) -> bool:
    return (cache_folder() / step / key).is_dir()


def _flush(folder: Path) -> None:
    """Bring the files to the disk before the folder gets its name: a power cut must not leave empty ones."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


class Artifact:
    """An output folder with its manifest, which is rewritten after every variant and so is always true.

    What an earlier run left stays as it is until the first variant of this one is ready; then it goes. The folder is
    made with the first thing that is written: a recipe that is refused leaves none.
    """

    def __init__(self, folder: Path, recipe: Recipe, argv: Sequence[str]) -> None:
        """Prove, before any work is done, that the folder can be made and written. Raises MissingError."""
        with disk_errors(folder):
            there = folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"x")
            if not there:
                folder.rmdir()
        self.folder, self._recipe, self._argv = folder, _portable(recipe, folder), list(argv)
        self._models: list[Variant] = []
        self._seconds: dict[str, float] = {}
        self._published = False

    @contextlib.contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the wall time of the block to the manifest's `seconds`."""
        start = time.perf_counter()
        yield
        self._seconds[step] = round(self._seconds.get(step, 0.0) + time.perf_counter() - start, 3)

    def describe(self, recipe: Recipe, source: Provenance, preprocess: Preprocess, samples: Path) -> None:
        """Where everything that follows comes from: the recipe as it was resolved; `samples` becomes samples.npz."""
        self._recipe = _portable(recipe, self.folder)
        self._source, self._preprocess, self._samples = source, preprocess, samples.read_bytes()

    def remark(self, note: str) -> None:
        """Add to the source's notes."""
        self._source = replace(self._source, notes=[*self._source.notes, note])

    def add(self, variant: Variant, made: Path) -> None:
        """Publish a variant's file under `variant.file`, and the manifest that lists it."""
        taken = {other.file for other in self._models}
        if variant.file in taken:  # asked for two schemes, got one: both files stay, and both say so
            variant = replace(variant, file=variant.file.replace(".tflite", f"-asked-{variant.mode}.tflite"))
        if not self._published:
            self._replace_earlier()
        path = self.folder / variant.file
        with disk_errors(path.parent):
            path.parent.mkdir(exist_ok=True)
        write(path, made.read_bytes())
        if variant.features:
            write(self.folder / variant.features, made.with_name("features.tflite").read_bytes())
        self.note(variant)

    def note(self, variant: Variant) -> None:
        """List a variant that has no file: the manifest says why."""
        self._models.append(variant)
        if self._published:
            self._write(self._manifest(complete=False))

    def finish(self) -> Manifest:
        """The complete manifest. Where nothing was made, an earlier result is left alone."""
        manifest = self._manifest(complete=True)
        if self._published or not _earlier_files(self.folder):
            self._write(manifest)
        return manifest

    def _replace_earlier(self) -> None:
        """From here on the folder is this run's: an incomplete manifest first, then the rest."""
        stale = _earlier_files(self.folder)
        self._write(self._manifest(complete=False))
        for path in stale:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not there, or something else is in it
            (self.folder / ORIGINAL).rmdir()
        write(self.folder / "samples.npz", self._samples)
        write(self.folder / "labels.txt", "".join(f"{label}\n" for label in self._source.labels))
        self._published = True

    def _write(self, manifest: Manifest) -> None:
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        write(self.folder / MANIFEST, json.dumps(to_plain(manifest), indent=1) + "\n")

    def _manifest(self, *, complete: bool) -> Manifest:
        return Manifest(
            name=self._recipe.name,
            tool={"name": "tflite-edge", "version": __version__},
            versions=versions(),
            host=host(),
            argv=self._argv,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            recipe=replace(self._recipe, repair=self._repair()),
            preprocess=self._preprocess,
            source=self._source,
            samples_sha256=hashlib.sha256(self._samples).hexdigest(),
            models=list(self._models),
            verdict=worst(variant.verdict for variant in self._models if not variant.original),
            complete=complete,
            seconds=self._seconds,
            realised=realised(self._models, self._source.steps, self._recipe.target.on),
        )

    def _repair(self) -> Repair | None:
        """The settings that a ladder came to: with them the recipe makes the same file at once.

        Not where the recipe names another quantiser, for all of its modes: there the ladder is climbed again.
        """
        if self._recipe.convert.quantizer != "converter":
            return self._recipe.repair
        found = (variant.repair.settings for variant in self._models if variant.repair)
        return next(found, self._recipe.repair)


def _portable(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with its paths relative to `folder`, where its manifest will lie: both may move together."""
    return recipe.with_paths(lambda path: f"./{os.path.relpath(path, folder)}")


def _earlier_files(folder: Path) -> list[Path]:
    """The models that the manifest in `folder` lists, as far as they are there."""
    try:
        listed = json.loads((folder / MANIFEST).read_text())["models"]
        names = [str(name) for model in listed for name in (model["file"], model.get("features")) if name]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    ours = [name for name in names if name in (Path(name).name, f"{ORIGINAL}/{Path(name).name}")]
    return [folder / name for name in ours if (folder / name).is_file()]


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what comes out."""
    packages = (
        "tensorflow",
        "tf-keras",
        "numpy",
        "pillow",
        "scikit-learn",
        "ai-edge-litert",
        "tflite-runtime",
        "litert-quantizer",
    )
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
