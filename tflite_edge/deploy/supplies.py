"""What a bundle brings along to install offline: wheels, and where there are none Debian's packages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tflite_edge.artifact import cache_folder
from tflite_edge.records.board import Board
from tflite_edge.records.event import Listener
from tflite_edge.targets.emulator import wheels
from tflite_edge.targets.emulator.apt import Apt, Part

PIP = Part(
    "pip", "26.3", "pip-26.3-py3-none-any.whl", "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
)
PILLOW = Part(
    "pillow",
    "12.0.0",
    "pillow-12.0.0-cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl",
    "aa5129de4e174daccbc59d0a3b6d20eaf24417d59851c07ebb37aeb02947987c",
)
# PyPI has neither NumPy nor Pillow for armv7l: on 32-bit boards they are Debian's, with the libraries that their
# extension modules load (`readelf -d`) and Raspberry Pi OS Lite does not have.
DEBIAN = (
    "python3-numpy", "libblas3", "liblapack3", "libgfortran5",
    "python3-pil", "libimagequant0", "libgomp1", "libjpeg62-turbo", "libopenjp2-7", "libtiff6", "libdeflate0",
    "libjbig0", "liblerc4",
    "libwebp7", "libwebpmux3", "libwebpdemux2", "libzstd1", "libxcb1", "libxau6", "libxdmcp6", "libbsd0", "libmd0",
)  # fmt: skip


class Supply(NamedTuple):
    """One file of another maker. kind: "wheel" or "deb"."""

    kind: str
    part: Part
    path: Path


def supplies(board: Board, runtime: str, listen: Listener) -> list[Supply]:
    """The files that `runtime` needs on the board, each proven by its SHA-256. Raises MissingError."""
    home = cache_folder() / "supplies" / board.architecture
    home.mkdir(parents=True, exist_ok=True)
    wanted = [part for part in wheels.WHEELS[board.architecture] if part.name in (runtime, "numpy")]
    wanted += [PIP, PILLOW] if board.architecture == "arm64" else [PIP]
    found = [
        Supply("wheel", part, path) for part, path in _pairs(wanted, wheels.fetch(wanted, home / "wheels", listen))
    ]
    if board.architecture == "armhf":
        apt = Apt(home, board.architecture, "", listen)
        chosen = apt.packages(DEBIAN)
        found += [Supply("deb", part, path) for part, path in _pairs(chosen, apt.fetch(chosen, listen))]
    return found


def _pairs(parts: Sequence[Part], paths: Sequence[Path]) -> list[tuple[Part, Path]]:
    return list(zip(parts, paths, strict=True))
