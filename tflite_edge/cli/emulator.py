"""`tflite-edge emulator`: the boards that QEMU emulates on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tflite_edge.cli.sink import Sink, Table, format_option
from tflite_edge.records.board import BOARDS, board_named
from tflite_edge.records.errors import UsageError
from tflite_edge.records.verdict import DEGRADED, OK

if TYPE_CHECKING:
    from tflite_edge.targets.emulator import Status


@click.group()
def command() -> None:
    """Raspberry Pis under QEMU: the board's own Python, NumPy and runtimes, without root.

    \b
    tflite-edge emulator install pi4
    tflite-edge evaluate model.tflite --on emulator:pi4
    """


@command.command()
@click.argument("boards", nargs=-1, required=True, metavar="BOARD...")
@click.option("--mirror", default="", metavar="URL", help="A Debian mirror, instead of this machine's own sources.")
@click.option("--fetch-qemu", is_flag=True, help="Download QEMU also where this machine's own would do.")
@format_option
def install(boards: tuple[str, ...], mirror: str, fetch_qemu: bool, sink: Sink) -> int:
    """Put boards together in the user's cache, from Debian's packages and PyPI's wheels.

    Boards: pi3, pi-zero2w, pi4, pi5, and pi3-32 and pi4-32 with a 32-bit OS. Needs apt, dpkg and pip.

    \b
    tflite-edge emulator install pi4
    tflite-edge emulator install pi4 pi3-32 --mirror http://ftp.de.debian.org/debian
    """
    from tflite_edge.targets.emulator import install

    wanted = [board_named(name) for name in boards]
    with sink.listening() as listen:
        made = [install(board, mirror, listen, fetch_qemu=fetch_qemu) for board in wanted]
    usage = f"try: tflite-edge evaluate MODEL --on emulator:{made[0].board}"
    return _tell("emulator install", made, sink, usage)


@command.command()
@format_option
def status(sink: Sink) -> int:
    """List all boards: what is installed, whether every byte of it is as it was, and where.

    \b
    tflite-edge emulator status
    tflite-edge emulator status --format json
    """
    from tflite_edge.targets.emulator import status

    found = [status(board) for board in BOARDS.values()]
    return _tell("emulator status", found, sink)


@command.command()
@click.argument("boards", nargs=-1, metavar="[BOARD]...")
@click.option("--all", "everything", is_flag=True, help="All boards, and what they shared.")
@format_option
def remove(boards: tuple[str, ...], everything: bool, sink: Sink) -> None:
    """Delete boards, and the files that no other board needs.

    \b
    tflite-edge emulator remove pi4
    tflite-edge emulator remove --all
    """
    from tflite_edge.targets.emulator import remove

    if bool(boards) == everything:
        raise UsageError("which boards?", do="tflite-edge emulator remove pi4, or --all")
    wanted = [board_named(name) for name in boards] or list(BOARDS.values())
    with sink.listening() as listen:
        gone = remove(wanted, listen)
    sink.result("emulator remove", OK, {"removed": gone}, f"removed: {', '.join(gone) or 'nothing was installed'}")


def _tell(name: str, found: list[Status], sink: Sink, *usage: str) -> int:
    """The exit status: 1 where a board is damaged. usage: what is told where none is."""
    from tflite_edge.records.plain import to_plain

    damaged = [one for one in found if one.state == "damaged"]
    faults = [f"{one.board}: {one.why}; tflite-edge emulator install {one.board}" for one in damaged]
    document = {"boards": [to_plain(one) for one in found]}
    sink.result(name, DEGRADED if damaged else OK, document, _table(found), *(faults or usage))
    return 1 if damaged else 0


def _table(found: list[Status]) -> Table:
    rows = [
        [
            one.board,
            one.state,
            f"{one.size_bytes / 2**20:.0f}" if one.size_bytes else "-",
            ", ".join(f"{name} {version}" for name, version in one.runtimes.items()) or "-",
            one.qemu or "-",
            one.where or "-",
        ]
        for one in found
    ]
    return Table(["board ", "state ", "MiB", "runtimes ", "QEMU ", "where "], rows)
