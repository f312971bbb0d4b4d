"""The harness on this machine, in a child process: a broken model kills the child and not us."""

from __future__ import annotations

import sys
from typing import Any

from tflite_edge.records.job import Job
from tflite_edge.targets.child import ask
from tflite_edge.targets.machine import DEADLINE_S, Machine


class Local(Machine):
    """This machine. python: the interpreter that has the runtime, by default ours."""

    name = "local"

    def __init__(self, python: str = sys.executable) -> None:
        self.python = python

    def run(self, job: Job, *, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        return ask([self.python], job, deadline_s)
