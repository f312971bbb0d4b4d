"""A board behind SSH: what it lacks is copied once by content, the harness runs there, the answer comes back."""

from __future__ import annotations

import hashlib
import json
import secrets
import shlex
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

from tflite_edge.artifact import write
from tflite_edge.records.errors import EdgeError, MissingError, ModelError, UsageError
from tflite_edge.records.job import Job
from tflite_edge.records.plain import to_plain
from tflite_edge.targets.child import outcome
from tflite_edge.targets.machine import DEADLINE_S, Machine
from tflite_edge.targets.ssh.address import Address, parse
from tflite_edge.targets.ssh.connection import Connection, Done, LostError
from tflite_edge.targets.ssh.probe import Probe, Python, need_python, probe
from tflite_edge.targets.wheels import fitting, no_runtime
from tflite_edge.targets.zipapp import harness_bytes

T = TypeVar("T")
CACHE = ".cache/tflite-edge"  # on the board, below the home directory
SLOWEST = 100_000  # bytes/s: a copy gets this much time
FULL = 28  # ENOSPC, as our scripts' exit status
BACK = "sent-back.npy"  # in the folder of a run: what is sent back
LESSON_FILES = ("features", "test", "head")

# $1: the cache; the rest: names, each a sha256 with a suffix. Answers those that are not there whole. What killed runs
# left is removed after a day, and after 30 days what no run has used.
ABSENT = r"""
cd && mkdir -p "$1/blobs" "$1/runs" && cd "$1" || exit 28
find runs blobs -mindepth 1 -maxdepth 1 \( -path 'runs/*' -o -name '*.part' \) -mmin +1440 -exec rm -rf {} +
shift
for name; do
  if [ "$(sha256sum <"blobs/$name" | cut -d' ' -f1)" = "${name%%.*}" ]; then touch "blobs/$name"; else echo "$name"; fi
done 2>/dev/null
find blobs -type f -mtime +30 -exec rm -f {} +
"""

# $1: the cache, $2: name, $3: sha256, $4: bytes; the file on stdin. It appears whole or not at all.
PUT = r"""
cd && cd "$1/blobs" || exit 28
part=$(mktemp "$2.XXXXXX.part") || exit 28
trap 'rm -f "$part"' EXIT
trap 'exit 74' HUP INT TERM
cat >"$part" || exit 28
[ "$(wc -c <"$part")" -eq "$4" ] || exit 74
[ "$(sha256sum <"$part" | cut -d' ' -f1)" = "$3" ] || exit 74
sync "$part" 2>/dev/null || sync  # a power cut must not leave the name of what is not on the disk
mv -f "$part" "$2"
"""

# $1: the cache, $2: deadline in whole seconds, $3: Python, $4: harness, $5: the run's file to send after the answer.
# $6: the run's name, the same when it is begun again over a new connection: what an earlier try left running is ended.
# First line of stdin: the job, with @RUN and @BLOBS for the two folders. The end of stdin means that we are gone.
# stdout: the name, before which a login shell may have greeted; the answer; the file.
RUN = r"""
umask 077
cd && cd "$1" || exit 28
blobs=$PWD/blobs
for old in "$PWD/runs/$6".*/group; do
  [ -f "$old" ] && kill -s KILL -- "-$(cat "$old")"
done 2>/dev/null
run=$(mktemp -d "$PWD/runs/$6.XXXXXX") || exit 28
trap 'rm -rf "$run"' EXIT
trap 'exit 143' HUP INT TERM
IFS= read -r job || exit 74
printf '%s\n' "$job" | sed "s|@RUN|$run|g; s|@BLOBS|$blobs|g" >"$run/job.json" || exit 28
printf '%s\n' "$6"
exec 3<&0
timeout -s KILL "$2" "$3" "$blobs/$4" "$run/job.json" </dev/null 3<&- &
child=$!
echo "$child" >"$run/group"
( while read -r _; do :; done; kill -s KILL -- "-$child" ) <&3 >/dev/null 2>&1 &
guard=$!
wait "$child"
status=$?
kill "$guard" 2>/dev/null
if [ "$status" -eq 0 ] && [ -f "$run/$5" ]; then cat "$run/$5" || exit 74; fi
exit "$status"
"""


