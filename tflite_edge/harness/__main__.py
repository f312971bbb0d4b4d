"""`python harness.pyz job.json`: one job in, one JSON document out (the protocol is `records/job.py`).

`python harness.pyz learn MODEL ...` is for a person on the board (`harness/command.py`).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from importlib import import_module
from typing import Any, Dict, List

from tflite_edge.records.errors import EXIT_INTERRUPTED, EdgeError, MissingError, RecipeError
from tflite_edge.records.job import ERROR_KINDS, SCHEMA, Job
from tflite_edge.records.plain import from_plain, to_plain

PR_SET_PDEATHSIG = 1  # prctl(2)

_interrupted: List[int] = []


def main(argv: List[str]) -> int:
    """Answer the job on what is stdout now; from here on fd 1 is stderr, so that the answer is alone.

    C libraries print to fd 1 past Python, so the descriptor itself is moved, and it stays moved: this is
    the last thing that the process does.
    """
    if argv[:1] == ["learn"]:
        from tflite_edge.harness.command import main as command

        return command(argv[1:])
    _end_with_parent()
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _interrupt)
        document = _document(argv)
        if _interrupted:  # a C library may have made another error of the KeyboardInterrupt
            return EXIT_INTERRUPTED
        with os.fdopen(answer, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(document) + "\n")
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0 if document["ok"] else 1


def _end_with_parent() -> None:
    """Linux kills this process when the one that started it has ended, however it did: a model that hangs heeds nothing
    else."""
    try:
        import ctypes  # NumPy loads it as well

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    except (ImportError, OSError, AttributeError):  # another system
        pass


def _interrupt(number: int, _frame: Any) -> None:
    _interrupted.append(number)
    raise KeyboardInterrupt


def _document(argv: List[str]) -> Dict[str, Any]:
    try:
        return {"schema": SCHEMA, "ok": True, **_do(_read(argv))}
    except EdgeError as error:
        return _failure(error)
    except MemoryError:
        return _failure(MissingError("out of memory", do="use fewer workers, or a smaller pack or model"))
    except Exception as error:  # noqa: BLE001 - an entry point; the traceback goes to stderr
        if not _interrupted:
            traceback.print_exc()
        return _failure(EdgeError(f"the harness failed: {type(error).__name__}: {error}"))


def _read(argv: List[str]) -> Job:
    if len(argv) != 1:
        raise RecipeError("the harness takes one argument: a job", do="python harness.pyz job.json")
    try:
        with open(argv[0], encoding="utf-8") as stream:
            values = json.load(stream)
    except (OSError, ValueError) as error:
        raise RecipeError(f"{argv[0]} is not a job", evidence=str(error)) from error
    return from_plain(Job, values, "job")


def _do(job: Job) -> Dict[str, Any]:
    try:
        import numpy  # noqa: F401 - only to say plainly that it is missing
    except ImportError as error:
        raise MissingError("NumPy cannot be imported", evidence=str(error), do="pip install numpy") from error
    work = getattr(import_module(f"tflite_edge.harness.{job.verb}"), job.verb)  # every verb has a module of its name
    return to_plain(work(job))


def _failure(error: EdgeError) -> Dict[str, Any]:
    kind = next(kind for kind, cls in ERROR_KINDS.items() if isinstance(error, cls))
    about = {"kind": kind, "what": error.what, "evidence": error.evidence, "do": error.do}
    return {"schema": SCHEMA, "ok": False, "error": about}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
