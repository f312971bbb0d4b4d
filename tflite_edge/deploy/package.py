"""`tflite-edge package`: a folder of `convert` becomes one archive for a board."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from tflite_edge.artifact import disk_errors, sha256
from tflite_edge.deploy import archive, debian, mcu, sign
from tflite_edge.deploy.accelerator import Accelerator, Contents
from tflite_edge.deploy.build import Build, open_build
from tflite_edge.deploy.bundle import board_bundle
from tflite_edge.deploy.coral import CORAL, CORALS, coral_files
from tflite_edge.deploy.ethos import ethos_files
from tflite_edge.flatbuffer import rules
from tflite_edge.records.board import BOARDS, board_named
from tflite_edge.records.errors import MissingError, UsageError
from tflite_edge.records.event import Listener, silent
from tflite_edge.records.plain import nearest
from tflite_edge.records.verdict import Finding, verdict_of

MCU = "mcu"
ETHOS = tuple(name for name in rules.TARGETS if name.startswith("ethos-"))
TARGETS = (*BOARDS, MCU, *CORALS, *ETHOS)


@dataclass(frozen=True)
class Packed:
    """What was written. files: name -> bytes. why: how the model was chosen. signature: the file, or "".

    findings: what of the model the accelerator does not take; notes: what else is to be known.
    """

    path: str
    target: str
    model: str
    why: str
    bytes: int
    sha256: str
    files: dict[str, int]
    signature: str = ""
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    accelerator: Optional[Accelerator] = None  # noqa: UP045 - as the other records

    @property
    def verdict(self) -> str:
        return verdict_of(self.findings)


def package(
    folder: Path,
    target: str,
    out: Path,
    *,
    model: str = "",
    runtime: str = "auto",
    deb: bool = False,
    key: Path | None = None,
    accept_degraded: bool = False,
    listen: Listener = silent,
) -> Packed:
    """Write NAME-TARGET.tar.gz (deb: NAME-TARGET.deb) into `out`, and its signature by `key`. Raises EdgeError."""
    if target not in TARGETS:
        close = nearest(target, TARGETS)
        raise UsageError(
            f"no target {target!r}",
            evidence="\n".join((", ".join(BOARDS), f"{CORAL}[@BOARD], {MCU}", *_ethos_families())),
            do=close if close.startswith("did you mean") else "choose one of these with --for",
        )
    if deb:
        debian.refuse_other_targets(target)
    if key:
        sign.read_secret(key)  # refused before anything is fetched
    build = open_build(folder, model, accept_degraded=accept_degraded)
    _refuse_learning(build, target)
    contents = _contents(build, target, runtime, listen, accept_degraded)
    files = contents.files
    name = f"{build.manifest.name}-{target.replace('@', '-')}{'.deb' if deb else '.tar.gz'}"

    def make(place: Path) -> None:
        if deb:
            debian.write(build, target, files, place)
        else:
            archive.pack(files, place)

    path, signature = publish(out / name, make, key)
    return Packed(
        str(path),
        target,
        build.variant.file,
        build.why,
        path.stat().st_size,
        sha256(path),
        {name: len(content) for name, content in files.items()},
        str(signature or ""),
        list(contents.notes),
        list(contents.findings),
        contents.accelerator,
    )


def _ethos_families() -> list[str]:
    """A line for each Ethos-U, with its sizes."""
    families = dict.fromkeys(name.rpartition("-")[0] for name in ETHOS)
    return [", ".join(name for name in ETHOS if name.startswith(f"{family}-")) for family in families]


def publish(path: Path, make: Callable[[Path], object], key: Path | None) -> tuple[Path, Path | None]:
    """(`path`, which `make` writes; its signature by `key`). Both appear when both are made, and until then the earlier
    archive keeps its own. Raises MissingError where the disk refuses."""
    beside = path.with_name(path.name + sign.SUFFIX)
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        for place in (path, beside):
            if place.is_dir():
                raise MissingError(
                    f"cannot write {place}: a folder is in the way", do="remove it, or choose another -o"
                )
        # A folder, because an archive and its signature hold the archive's name.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".package-") as folder:
            made = Path(folder) / path.name
            make(made)
            signature = sign.sign(made, key) if key else None
            made.replace(path)
            if signature:
                signature.replace(beside)
            else:
                beside.unlink(missing_ok=True)  # of other bytes
    return path, beside if signature else None


def _refuse_learning(build: Build, target: str) -> None:
    """Raise UsageError for what learns where it cannot."""
    if build.variant.learning is not None and target not in BOARDS:
        where = "an Edge TPU" if target in CORALS else "TensorFlow Lite Micro"
        raise UsageError(
            f"{build.variant.file} learns, and {where} does not",
            do="pack another with --model, or this one for a board",
        )


def _contents(build: Build, target: str, runtime: str, listen: Listener, accept_degraded: bool) -> Contents:
    if target == MCU:
        return mcu_files(build)
    if target in ETHOS:
        return ethos_files(build, target, accept_degraded=accept_degraded)
    if target in CORALS:
        return coral_files(build, target, runtime, listen, accept_degraded=accept_degraded)
    return Contents(board_bundle(build, board_named(target), runtime, listen))


def mcu_files(build: Build) -> Contents:
    """The model as C source, without what no microcontroller reads, with what a firmware must do around it."""
    mcu.resolver(build.model)  # refused before it is run
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as folder:
        return _mcu_sources(build, mcu.stripped(build.model, Path(folder), "-mcu"))


def _mcu_sources(build: Build, model: Path) -> Contents:
    arena, why = mcu.arena_of(model)
    name = build.manifest.name
    labels = ", ".join(build.manifest.source.labels) or "-"
    record = build.preprocess
    read_me = (
        f"# {name} for TensorFlow Lite Micro\n\n"
        "Add the model's two files to the firmware; include the operators' header where the interpreter is made.\n\n"
        f"- {model.name}: {build.variant.file} (SHA-256 {build.variant.sha256}) without names and labels.\n"
        f"- Arena: {arena:,} bytes; {why}.\n"
        f"- Input: (value - {list(record.mean)}) / {list(record.std)}, then the tensor's scale and zero point.\n"
        f"- Classes: {labels}\n"
    )
    sources = mcu.sources(model, name, arena, why)
    files = {**sources, "README.md": read_me.encode(), model.name: model.read_bytes()}
    return Contents(files, (f"arena: {arena:,} bytes; {why}",))