class Ssh(Machine):
    """The board at `address`, over one shared connection."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.name = address.url
        self.connection = Connection(address)

    @cached_property
    def probe(self) -> Probe:
        return self._twice(lambda: probe(self.connection))

    @property
    def has_runtime(self) -> bool:
        return bool(self.probe.best and self.probe.best.runtime)

    def run(self, job: Job, *, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        python = self._ready()
        local, back = _files(job), job.lesson.out if job.lesson else job.outputs
        with tempfile.TemporaryDirectory(prefix="tflite-edge-") as folder:
            harness = Path(folder) / "harness.pyz"
            harness.write_bytes(harness_bytes())
            names = self._copied({**local, "harness": harness})
            sent = json.dumps(to_plain(_there(job, names))).encode() + b"\n"
            name, tries = secrets.token_hex(8), 0
            arguments = [str(int(deadline_s) + 5), python.executable, names["harness"], BACK if back else "", name]

            def run() -> Done:
                nonlocal tries
                tries += 1
                return self.connection.run(RUN, [CACHE, *arguments], data=sent, hold=True, deadline_s=deadline_s)

            done = self._twice(run)
        self._check_space(done)
        greeting, begun, told = done.answer.partition(name.encode() + b"\n")
        answer, _, content = (told if begun else greeting).partition(b"\n")
        try:
            result = outcome(done.status, answer, job.model, done.talk)
        except EdgeError as error:
            ours = {BACK: back} if back else {}
            ours |= {names[key]: str(path) for key, path in local.items()}
            raise self._in_our_words(error, ours) from error
        if tries > 1:
            result["runtime"]["why"] += "; begun again over a new connection, as the first one broke"
        if back and content:  # a head that did not get better is not written
            write(Path(back), content)
        return result

    def install(self) -> list[str]:
        """Install the runtime that fits into our own virtual environment there; the commands that were run, none where
        there is one.

        Raises MissingError where none fits, where sudo is needed for it, or where a command fails, and UsageError
        where the address names a Python: ours is another one.
        """
        if self.address.python:
            raise UsageError(
                f"--install makes a virtual environment of its own, and ?python={self.address.python} would not be it",
                do=f"tflite-edge doctor --on {shlex.quote(self.name)} --install",
            )
        if self.has_runtime:
            return []
        python = need_python(self.probe, self.connection)
        wheels = fitting(python.place)
        if not wheels.commands:
            raise MissingError(f"no TFLite runtime can be installed on {self.name}", evidence=wheels.why)
        sudo = [line for line in wheels.commands if line.startswith("sudo ")]
        if sudo and not python.found.get("numpy", "").startswith("1."):
            raise MissingError(
                f"{self.name} lacks what only root can install there",
                evidence=f"NumPy {python.found.get('numpy', 'none')}; {python.place.machine} takes NumPy 1 from Debian",
                do=f"there: {' && '.join(sudo)}\n      then run it again",
            )
        ours = [line for line in wheels.commands if line not in sudo]
        done = self._twice(lambda: self.connection.run("set -e\n" + "\n".join(ours) + "\n", deadline_s=900))
        if done.status != 0:
            raise MissingError(
                f"the runtime could not be installed on {self.name}",
                evidence=f"{done.answer.decode(errors='replace')[-500:]}\n{done.talk}".strip(),
                do=f"there: {' && '.join(wheels.commands)}",
            )
        del self.probe  # it has changed
        return ours

    def _ready(self) -> Python:
        python = need_python(self.probe, self.connection)
        if not python.runtime:
            raise no_runtime(self.name, python.place, f"tflite-edge doctor --on {shlex.quote(self.name)} --install")
        return python

    def _copied(self, files: dict[str, Path]) -> dict[str, str]:
        """{key: name in the board's blobs/}, each there when this returns. What is there already is not sent."""
        try:
            digests = {key: hashlib.sha256(path.read_bytes()).hexdigest() for key, path in files.items()}
        except OSError as error:
            raise ModelError(f"cannot read {error.filename}", evidence=str(error)) from error
        names = {key: digests[key] + path.suffix.lower() for key, path in files.items()}
        names = {key: name if name.replace(".", "").isalnum() else digests[key] for key, name in names.items()}

        def copy() -> None:
            whole = sum(path.stat().st_size for path in files.values())
            asked = self.connection.run(ABSENT, [CACHE, *names.values()], deadline_s=60 + whole / SLOWEST)
            self._check_space(asked)
            absent = asked.answer.decode().split()
            for key in (key for key, name in names.items() if name in absent):
                size = files[key].stat().st_size
                arguments = [CACHE, names[key], digests[key], str(size)]
                put = self.connection.run(PUT, arguments, data=files[key], deadline_s=60 + size / SLOWEST)
                self._check_space(put)
                if put.status != 0:
                    raise LostError(f"{files[key]} did not reach {self.name} whole", evidence=put.talk)

        self._twice(copy)
        return names

    def _twice(self, do: Callable[[], T]) -> T:
        """`do`, and once more over a new connection where the first one broke."""
        try:
            return do()
        except LostError as error:
            if not error.again:
                raise
            self.connection.reset()
            return do()

    def _check_space(self, done: Done) -> None:
        if done.status == FULL or "No space left" in done.talk:
            raise MissingError(
                f"{self.name} cannot store what it is to run",
                evidence=done.talk,
                do=f"make room on the board, or look at the permissions of ~/{CACHE} there",
            )

    def _in_our_words(self, error: EdgeError, ours: dict[str, str]) -> EdgeError:
        """The board's paths in an error become ours."""

        def put(text: str) -> str:
            for name, path in ours.items():
                words = text.split(name)
                # What stands before the name, up to a blank or quote, is the way to the board's cache.
                heads = [word[: len(word) - len(_last_word(word))] for word in words[:-1]]
                text = path.join([*heads, words[-1]]) if heads else text
            return text

        return type(error)(put(error.what), evidence=put(error.evidence), do=put(error.do))


def _files(job: Job) -> dict[str, Path]:
    """What the job reads, by the name of its field in Job or Lesson."""
    found = {"model": job.model, "pack": job.pack, "against": job.against}
    if job.lesson:
        found |= {name: getattr(job.lesson, name) for name in LESSON_FILES}
    return {name: Path(path) for name, path in found.items() if path is not None}


def _there(job: Job, names: dict[str, str]) -> Job:
    """The job with the board's paths; names: of the board's blobs by field.

    A lesson has no checkpoint: the folder of its run goes with the run.
    """
    paths: dict[str, Any] = {field: f"@BLOBS/{name}" for field, name in names.items()}
    lesson = job.lesson
    if lesson:
        there = {field: path for field, path in paths.items() if field in LESSON_FILES}
        lesson = replace(lesson, **there, out=lesson.out and f"@RUN/{BACK}", checkpoint=None)
    own = {field: path for field, path in paths.items() if field in ("model", "pack", "against")}
    return replace(job, **own, outputs=job.outputs and f"@RUN/{BACK}", lesson=lesson)


def _last_word(text: str) -> str:
    for mark in " '\"\n":
        text = text.rpartition(mark)[2]
    return text


@cache
def open_ssh(url: str) -> Ssh:
    """The board that `url` names; the same object, and so the same connection, for the same url."""
    return Ssh(parse(url))
