"""How much memory a process and a model take, as the operating system counts it."""

from __future__ import annotations

import os
import sys
from typing import Any, Callable, Optional, Tuple


def peak() -> Tuple[Optional[int], str]:
    """(high-water mark of this process in bytes, ""), or (another figure or None, why it is not that)."""
    high = _line("/proc/self/status", "VmHWM:")
    if high is not None:
        return high, ""
    try:
        import resource
    except ImportError:
        return None, f"{os.name} has neither /proc nor getrusage"
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in kilobytes elsewhere
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return most, "from getrusage, which may count the parent's peak: /proc/self/status has no VmHWM"


def resident(another: Callable[[], Any], peak_bytes: Optional[int]) -> Tuple[Optional[int], str]:
    """(bytes that one more interpreter adds to this process, ""), or (None, why that is not known).

    another: opens an interpreter of the model and runs it. The process has run one already, so what the runtime itself
    needs is there; what comes on top is the model's own: the file's pages, weights packed for the kernels, the arena.
    It is not done where less memory is left than the process took at its peak, peak_bytes.
    """
    free = _line("/proc/meminfo", "MemAvailable:")
    before = _line("/proc/self/status", "VmRSS:")
    if free is None or before is None or peak_bytes is None:
        return None, "no /proc/meminfo and /proc/self/status to read it from"
    if free < peak_bytes:
        return None, f"a second interpreter might not fit: {free >> 20} MiB are available"
    kept = another()
    after = _line("/proc/self/status", "VmRSS:")
    del kept
    grown = (after or before) - before
    return (grown, "") if grown > 0 else (None, "too little to be seen in the pages that the system counts")


def _line(path: str, key: str) -> Optional[int]:
    """The bytes in a line such as `VmRSS:  1234 kB`; None where there is no such file or line."""
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            for line in stream:
                if line.startswith(key):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
