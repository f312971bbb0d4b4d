"""`tflite-edge package`: a folder of `convert` becomes one archive for a board."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tflite_edge.artifact import sha256
from tflite_edge.deploy import archive, debian, mcu, sign
from tflite_edge.deploy.build import Build, open_build
from tflite_edge.deploy.bundle import board_bundle
from tflite_edge.records.board import BOARDS, board_named
from tflite_edge.records.errors import UsageError
from tflite_edge.records.event import Listener, silent
from tflite_edge.records.plain import nearest

MCU = "mcu"
TARGETS = (*BOARDS, MCU)


@dataclass(frozen=True)
class Packed:
    """What was written. files: name -> bytes. why: how the model was chosen. signature: the file, or ""."""

    path: str
    target: str
    model: str
    why: str
    bytes: int
    sha256: str
    files: dict[str, int]
    signature: str = ""


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
        raise UsageError(
            f"no target {target!r}", evidence="targets: " + ", ".join(TARGETS), do=nearest(target, TARGETS)
        )
    if deb:
        debian.refuse_other_targets(target)
    if key:
        sign.read_secret(key)  # refused before anything is fetched
    build = open_build(folder, model, accept_degraded=accept_degraded)
    _refuse_learning(build, target)
    files = _files(build, target, runtime, listen)
    out.mkdir(parents=True, exist_ok=True)
    place = out / f"{build.manifest.name}-{target}{'.deb' if deb else '.tar.gz'}"
    place.with_name(place.name + sign.SUFFIX).unlink(missing_ok=True)  # of other bytes
    path = debian.write(build, target, files, place) if deb else archive.pack(files, place)
    signature = sign.sign(path, key) if key else None
    return Packed(
        str(path),
        target,
        build.variant.file,
        build.why,
        path.stat().st_size,
        sha256(path),
        {name: len(content) for name, content in files.items()},
        str(signature or ""),
    )


def _refuse_learning(build: Build, target: str) -> None:
    """Raise UsageError for what learns where it cannot."""
    if build.variant.learning is not None and target == MCU:
        raise UsageError(
            f"{build.variant.file} learns, and TensorFlow Lite Micro does not",
            do="pack another with --model, or this one for a board",
        )
    if build.variant.features:
        raise UsageError(
            f"{build.variant.file} learns from the features of another file, and a bundle has one model",
            evidence=build.variant.features,
            do="convert with --trainable --quantize float32 or dynamic, and pack that with --model",
        )


def _files(build: Build, target: str, runtime: str, listen: Listener) -> dict[str, bytes]:
    if target == MCU:
        return mcu_files(build)
    return board_bundle(build, board_named(target), runtime, listen)


def mcu_files(build: Build) -> dict[str, bytes]:
    """The model as C source, with what a firmware must do around it."""
    arena, why = mcu.arena_of(build.model)
    name = build.manifest.name
    labels = ", ".join(build.manifest.source.labels) or "-"
    record = build.preprocess
    read_me = (
        f"# {name} for TensorFlow Lite Micro\n\n"
        "Add the model's two files to the firmware; include the operators' header where the interpreter is made.\n\n"
        f"- Arena: {arena:,} bytes; {why}.\n"
        f"- Input: (value - {list(record.mean)}) / {list(record.std)}, then the tensor's scale and zero point.\n"
        f"- Classes: {labels}\n"
    )
    sources = mcu.sources(build.model, name, arena, why)
    return {**sources, "README.md": read_me.encode(), build.variant.file: build.model.read_bytes()}
