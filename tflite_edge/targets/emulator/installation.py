"""Install, list and remove emulated boards in the user's cache.

emulator/arm64, armhf       what boards of an architecture share: root/ and record.json
emulator/qemu               QEMU with its libraries, where the machine's own does not do
emulator/pi4, ...           links into arm64/root, the board's own /proc/cpuinfo, and proven.json
emulator/downloads          packages and wheels of an installation that is not finished
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflite_edge.artifact import CACHE_ADVICE, cache_folder, write
from tflite_edge.records.board import BOARDS, Board
from tflite_edge.records.errors import EdgeError, MissingError
from tflite_edge.records.event import Event, Listener, silent
from tflite_edge.targets.emulator import qemu, wheels
from tflite_edge.targets.emulator.apt import Apt
from tflite_edge.targets.emulator.machine import Emulated
from tflite_edge.targets.emulator.proof import prove
from tflite_edge.targets.emulator.sysroot import PACKAGES, ROOT, build, damage, record_of

QEMU, DOWNLOADS, PROOF = "qemu", "downloads", "proven.json"
NEEDED_BYTES = 500 << 20  # a sysroot of 170 MB, the packages beside it, and QEMU


@dataclass(frozen=True)
class Status:
    """One board. state: "installed", "damaged" or "not installed". size_bytes: with what it shares with others.

    runtimes: name -> version, as they answered when they were proven.
    """

    board: str
    title: str
    state: str
    why: str
    size_bytes: int
    runtimes: dict[str, str]
    qemu: str
    where: str


def home() -> Path:
    return cache_folder() / "emulator"


def open_board(board: Board) -> Emulated:
    """Raises MissingError when the board is not installed, or QEMU has gone since.

    One whose files are there, because another board shares them, is put together first: nothing is fetched for that.
    """
    found = qemu.find(board, home() / QEMU)
    if found and not (home() / board.name / PROOF).is_file() and not _damage_of_shared(board.architecture):
        install(board)
    if not (home() / board.name / PROOF).is_file() or found is None:
        gone = "" if found else f"there is no QEMU {qemu.SERIES}x that can load plugins"
        raise MissingError(
            f"the emulated {board.name} is not installed",
            evidence=gone,
            do=f"tflite-edge emulator install {board.name}",
        )
    return Emulated(board, home() / board.name, found)


def install(board: Board, mirror: str = "", listen: Listener = silent, *, fetch_qemu: bool = False) -> Status:
    """Put the board together, or find what is already whole, and prove that it runs. Raises MissingError, TargetError.

    Stopped at any point and run again, it goes on with what was finished. mirror: of Debian, instead of the machine's
    own sources. fetch_qemu: do not use the machine's own QEMU.
    """
    _refuse_other_systems()
    with _locked(listen), _disk():
        _clear_stale()
        faults = _damage_of_shared(board.architecture)
        if faults:
            listen(Event("index", f"Debian's packages for {board.architecture}"))
            _room()
            _build_shared(board.architecture, mirror, listen)
        fetched = (home() / QEMU).is_dir()
        lacking = bool(damage(home() / QEMU)) if fetched else fetch_qemu
        machine = None if lacking else qemu.find(board, home() / QEMU)
        made = machine is None
        if machine is None:
            _room()
            _build_qemu(mirror, listen)
            machine = qemu.find(board, home() / QEMU)
        if machine is None:
            raise MissingError(
                f"QEMU does not start on this {qemu.native_architecture()} machine",
                evidence=f"it was unpacked into {home() / QEMU}",
                do=f"sudo apt install {qemu.PACKAGE}, then run it again",
            )
        if faults or made or _damage_of_links(board):
            _link(board, machine, listen)
        shutil.rmtree(home() / DOWNLOADS, ignore_errors=True)
    return status(board)


def _build_shared(architecture: str, mirror: str, listen: Listener) -> None:
    downloads = home() / DOWNLOADS
    apt = Apt(downloads / architecture, architecture, mirror, listen)
    packages, wanted = apt.packages(PACKAGES[architecture]), wheels.WHEELS[architecture]
    files = [*apt.fetch(packages, listen), *wheels.fetch(wanted, downloads / "wheels", listen)]
    listen(Event("unpack", f"{len(files)} files"))
    build(home(), architecture, packages, wanted, files)


def _build_qemu(mirror: str, listen: Listener) -> None:
    architecture = qemu.native_architecture()
    listen(Event("index", f"QEMU for {architecture}"))
    apt = Apt(home() / DOWNLOADS / f"{QEMU}-{architecture}", architecture, mirror, listen)
    packages = apt.closure(qemu.PACKAGE)
    files = apt.fetch(packages, listen)
    listen(Event("unpack", f"{qemu.PACKAGE} and {len(files) - 1} libraries"))
    build(home(), QEMU, packages, (), files)


def _link(board: Board, machine: qemu.Qemu, listen: Listener) -> None:
    """The board's own folder: it appears when its runtimes have answered under QEMU."""
    temporary = Path(tempfile.mkdtemp(dir=home(), prefix=f"{board.name}.tmp"))
    try:
        for path in (home() / board.architecture / ROOT).iterdir():
            (temporary / path.name).symlink_to(Path("..", board.architecture, ROOT, path.name))
        (temporary / "proc").mkdir()
        write(temporary / "proc" / "cpuinfo", board.cpuinfo)
        proof = prove(Emulated(board, temporary, machine), listen)
        write(temporary / PROOF, json.dumps(proof, indent=1) + "\n")
        shutil.rmtree(home() / board.name, ignore_errors=True)
        temporary.chmod(0o755)
        temporary.rename(home() / board.name)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def damage_of(board: Board) -> str:
    """What is wrong with the board's files or with those it shares; "" when nothing is."""
    parts = [_damage_of_shared(board.architecture), _damage_of_links(board)]
    if (home() / QEMU).is_dir():
        parts.append(damage(home() / QEMU))
    return "; ".join(filter(None, parts))


