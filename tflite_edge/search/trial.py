"""One trial: a whole pipeline run in a process of its own, which is all that a worker does.

A process of its own makes the same bytes as `tflite-edge convert` does (Keras counts layers, and so names tensors, by
process), gives its memory back, and when it crashes it is one failed trial and not a worker.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tflite_edge.records import errors
from tflite_edge.records.errors import EXIT_BUG, EdgeError, MissingError, TargetError
from tflite_edge.records.manifest import Manifest, Variant
from tflite_edge.records.plain import from_plain, to_plain
from tflite_edge.records.python import running
from tflite_edge.records.recipe import Recipe
from tflite_edge.records.signals import signal_name

RESULT = "result.json"
GRACE_S = 10.0


@dataclass(frozen=True)
class Task:
    """recipe: with absolute paths, one quantisation mode. place: the folder that its files will lie in."""

    recipe: Recipe
    place: str


@dataclass(frozen=True)
class Outcome:
    """error: why there are no files. files: name -> content, the manifest among them. hits: of the step cache."""

    seconds: float
    error: EdgeError | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    hits: dict[str, int] = field(default_factory=dict)

    @property
    def manifest(self) -> Manifest:
        return from_plain(Manifest, json.loads(self.files["manifest.json"]))

    @property
    def variant(self) -> Variant | None:
        """The one file that was made, if it was."""
        return next((one for one in self.manifest.models if one.file in self.files), None)


def run(task: Task) -> Outcome:
    """Make the trial in a child process. Every failure is in the outcome; nothing is left behind."""
    start = time.perf_counter()
    try:
        return _run(task, start)
    except OSError as error:  # of this machine and not of the recipe: its disk, its processes
        lacking = MissingError(
            "the trial cannot be run here", evidence=str(error), do="free some space, then run again"
        )
        return Outcome(time.perf_counter() - start, lacking)


def _run(task: Task, start: float) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as folder:
        work = Path(folder)
        (work / "task.json").write_text(json.dumps(to_plain(task)), encoding="utf-8")
        status = _watched(work)
        seconds = time.perf_counter() - start
        try:
            result = json.loads((work / RESULT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return Outcome(seconds, _ended(status, work))
        if result["error"]:
            kind = getattr(errors, result["error"].pop("kind"), EdgeError)
            return Outcome(seconds, kind(**result["error"]), hits=result["hits"])
        out = work / "out"
        files = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        return Outcome(seconds, files=files, hits=result["hits"])


def _watched(work: Path) -> int:
    """The exit status of the child, which leads its own group and ends when we do: the pipe to it closes then."""
    with (work / "talk").open("wb") as talk:
        child = subprocess.Popen(
            running("tflite_edge.search.trial", str(work)),
            stdin=subprocess.PIPE, stdout=talk, stderr=talk, start_new_session=True, env=_environment(),
        )  # fmt: skip
        try:
            return child.wait()
        finally:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait(timeout=GRACE_S)
            assert child.stdin is not None
            child.stdin.close()


def _environment() -> dict[str, str]:
    """Ours, and the way to the package where it is not installed."""
    root = str(Path(__file__).parents[2])
    known = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": known if root in known.split(os.pathsep) else f"{root}{os.pathsep}{known}"}


def _ended(status: int, work: Path) -> EdgeError:
    """Why a child left no result."""
    talk = (work / "talk").read_text(errors="replace").strip().splitlines()
    last = "\n".join(talk[-3:])
    if status >= 0:
        return EdgeError(f"the trial's process ended with exit status {status} and without a result", evidence=last)
    name = signal_name(-status)
    do = "fewer workers: out of memory, as a rule (see dmesg)" if name == "SIGKILL" else ""
    return TargetError(f"the trial's process was killed by {name}", evidence=last, do=do)


def main(work: Path) -> int:
    """What the child does: the task in `work`, its files to work/out, what became of it to RESULT."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from tflite_edge.artifact import uses

    task = from_plain(Task, json.loads((work / "task.json").read_text(encoding="utf-8")))
    error: dict[str, Any] | None = None
    try:
        _make(task, work / "out")
    except EdgeError as found:
        error = {"kind": type(found).__name__, "what": found.what, "evidence": found.evidence, "do": found.do}
    except OSError as found:  # the disk, as a rule
        error = {"kind": MissingError.__name__, "what": f"the trial could not go on: {found}"}
    except Exception as found:  # noqa: BLE001 - an entry point: one strange recipe must not end the search
        traceback.print_exc()
        error = {"kind": EdgeError.__name__, "what": f"internal error: {type(found).__name__}: {found}"}
    part = work / f"{RESULT}.part"
    part.write_text(json.dumps({"error": error, "hits": dict(uses)}), encoding="utf-8")
    part.replace(work / RESULT)
    return EXIT_BUG if error else 0


def _make(task: Task, out: Path) -> None:
    from tflite_edge.artifact import MANIFEST
    from tflite_edge.pipeline import convert

    manifest = convert(task.recipe, out, compare=False)
    moved = {
        "recipe": to_plain(
            manifest.recipe.with_paths(lambda path: f"./{os.path.relpath(os.path.normpath(out / path), task.place)}")
        )
    }
    (out / MANIFEST).write_text(json.dumps({**to_plain(manifest), **moved}, indent=1) + "\n", encoding="utf-8")


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(EXIT_BUG)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
