"""The machine's own sensors, read from files under `root` ("/", or a recorded tree) and from the board's vcgencmd."""

from __future__ import annotations

import os
import re
from glob import glob
from typing import Dict, Iterable, List, Optional, Tuple, TypeVar

from tflite_edge.records.job import cores
from tflite_edge.records.sensors import SINCE_BOOT, Sensors, Snapshot, named, trouble

T = TypeVar("T")
Reading = Tuple[Optional[T], str]  # a value and "", or None and why

TOOL_S = 5.0  # the firmware answers in milliseconds
# How Linux names the zone of the CPU: Raspberry Pi and most ARM boards, Intel's driver, older ARM kernels.
CPU_ZONES = ("cpu-thermal", "cpu_thermal", "x86_pkg_temp", "soc-thermal", "soc_thermal")


def snapshot(root: str = "/") -> Snapshot:
    """All sensors now."""
    readings = {
        "governor": governor(root),
        "frequency_hz": frequency(root),
        "temperature_c": temperature(root),
        "throttled": throttled(root),
    }
    why: Dict[str, str] = {name: reason for name, (_, reason) in readings.items() if reason}
    bits = readings["throttled"][0]
    return Snapshot(
        **{name: value for name, (value, _) in readings.items()},  # type: ignore[arg-type]
        throttled_now=None if bits is None else named(int(bits)),
        throttled_since_boot=None if bits is None else named(int(bits) >> SINCE_BOOT),
        why=why,
    )


def sensors(before: Snapshot, root: str = "/") -> Sensors:
    """What was before a run with what is now."""
    after = snapshot(root)
    return Sensors(cores(), before, after, trouble(before, after))


def governor(root: str) -> Reading[str]:
    """The CPU's frequency governor."""
    found = [text for text in map(read_text, _cpufreq(root, "scaling_governor")) if text]
    if not found:
        return None, "no cpufreq in /sys/devices/system/cpu: the kernel or a virtual machine hides it"
    kinds = sorted(set(found))
    return kinds[0] if len(kinds) == 1 else "mixed: " + ", ".join(kinds), ""


def frequency(root: str) -> Reading[float]:
    """Hertz of the fastest core."""
    found = [number for number in map(_number, _cpufreq(root, "scaling_cur_freq")) if number is not None]
    if found:
        return max(found) * 1e3, ""  # in kHz there
    text = read_text(os.path.join(root, "proc/cpuinfo")) or ""
    megahertz = [float(value) for value in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", text, re.MULTILINE)]
    return (max(megahertz) * 1e6, "") if megahertz else (None, "neither cpufreq nor /proc/cpuinfo tells it")


def temperature(root: str) -> Reading[float]:
    """Degrees Celsius: of the CPU's zone, else of the hottest zone, else what the firmware says."""
    zones: Dict[str, float] = {}
    for folder in sorted(glob(os.path.join(root, "sys/class/thermal/thermal_zone*"))):
        degrees = _number(os.path.join(folder, "temp"))
        if degrees is not None:
            zones[read_text(os.path.join(folder, "type")) or folder] = degrees / 1e3
    for name in CPU_ZONES:
        if name in zones:
            return zones[name], ""
    if zones:
        return max(zones.values()), ""
    text, why = vcgencmd(root, "measure_temp")  # temp=48.3'C
    match = re.search(r"temp=([\d.]+)", text or "")
    return (float(match[1]), "") if match else (None, f"no thermal zone in /sys/class/thermal; {why or text}")


def throttled(root: str) -> Reading[int]:
    """The bits of `vcgencmd get_throttled`, which answers such as `throttled=0x50000`."""
    text, why = vcgencmd(root, "get_throttled")
    if text is None:
        return None, why
    match = re.search(r"throttled=(0x[0-9a-fA-F]+)", text)
    return (int(match[1], 16), "") if match else (None, f"vcgencmd answered {text[:80]!r}")


def vcgencmd(root: str, *words: str) -> Reading[str]:
    """What the firmware's tool prints. No process is started where there is no such tool."""
    places = [os.path.join(root, place) for place in ("usr/bin/vcgencmd", "opt/vc/bin/vcgencmd")]
    tool = next((place for place in places if os.access(place, os.X_OK)), None)
    if tool is None:
        return None, "no vcgencmd here: it is of the Raspberry Pi's own system"
    import subprocess  # its megabytes only where they are of use

    try:
        done = subprocess.run([tool, *words], capture_output=True, text=True, timeout=TOOL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"vcgencmd failed: {error}"
    if done.returncode != 0 or not done.stdout.strip():
        said = (done.stderr or done.stdout).strip()[:200] or f"exit status {done.returncode}"
        return None, f"vcgencmd {words[0]} failed: {said} (is the user in the group video?)"
    return done.stdout, ""


def read_text(path: str) -> Optional[str]:
    """The file's text without its end, or None where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().strip("\0\n ")
    except OSError:
        return None


def _number(path: str) -> Optional[float]:
    try:
        return float(read_text(path) or "")
    except ValueError:
        return None


def _cpufreq(root: str, name: str) -> Iterable[str]:
    found: List[str] = sorted(glob(os.path.join(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq", name)))
    return found