def _damage_of_shared(architecture: str) -> str:
    """Also where it is whole, but not what is installed now: runtimes are pinned, and a release may pin others."""
    faults, record = damage(home() / architecture), record_of(home() / architecture)
    if faults or record is None:
        return faults
    others = {part.name for part in record.packages} != set(PACKAGES[architecture])
    old = others or record.wheels != list(wheels.WHEELS[architecture])
    return "made by another version of tflite-edge, with other packages or runtimes" if old else ""


def _damage_of_links(board: Board) -> str:
    folder = home() / board.name
    if not (folder / PROOF).is_file():
        return "not there"
    try:
        same = (folder / "proc" / "cpuinfo").read_text() == board.cpuinfo
    except OSError:
        same = False
    gone = [name for name in ("usr", "lib") if not (folder / name).is_dir()]
    return "proc/cpuinfo was changed" if not same else f"{gone[0]} leads nowhere" if gone else ""


def status(board: Board) -> Status:
    """What there is of the board; every byte is looked at."""
    folder, proof = home() / board.name, _proof(board)
    state, why, size = "not installed", "", 0
    if folder.is_dir():
        why = damage_of(board) or ("" if qemu.find(board, home() / QEMU) else "QEMU is gone")
        state = "damaged" if why else "installed"
        record = record_of(home() / board.architecture)
        size = record.size_bytes if record else 0
    where = str(folder) if folder.is_dir() else ""
    return Status(board.name, board.title, state, why, size, proof["runtimes"], proof["qemu"], where)


def _proof(board: Board) -> dict[str, Any]:
    try:
        proof = json.loads((home() / board.name / PROOF).read_text())
        return {"runtimes": dict(proof["runtimes"]), "qemu": str(proof["qemu"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"runtimes": {}, "qemu": ""}


def remove(boards: list[Board], listen: Listener = silent) -> list[str]:
    """The names of the folders that went: the boards' own, and what no other board needs. Raises MissingError."""
    with _locked(listen), _disk():
        gone = [board.name for board in boards if (home() / board.name).is_dir()]
        left = [board for board in BOARDS.values() if board.name not in gone and (home() / board.name).is_dir()]
        shared = {board.architecture for board in BOARDS.values()} - {board.architecture for board in left}
        names = [*gone, *sorted(shared), *(() if left else (QEMU, DOWNLOADS))]
        gone = [name for name in names if (home() / name).is_dir()]
        for name in gone:
            trash = Path(tempfile.mkdtemp(dir=home(), prefix=f"{name}.tmp"))
            (home() / name).rename(trash / name)  # gone at once, also for who starts now
            shutil.rmtree(trash)
        _clear_stale()
    return gone


def _refuse_other_systems() -> None:
    if sys.platform != "linux":
        raise MissingError(
            f"QEMU's user mode needs Linux, and this is {sys.platform}",
            do="run it in a Linux container or in WSL; --on ssh://USER@HOST reaches a real board from here",
        )


@contextlib.contextmanager
def _locked(listen: Listener) -> Iterator[None]:
    """One installation at a time; the next one finds what this one made."""
    from filelock import FileLock, Timeout

    with _disk():
        home().mkdir(parents=True, exist_ok=True)
        lock = FileLock(home() / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            listen(Event("emulator", "another installation is at work: waiting for it"))
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _clear_stale() -> None:
    """What killed runs left; the lock proves that nobody uses it."""
    for stale in home().glob("*.tmp*"):
        shutil.rmtree(stale, ignore_errors=True)


def _room() -> None:
    free = shutil.disk_usage(home()).free
    if free < NEEDED_BYTES:
        raise MissingError(
            f"not enough room in {home()}",
            evidence=f"{free >> 20} MiB are free, {NEEDED_BYTES >> 20} are needed",
            do="free some, or set TFLITE_EDGE_CACHE to a folder with room",
        )


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    """What the disk refuses is the user's to mend."""
    try:
        yield
    except EdgeError:
        raise
    except OSError as error:
        raise MissingError(f"cannot write {home()}", evidence=str(error), do=CACHE_ADVICE) from error
