"""Which runtime's wheel fits a board, with which NumPy, and the commands that install it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tflite_edge.records.errors import MissingError

VENV = "~/.local/share/tflite-edge/venv"  # ours, on the board: Raspberry Pi OS is externally managed (PEP 668)


DEBIANS_NUMPY = "sudo apt install -y python3-numpy python3-venv"  # where PyPI has none: armv7l


@dataclass(frozen=True)
class Place:
    """What decides which wheels fit: the Python that would run them.

    machine: of the userland: a 32-bit OS on a 64-bit kernel is armv7l. glibc: (0, 0) where there is another libc.
    """

    machine: str
    python: tuple[int, int]
    glibc: tuple[int, int]
    executable: str = "python3"


@dataclass(frozen=True)
class Wheels:
    """runtimes: {name: version} that pip finds there, the best first. numpy: its bound. why: in a sentence.
    commands: for a shell on the board, none where nothing fits."""

    runtimes: dict[str, str]
    numpy: str
    why: str
    commands: list[str] = field(default_factory=list)


def fitting(place: Place) -> Wheels:
    """What PyPI has for `place` (asked with `pip download --platform` for these versions, Python 3.9 to 3.14).

    tflite-runtime ends at 2.14.0, for Python 3.9 to 3.11 and NumPy 1; on ARM that needs glibc 2.34 and 2.13.0 takes
    the older ones. ai-edge-litert has 64-bit wheels only. PyPI has no NumPy for armv7l: Debian's it is there.
    """
    python, glibc, arm = place.python, place.glibc, place.machine in ("aarch64", "armv7l")
    name = f"{place.machine}, Python {python[0]}.{python[1]}, glibc {glibc[0]}.{glibc[1]}"
    runtimes = {}
    if place.machine in ("x86_64", "aarch64") and glibc >= (2, 27) and python >= (3, 9):
        runtimes["ai-edge-litert"] = "2.1.0" if python == (3, 9) else "2.3.0"
    if place.machine in ("x86_64", "aarch64", "armv7l") and (3, 9) <= python <= (3, 11) and glibc >= (2, 17):
        runtimes["tflite-runtime"] = "2.13.0" if arm and glibc < (2, 34) else "2.14.0"
    if not runtimes:
        return Wheels({}, "", f"no runtime has a wheel for {name}: {_way_out(place)}")
    numpy = "numpy<2" if "tflite-runtime" in runtimes else "numpy"
    best, version = next(iter(runtimes.items()))
    why = f"{best} {version} is the best that fits {name}"
    if place.machine == "armv7l":
        commands = [DEBIANS_NUMPY, f"{place.executable} -m venv --system-site-packages {VENV}"]
        return Wheels(
            runtimes, "python3-numpy of the system", why, [*commands, f"{VENV}/bin/pip install {best}=={version}"]
        )
    bound = f'"{numpy}"' if best == "tflite-runtime" else "numpy"
    commands = [
        f"{place.executable} -m venv {VENV}",
        f"{VENV}/bin/pip install {best}=={version} {bound}",
    ]
    return Wheels(runtimes, bound.strip('"'), why, commands)


def _way_out(place: Place) -> str:
    if place.machine == "armv7l" and place.python > (3, 11):
        return "use the 64-bit Raspberry Pi OS, or the 32-bit one of Bookworm (Python 3.11)"
    if place.machine == "armv6l":
        return "a Pi 1 or Zero has no wheels at all"
    if place.glibc < (2, 17):
        return "the wheels are for glibc, not for musl"
    return "use Raspberry Pi OS Bookworm (Python 3.11) or later, 64-bit"


def no_runtime(where: str, place: Place, install: str) -> MissingError:
    """The error where no runtime is installed. install: the command of ours that does it from here."""
    wheels = fitting(place)
    if not wheels.commands:
        return MissingError(f"no TFLite runtime runs on {where}", evidence=wheels.why)
    return MissingError(
        f"no TFLite runtime is installed on {where}",
        evidence=wheels.why,
        do=f"there: {' && '.join(wheels.commands)}\n      or from here: {install}",
    )
