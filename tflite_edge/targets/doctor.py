"""What this machine or a board lacks for its work, each with the command that mends it."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tflite_edge.artifact import cache_folder
from tflite_edge.records.job import RUNTIMES
from tflite_edge.targets.ssh.probe import Probe, Python, python_cure, userland
from tflite_edge.targets.wheels import DEBIANS_NUMPY, Place, Wheels, fitting

LEAST_BYTES = 2 * 2**30  # an emulated board, a model's steps and their caches
LEAST_BOARD_BYTES = 500 * 2**20  # a venv with NumPy and a runtime
# tool -> (what it is for, Debian's package). None is needed to convert and to evaluate here.
TOOLS = {
    "ssh": ("boards over SSH", "openssh-client"),
    "apt-get": ("emulated boards", "apt"),
    "dpkg-deb": ("emulated boards", "dpkg"),
    "qemu-aarch64": ("emulated boards, which download it where it is missing", "qemu-user"),
    "gcc": ("counting instructions on emulated boards", "gcc"),
    "edgetpu_compiler": ("Coral's accelerators", ""),
}


@dataclass(frozen=True)
class Point:
    """One thing looked at. ok: None where nothing needs it to be otherwise. do: the command that mends it."""

    what: str
    ok: bool | None
    found: str
    do: str = ""


def look_here() -> list[Point]:
    """This machine: its Python, runtimes, TensorFlow, tools, governor and the space in the cache."""
    cache = cache_folder()
    version = tuple(map(int, platform.python_version_tuple()[:2]))
    name, libc = platform.libc_ver()
    numbers = libc.split(".")[:2] if name == "glibc" else ["0", "0"]
    place = Place(userland(), (version[0], version[1]), (int(numbers[0]), int(numbers[1])), sys.executable)
    installed = {name: _version(name) for name in (*RUNTIMES, "numpy")}
    found = {name: version for name, version in installed.items() if version}
    here = Python(sys.executable, place.machine, libc, platform.python_version(), found)
    return [
        *_python(here),
        *_tensorflow(),
        *(_tool(*item) for item in TOOLS.items()),
        _governor(_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        _space(_free(cache), LEAST_BYTES, str(cache), "tflite-edge emulator remove --all, or TFLITE_EDGE_CACHE=DIR"),
    ]


def emulators() -> list[Point]:
    """The emulated boards of this machine; one that is damaged is to be mended."""
    from tflite_edge.records.board import BOARDS
    from tflite_edge.targets.emulator import status

    found = [status(board) for board in BOARDS.values()]
    return [
        Point(
            f"emulator {one.board}",
            None if one.state == "not installed" else one.state != "damaged",
            one.state,
            f"tflite-edge emulator install {one.board}" if one.state == "damaged" else "",
        )
        for one in found
    ]


def look_there(probe: Probe, install: str, asked: str = "") -> list[Point]:
    """A board, from its probe. install: the command that installs a runtime there. asked: the Python that was named."""
    points = [Point("board", None, f"{probe.model or 'of unknown model'}, {probe.os or 'unknown OS'}, {probe.kernel}")]
    if probe.best is None:
        broken = "\n".join(probe.broken) or "none starts"
        points.append(Point("Python", False, broken, python_cure(asked)))
    else:
        points += _python(probe.best, install)
    points.append(_governor(probe.governor))
    points.append(_space(probe.free_bytes, LEAST_BOARD_BYTES, "~/.cache", "make room on the board"))
    return points


def _python(python: Python, install: str = "") -> list[Point]:
    """What fits this Python and what it has."""
    wheels = fitting(python.place)
    names = " or ".join(f"{name} {version}" for name, version in wheels.runtimes.items())
    points = [
        Point("Python", None, f"{python.version} on {python.machine}, glibc {python.glibc}: {python.executable}"),
        Point("wheel that fits", bool(names), names or wheels.why),
    ]
    mend = install or (f"{python.executable} -m pip install {next(iter(wheels.runtimes))}" if wheels.runtimes else "")
    has = ", ".join(f"{name} {python.found[name]}" for name in RUNTIMES if name in python.found)
    points.append(Point("runtime", bool(has), has or "none", "" if has else mend))
    return [*points, _numpy(python, wheels, install)]


def _numpy(python: Python, wheels: Wheels, install: str) -> Point:
    """tflite-runtime was built with NumPy 1 and does not import with 2; it is in `trouble` where that is so.

    install: over SSH, where pip may not change the system's Python (PEP 668): with the runtime, our venv gets NumPy.
    """
    numpy, arm32 = python.found.get("numpy", ""), python.machine == "armv7l"
    new = numpy != "" and not numpy.startswith("1.")
    lite = "tflite-runtime" in python.found or (new and "tflite-runtime" in python.trouble)
    clash = new and (lite or (arm32 and bool(wheels.runtimes)))
    told = f"{numpy or 'none'}{', must be below 2 for tflite-runtime' if lite or clash else ''}"
    pip = f"{python.executable} -m pip"
    if numpy and not clash:
        return Point("NumPy", True, told)
    if arm32:
        mend = f"{pip} uninstall -y numpy && {DEBIANS_NUMPY}" if numpy else DEBIANS_NUMPY
    else:
        bound = "numpy<2" if lite else wheels.numpy or "numpy"
        mend = install if install and not python.runtime else f"{pip} install {shlex.quote(bound)}"
    return Point("NumPy", False, told, mend)


def _tensorflow() -> list[Point]:
    """TF-MOT needs Keras 2, which TensorFlow 2.16 and later have in tf-keras: tf/ chooses it in one place."""
    names = ("tensorflow", "tf-keras", "tensorflow-model-optimization")
    versions = {name: _version(name) for name in names}
    lacking = [name for name, version in versions.items() if not version]
    points = [
        Point(name, bool(version), version or "none", "" if version else "pip install 'tflite-edge[convert]'")
        for name, version in versions.items()
    ]
    minor = {name: versions[name].split(".")[:2] for name in ("tensorflow", "tf-keras")}
    legacy = os.environ.get("TF_USE_LEGACY_KERAS", "")
    if legacy not in ("", "1"):
        points.append(Point("Keras 2", False, f"TF_USE_LEGACY_KERAS={legacy}", "unset TF_USE_LEGACY_KERAS"))
    elif not lacking:
        fits = minor["tensorflow"] == minor["tf-keras"]
        mend = "" if fits else f"pip install 'tf-keras=={'.'.join(minor['tensorflow'])}.*'"
        points.append(Point("Keras 2", fits, "tf-keras fits TensorFlow" if fits else "tf-keras is of another", mend))
    return points


def _tool(name: str, about: tuple[str, str]) -> Point:
    path = shutil.which(name)
    purpose, package = about
    if path:
        return Point(name, None, path)
    return Point(name, None, f"none; for {purpose}", f"sudo apt install {package}" if package else "")


def _governor(governor: str) -> Point:
    if not governor:
        return Point("CPU governor", None, "not told by this system")
    steady = governor == "performance"
    mend = "" if steady else "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
    return Point("CPU governor", steady, governor, mend)


def _space(free: int | None, least: int, where: str, mend: str) -> Point:
    if free is None:
        return Point("disk space", None, f"{where}: not told by this system")
    enough = free >= least
    return Point("disk space", enough, f"{free / 2**30:.1f} GiB free in {where}", "" if enough else mend)


def _free(folder: Path) -> int:
    """Bytes free where `folder` is or would be."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
