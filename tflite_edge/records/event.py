"""What long work says while it runs: events to a listener, so that no folder but `cli/` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable


@dataclass(frozen=True)
class Event:
    """`done` of `total` units of `step` (total 0: nothing to count). A warning is kept on the screen."""

    step: str
    note: str = ""
    done: int = 0
    total: int = 0
    warning: bool = False


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """The listener that hears nothing: the default of the Python API."""
