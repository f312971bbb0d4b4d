"""QEMU's user mode emulation: the machine's own where it fits, else Debian's with its libraries, in a folder."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tflite_edge.records.board import Board

PROGRAMS = {"aarch64": "qemu-aarch64", "armv7l": "qemu-arm"}
PACKAGE = "qemu-user"  # the dynamic one: qemu-user-static cannot load plugins
# The interface of plugins changed in 9, and so did much of what is emulated: all figures were taken with 7.2.
SERIES = "7."


@dataclass(frozen=True)
class Qemu:
    """argv: how it is started, the guest's program not included."""

    argv: tuple[str, ...]
    version: str
    own: bool


def find(board: Board, folder: Path) -> Qemu | None:
    """The QEMU for the board: what was downloaded into `folder`, else the machine's own where it will do."""
    program = PROGRAMS[board.machine]
    downloaded = folder / "root" / "usr" / "bin" / program
    if downloaded.is_file():
        loader = _loader(folder / "root")
        return _described((*loader, str(downloaded)), own=False) if loader else None
    own = shutil.which(program)
    return _described((own,), own=True) if own else None


def native_architecture() -> str:
    """Debian's name of this machine's architecture, for which QEMU is downloaded."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _loader(root: Path) -> tuple[str, ...]:
    """Debian's own dynamic loader and libraries: this machine's C library may be older or newer. () without one."""
    for loader in (root / "lib").glob("*-linux-gnu*/ld-linux*.so.*"):
        libraries = loader.parent
        return str(loader), "--library-path", f"{libraries}:{root}/usr/lib/{libraries.name}"
    return ()


def _described(argv: tuple[str, ...], *, own: bool) -> Qemu | None:
    """None for one that cannot load plugins, is of another series, or does not start."""
    try:
        said = [
            subprocess.run([*argv, word], check=False, capture_output=True, text=True, timeout=30)
            for word in ("--version", "-h")
        ]
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"version (\d+\.[\d.]+)", said[0].stdout)
    if version is None or not version[1].startswith(SERIES) or "-plugin" not in said[1].stdout:
        return None
    return Qemu(argv, version[1], own)
