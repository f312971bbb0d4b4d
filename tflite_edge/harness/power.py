"""Power meters: what they are, where they are found, how watts are read from them."""

from __future__ import annotations

import math
import os
import re
import signal
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from glob import glob
from typing import Any, Dict, List, Optional, Tuple

from tflite_edge.harness.sensors import read_text, vcgencmd

# The PMIC does not see its own losses nor what hangs on the 5 V rail. Fit of its sum to a meter on the supply, by
# jfikar: https://github.com/jfikar/RPi5-power (idle to full load, one board).
PMIC_SLOPE, PMIC_OFFSET_W = 1.1451, 0.5879
# hwmon chips that measure one component and not the machine.
COMPONENTS = ("amdgpu", "nouveau", "nvme", "i915", "xe")


class Meter(ABC):
    """Something that tells watts. source: in words. paced: it answers at once, so the caller keeps the time."""

    source = ""
    paced = True

    @abstractmethod
    def read(self) -> float:
        """Watts now, or since the last reading. Raises OSError or ValueError."""

    def stop(self) -> None:  # noqa: B027 - few meters wait
        """End a reading that waits, from another thread."""

    def close(self) -> None:  # noqa: B027 - few meters hold anything
        """Let go of what it holds, when nobody reads any more."""


class Pmic(Meter):
    """The Raspberry Pi 5's power management chip."""

    source = (
        f"Pi 5 PMIC (vcgencmd pmic_read_adc): {PMIC_SLOPE} x the sum of the rails + {PMIC_OFFSET_W} W, "
        "by the fit of github.com/jfikar/RPi5-power"
    )

    def __init__(self, root: str) -> None:
        self.root = root

    def read(self) -> float:
        text, why = vcgencmd(self.root, "pmic_read_adc")
        if text is None:
            raise OSError(why)
        return PMIC_SLOPE * rails_w(text) + PMIC_OFFSET_W


class Hwmon(Meter):
    """A chip of /sys/class/hwmon with a power in microwatts, such as an INA219 in the supply line."""

    def __init__(self, path: str, name: str) -> None:
        self.path = path
        self.source = f"{name} (hwmon {os.path.basename(path)})"

    def read(self) -> float:
        with open(self.path, encoding="ascii") as stream:
            return int(stream.read()) * 1e-6


class Rapl(Meter):
    """Intel's and AMD's energy counters of the processor packages, in microjoules that wrap around."""

    def __init__(self, folders: List[str]) -> None:
        self.folders = folders
        names = ", ".join(read_text(os.path.join(folder, "name")) or "?" for folder in folders)
        self.source = f"RAPL ({names}): the processor alone, not the whole machine"
        self.last = self._counters()

    def read(self) -> float:
        (before, counted), now = self.last, self._counters()
        self.last = now
        moment, counters = now
        joules = 0.0
        for folder, old, new in zip(self.folders, counted, counters):
            range_uj = int(read_text(os.path.join(folder, "max_energy_range_uj")) or 0)
            joules += grown(old, new, range_uj) * 1e-6
        return joules / (moment - before)

    def _counters(self) -> Tuple[float, List[int]]:
        counters = []
        for folder in self.folders:
            with open(os.path.join(folder, "energy_uj"), encoding="ascii") as stream:
                counters.append(int(stream.read()))
        return time.perf_counter(), counters


# The command in a group of its own, beside a watcher that ends the group when the harness is gone, however it ended:
# killed, it has no time to. The watcher sees it by the end of the pipe that is the shell's stdin.
WATCHED = 'exec 3<&0 </dev/null; (read -r gone <&3; kill -KILL 0) >/dev/null & exec 3<&-; exec sh -c "$1"'


