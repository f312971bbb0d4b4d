"""What a process was killed by."""

from __future__ import annotations

import signal


def signal_name(number: int) -> str:
    """Such as SIGSEGV; a real-time signal, or one of another system, has its number alone."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
