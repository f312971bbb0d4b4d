"""What a machine says about itself while a model runs on it: clock, heat, power supply, energy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional

# `vcgencmd get_throttled`, https://www.raspberrypi.com/documentation/computers/os.html#get_throttled: bit 0 to 3
# are now, bit 16 to 19 the same at any time since the board was started.
THROTTLE_BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
SINCE_BOOT = 16


@dataclass(frozen=True)
class Snapshot:
    """The sensors at one moment. What is None has its reason in `why`, under its own name.

    governor: of the CPU's frequency, "mixed: ..." where cores differ. frequency_hz: of the fastest core.
    temperature_c: of the CPU. throttled: the bits as read; throttled_now, throttled_since_boot: their names.
    """

    governor: Optional[str] = None
    frequency_hz: Optional[float] = None
    temperature_c: Optional[float] = None
    throttled: Optional[int] = None
    throttled_now: Optional[List[str]] = None
    throttled_since_boot: Optional[List[str]] = None
    why: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sensors:
    """Before and after a run. cores: that the process may use. trouble: why the run cannot be trusted, or ""."""

    cores: int
    before: Snapshot
    after: Snapshot
    trouble: str = ""


@dataclass(frozen=True)
class Energy:
    """What one inference takes, above the idle machine.

    source: what was read; None where nothing could be, and `why` says so.
    idle_w, active_w: mean power before and during `inferences` inferences in `seconds`, from `samples` readings.
    joules: (active_w - idle_w) * seconds / inferences; low_j, high_j: 95 % interval, bootstrap over blocks of a second.
    estimate_j: computed, not measured, where there is no sensor: `estimate_source` says how and from what figures.
    """

    source: Optional[str] = None
    why: str = ""
    idle_w: Optional[float] = None
    active_w: Optional[float] = None
    seconds: float = 0.0
    inferences: int = 0
    samples: int = 0
    joules: Optional[float] = None
    low_j: Optional[float] = None
    high_j: Optional[float] = None
    estimate_j: Optional[float] = None
    estimate_source: str = ""


def named(bits: int) -> List[str]:
    """The names of the four low bits that are set."""
    return [name for bit, name in THROTTLE_BITS.items() if bits >> bit & 1]


def trouble(before: Snapshot, after: Snapshot) -> str:
    """Why a run between two snapshots cannot be trusted: the board was held back, or became so meanwhile. "" if not."""
    if before.throttled is None or after.throttled is None:
        return ""
    fresh = named((after.throttled & ~before.throttled) >> SINCE_BOOT)
    now = named(before.throttled | after.throttled)
    if fresh:
        return f"the board was held back during the run: {', '.join(fresh)} ({_cure(fresh)})"
    return f"the board is held back: {', '.join(now)} ({_cure(now)})" if now else ""


def _cure(names: List[str]) -> str:
    weak = THROTTLE_BITS[0] in names
    return "use a stronger power supply and a shorter cable" if weak else "cool the board, or set a lower clock"