class Command(Meter):
    """The user's own command: it prints a line for each reading and goes on, or prints one and ends."""

    paced = False
    PAUSE_S = 0.1  # between two starts of a command that ends

    def __init__(self, command: str) -> None:
        self.command, self.source = command, f"the command {command!r}"
        self.child: Any = None

    def read(self) -> float:
        import subprocess

        fresh = False  # started in this call, and no line so far
        while True:
            if self.child is None:
                self.child = subprocess.Popen(  # the user's own words, a pipe among them as a rule
                    ["/bin/sh", "-c", WATCHED, "sh", self.command],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
                fresh = True
            line = self.child.stdout.readline()
            if line.strip():
                return watts_in(line)
            if line:
                continue
            self._reap(fresh)

    def _reap(self, silent: bool) -> None:
        """After the end of its output: an error, or time to start it again."""
        child, self.child = self.child, None
        child.stdout.close()
        status = child.wait()
        child.stdin.close()  # and the watcher goes
        if status:
            raise OSError(f"{self.command!r} ended with status {status}")
        if silent:
            raise OSError(f"{self.command!r} printed nothing")
        time.sleep(self.PAUSE_S)

    def stop(self) -> None:
        child = self.child
        if child is not None:
            with suppress(OSError):  # it ended by itself
                os.killpg(child.pid, signal.SIGKILL)

    def close(self) -> None:
        self.stop()
        if self.child is not None:
            self.child.wait()
            self.child.stdin.close()
            self.child.stdout.close()


def find(root: str = "/", command: Optional[str] = None) -> Tuple[Optional[Meter], str]:
    """(the meter that says most about the whole machine, ""), or (None, what was looked for and why it is not it)."""
    if command is not None:
        return Command(command), ""
    reasons = []
    text, why = vcgencmd(root, "pmic_read_adc")
    if text is not None and _rails(text):
        return Pmic(root), ""
    reasons.append(f"no Pi 5 PMIC ({why or 'it lists no rails'})")
    chips = _chips(root)
    external = [chip for chip in chips if chip[1].startswith("ina2")]
    if external:
        return Hwmon(*external[0]), ""
    reasons.append("no INA2xx in /sys/class/hwmon")
    folders = sorted(glob(os.path.join(root, "sys/class/powercap/intel-rapl:[0-9]")))
    packages = [folder for folder in folders if (read_text(os.path.join(folder, "name")) or "").startswith("package")]
    if packages:
        try:
            return Rapl(packages), ""
        except (OSError, ValueError) as error:
            reasons.append(f"RAPL cannot be read ({error}; it is for root alone since CVE-2020-8694)")
    else:
        reasons.append("no RAPL in /sys/class/powercap (virtual machines hide it)")
    if chips:
        return Hwmon(*chips[0]), ""
    return None, "; ".join(reasons) + ". A meter can be named: --power-command"


def _chips(root: str) -> List[Tuple[str, str]]:
    """(path of the power, name of the chip) of every hwmon chip that measures more than a component."""
    found = []
    for folder in sorted(glob(os.path.join(root, "sys/class/hwmon/hwmon*"))):
        name = read_text(os.path.join(folder, "name")) or "unnamed chip"
        for file in ("power1_input", "power1_average"):
            path = os.path.join(folder, file)
            if name not in COMPONENTS and read_text(path):
                found.append((path, name))
                break
    return found


def _rails(text: str) -> Dict[str, Tuple[float, float]]:
    """{rail: (volts, amperes)} of those that have both; they are not listed in the same order.

    Lines such as ` VDD_CORE_A current(7)=6.22421000A` and ` VDD_CORE_V volt(15)=0.86173300V`.
    """
    values = {name: float(value) for name, value in re.findall(r"(\w+_[AV]) (?:current|volt)\(\d+\)=([\d.]+)", text)}
    return {
        name[:-2]: (values[name[:-2] + "_V"], amperes)
        for name, amperes in values.items()
        if name.endswith("_A") and name[:-2] + "_V" in values
    }


def rails_w(text: str) -> float:
    """Watts over all rails that `vcgencmd pmic_read_adc` lists with both volts and amperes."""
    rails = _rails(text)
    if not rails:
        raise ValueError(f"no rails in {text[:80]!r}")
    return sum(volts * amperes for volts, amperes in rails.values())


def grown(old: int, new: int, range_uj: int) -> int:
    """What a counter that starts again after `range_uj` has counted since `old`."""
    return new - old if new >= old else new + range_uj - old


def watts_in(line: str) -> float:
    """The watts in a line that a meter or a command prints: `3.1`, `3.1 W`, `3100mW`, or `5.1V 0.61A`.

    Raises ValueError where the line says none. A decimal comma is refused: it may as well part thousands, or columns.
    """
    number = r"(?<![\w.])(?<!\d,)([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*"
    watts = re.search(number + r"(m?)W\b", line)
    volts, amperes = re.search(number + r"V\b", line), re.search(number + r"(m?)A\b", line)
    found = math.nan
    if watts:
        found = float(watts[1]) * (1e-3 if watts[2] else 1.0)
    elif volts and amperes:
        found = float(volts[1]) * float(amperes[1]) * (1e-3 if amperes[2] else 1.0)
    else:
        with suppress(ValueError):
            found = float(line)
    if not math.isfinite(found):
        raise ValueError(f"no watts in the line {line.strip()[:80]!r}")
    return found
