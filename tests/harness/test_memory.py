"""What the operating system says about this process."""

import subprocess
import sys

import pytest

from tflite_edge.harness import memory


def test_the_peak_is_bytes_of_this_process():
    peak, why = memory.peak()
    assert peak is not None
    assert peak > 1_000_000
    assert isinstance(why, str)


def test_resident_is_what_one_more_adds():
    """In a process of its own: whatever else this one holds may be given back meanwhile (8 MiB once were)."""
    if memory._line("/proc/self/status", "VmRSS:") is None:
        pytest.skip("no /proc here")
    program = (
        "import numpy as np; from tflite_edge.harness import memory; "
        "print(*memory.resident(lambda: np.ones(64 << 20, np.uint8), 1))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert abs(int(said) - (64 << 20)) < 8 << 20


def test_resident_is_not_measured_where_memory_is_short():
    if memory._line("/proc/meminfo", "MemAvailable:") is None:
        pytest.skip("no /proc here")
    grown, why = memory.resident(lambda: pytest.fail("must not be opened"), 1 << 60)
    assert grown is None
    assert "might not fit" in why


def test_what_is_too_small_to_see_is_not_called_nothing():
    if memory._line("/proc/self/status", "VmRSS:") is None:
        pytest.skip("no /proc here")
    grown, why = memory.resident(lambda: None, 1)
    assert grown is None or grown > 0
    assert (grown is None) == ("too little" in why)


def test_without_proc_it_says_so(monkeypatch):
    monkeypatch.setattr(memory, "_line", lambda path, key: None)
    grown, why = memory.resident(lambda: pytest.fail("must not be opened"), 1)
    assert grown is None
    assert "/proc" in why
    assert memory.peak()[0] > 1_000_000
    assert "getrusage" in memory.peak()[1]
