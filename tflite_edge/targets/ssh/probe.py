"""What a board is, asked in one round trip with plain sh and whatever Python it has."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, field

from tflite_edge.records.errors import MissingError, TargetError
from tflite_edge.records.plain import from_plain
from tflite_edge.targets.ssh.connection import Connection
from tflite_edge.targets.wheels import VENV, Place


def userland() -> str:
    """What this system's programs are made for: a 32-bit system under a 64-bit kernel is armv7l. Runs on boards too."""
    import platform
    import struct

    machine = platform.machine()
    return "armv7l" if struct.calcsize("P") == 4 and machine in ("aarch64", "armv8l") else machine


# Runs on any Python 3 and starts no process: the emulated one cannot. Two runtimes are never imported into one.
LOOK = inspect.getsource(userland)
LOOK += """
import importlib, importlib.util, json, os, platform, sys
found, trouble = {}, {}
for name, module in (("numpy", "numpy"), ("ai-edge-litert", "ai_edge_litert.interpreter"),
                     ("tflite-runtime", "tflite_runtime.interpreter")):
    if name == "tflite-runtime" and ("ai-edge-litert" in found or "numpy" not in found):
        continue
    if name == "tflite-runtime" and not found["numpy"].startswith("1."):
        if importlib.util.find_spec("tflite_runtime"):
            trouble[name] = "it was built with NumPy 1, and %s is there" % found["numpy"]
        continue
    try:
        importlib.import_module(module)
        found[name] = str(getattr(sys.modules[module.split(".")[0]], "__version__", "of unknown version"))
    except Exception as error:
        trouble[name] = "%s: %s" % (type(error).__name__, error)
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION").split()[-1]
except (AttributeError, ValueError, OSError):
    libc = "0.0"
print(json.dumps({"machine": userland(), "glibc": libc, "version": platform.python_version(), "found": found,
                  "trouble": trouble}))
"""

# $1: LOOK; $2: the Python to use, or "". One "key<TAB>value" a line.
SCRIPT = r"""
say() { printf '%s\t%s\n' "$1" "$2"; }
say model "$(tr -d '\000' </proc/device-tree/model 2>/dev/null)"
say os "$(. /etc/os-release 2>/dev/null; printf %s "$PRETTY_NAME")"
say kernel "$(uname -srm)"
say governor "$(cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor 2>/dev/null)"
mkdir -p "$HOME/.cache" 2>/dev/null
say free_kib "$(df -Pk "$HOME/.cache" 2>/dev/null | awk 'NR == 2 { print $4 }')"
case $2 in "~/"*) asked=$HOME/${2#"~/"};; *) asked=$2;; esac
for python in ${asked:+"$asked"} $([ -n "$asked" ] || echo "$HOME/.local/share/tflite-edge/venv/bin/python" python3); do
  command -v "$python" >/dev/null 2>&1 || continue
  if seen=$("$python" -c "$1" 2>&1); then
    say python "$python"
    say seen "$(printf '%s\n' "$seen" | tail -n 1)"
  else
    say broken "$python: $(printf '%s\n' "$seen" | tail -n 1)"
  fi
done
"""


@dataclass(frozen=True)
class Python:
    """One interpreter on the board. found: {"numpy" or runtime: version} that it imports; trouble: what it does not."""

    executable: str
    machine: str
    glibc: str
    version: str
    found: dict[str, str]
    trouble: dict[str, str] = field(default_factory=dict)

    @property
    def runtime(self) -> str:
        """The runtime that would run, "" if none."""
        return next((name for name in ("ai-edge-litert", "tflite-runtime") if name in self.found), "")

    @property
    def place(self) -> Place:
        return Place(self.machine, _pair(self.version), _pair(self.glibc), self.executable)


@dataclass(frozen=True)
class Probe:
    """What is known of a board; "" or None is what it does not tell. broken: Pythons that do not start, and why."""

    model: str
    os: str
    kernel: str
    governor: str
    free_bytes: int | None
    pythons: list[Python]
    broken: list[str] = field(default_factory=list)

    @property
    def best(self) -> Python | None:
        """Our own or the named one before the system's: the first that has a runtime, else the last."""
        ready = [python for python in self.pythons if python.runtime and "numpy" in python.found]
        return next(iter([*ready, *reversed(self.pythons)]), None)


def probe(connection: Connection, deadline_s: float = 120.0) -> Probe:
    """Ask the board. Raises LostError or RefusedError without a connection, TargetError for an answer that is none."""
    address = connection.address
    done = connection.run(SCRIPT, [LOOK, address.python], deadline_s=deadline_s)
    text = done.answer.decode(errors="replace")
    lines = [line.split("\t", 1) for line in text.splitlines() if "\t" in line]
    told = dict(lines)
    if done.status != 0 or "kernel" not in told:
        raise TargetError(
            f"{address.url} does not answer as a Linux board does, exit status {done.status}",
            evidence=f"{text[:300]}\n{done.talk}".strip(),
            do=f"{address.login} sh -c true  must work and print nothing",
        )
    names = [value for key, value in lines if key == "python"]
    seen = [value for key, value in lines if key == "seen"]
    try:
        pythons = [
            from_plain(Python, {"executable": name, **json.loads(value)})
            for name, value in zip(names, seen, strict=True)
        ]
    except (ValueError, TypeError) as error:
        raise TargetError(f"a Python on {address.url} gave no answer", evidence=text[:300]) from error
    free = told.get("free_kib", "")
    return Probe(
        model=told.get("model", ""),
        os=told.get("os", ""),
        kernel=told["kernel"],
        governor=told.get("governor", ""),
        free_bytes=int(free) * 1024 if free.isdigit() else None,
        pythons=pythons,
        broken=[value for key, value in lines if key == "broken"],
    )


def python_cure(asked: str) -> str:
    """What to do on a board without a Python that starts. asked: the one that the address names."""
    return "name one that is there: ?python=PATH" if asked else "there: sudo apt install python3 python3-venv"


def need_python(found: Probe, connection: Connection) -> Python:
    """The interpreter to use. Raises MissingError where the board has none."""
    best = found.best
    if best is None:
        asked = connection.address.python
        raise MissingError(
            f"no Python {asked or '3'} starts on {connection.address.url}",
            evidence="\n".join(found.broken) or f"looked for {asked or f'{VENV}/bin/python and python3'}",
            do=python_cure(asked),
        )
    return best


def _pair(version: str) -> tuple[int, int]:
    numbers = [int(part) if part.isdigit() else 0 for part in version.split(".")[:2]]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)
