"""One harness process: started, watched, and its answer turned into a result or an EdgeError."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tflite_edge.records.errors import EdgeError, MissingError, TargetError
from tflite_edge.records.job import ERROR_KINDS, SCHEMA, Job
from tflite_edge.records.plain import to_plain
from tflite_edge.records.signals import signal_name
from tflite_edge.targets.zipapp import harness_pyz

TAIL_BYTES = 2000  # of the child's stderr, in the error
GRACE_S = 5.0  # to be gone after SIGKILL

# What usually stands behind a signal; the model is the first suspect for all others.
BLAME = {
    "SIGKILL": "out of memory, as a rule (see dmesg): use a smaller model or fewer workers",
    "SIGINT": "it was stopped from outside: run it again",
    "SIGTERM": "it was stopped from outside: run it again",
    "SIGILL": "this runtime was built for a newer CPU: install another version of it",
}
SUSPECT_MODEL = "the file is probably damaged: copy or convert it again, or try the other runtime"


def ask(python: Sequence[str], job: Job, deadline_s: float) -> dict[str, Any]:
    """The result of `job` from a harness that runs as `[*python, harness.pyz, job.json]`.

    python: how the interpreter is started, such as ["python3"] or [qemu, "-L", sysroot, "python3"].
    Raises what the harness raised (ERROR_KINDS), TargetError for a crash, a timeout or an answer that is
    none, MissingError where `python` cannot be started. No process is left behind, also after Ctrl-C.
    """
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as folder:
        paper = Path(folder) / "job.json"
        paper.write_text(json.dumps(to_plain(job)), encoding="utf-8")
        argv = [*python, str(harness_pyz(Path(folder))), str(paper)]
        talk = Path(folder) / "stderr"
        status, answer = _watch(argv, job.model, deadline_s, talk)
        return outcome(status, answer, job.model, _tail(talk))


def _watch(argv: Sequence[str], model: str, deadline_s: float, talk: Path) -> tuple[int, bytes]:
    """(exit status, stdout), with stderr in the file `talk`. The child leads its own group."""
    try:
        with talk.open("wb") as stderr:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
            )
    except OSError as error:
        raise MissingError(f"cannot start {argv[0]}", evidence=str(error)) from error
    try:
        answer, _ = child.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired as error:
        raise TargetError(
            f"{model} did not finish within {deadline_s:g} s and was stopped",
            evidence=_tail(talk),
            do="raise the deadline, ask for fewer runs or images, or try another runtime",
        ) from error
    finally:
        _end(child)
    return child.returncode, answer


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the group unless the child is already reaped (its number may belong to another process then)."""
    if child.returncode is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait(timeout=GRACE_S)
    if child.stdout is not None:
        child.stdout.close()


def outcome(status: int, answer: bytes, model: str, talk: str) -> dict[str, Any]:
    """The result in the harness's answer, given its exit status and stderr. Raises as `ask` does."""
    if status < 0 or 128 < status < 128 + signal.NSIG:  # shells pass a signal n on as 128 + n
        raise _killed(abs(status) % 128, model, talk)
    document = _document(answer)
    if document is None or document["ok"] != (status == 0):
        raise TargetError(
            f"the harness gave no valid answer on {model}, exit status {status}",
            evidence=f"stdout: {answer[:200]!r}\n{talk}".strip(),
            do="look at its last words above; the Python that runs it must be 3.9 or later",
        )
    if document["ok"]:
        return {key: value for key, value in document.items() if key not in ("schema", "ok")}
    about = document["error"]
    cls = ERROR_KINDS[about["kind"]]
    # Our own bug: the traceback went to stderr.
    evidence = talk if cls is EdgeError else about["evidence"]
    raise cls(about["what"], evidence=evidence, do=about["do"])


def _document(answer: bytes) -> dict[str, Any] | None:
    """The one JSON document of the protocol, or None where stdout holds anything else."""
    try:
        document = json.loads(answer)
        if document["schema"] == SCHEMA and (document["ok"] or document["error"]["kind"] in ERROR_KINDS):
            return dict(document)
    except (ValueError, KeyError, TypeError):
        pass
    return None


def _killed(number: int, model: str, talk: str) -> TargetError:
    name = signal_name(number)
    return TargetError(
        f"{model} ended the harness: killed by {name}",
        evidence=talk,
        do=BLAME.get(name, SUSPECT_MODEL),
    )


def _tail(talk: Path) -> str:
    """The last whole lines of the child's stderr, at most TAIL_BYTES of them."""
    with talk.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - TAIL_BYTES))
        text = stream.read().decode(errors="replace")
    if size > TAIL_BYTES:
        text = text.partition("\n")[2] or text
    return text.strip()
