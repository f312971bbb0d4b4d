"""`tflite-edge doctor`: what a machine lacks and the command that mends it."""

from __future__ import annotations

import shlex

import click

from tflite_edge.cli.options import on_option
from tflite_edge.cli.sink import Sink, Table, format_option
from tflite_edge.records.errors import UsageError
from tflite_edge.records.verdict import DEGRADED, OK


@click.command()
@on_option()
@click.option("--install", is_flag=True, help="Install the runtime that fits into a virtual environment on the board.")
@format_option
def command(on: str, install: bool, sink: Sink) -> int:
    """Look for what is missing on this machine or a board; each finding has the command that mends it.

    Exit status 1 where something is to be mended.

    \b
    tflite-edge doctor
    tflite-edge doctor --on ssh://pi@raspberrypi.local
    tflite-edge doctor --on ssh://pi@raspberrypi.local --install
    """
    from tflite_edge.records.plain import to_plain
    from tflite_edge.targets import open_machine
    from tflite_edge.targets.doctor import emulators, look_here, look_there
    from tflite_edge.targets.ssh import Ssh

    machine = open_machine(on) if on.startswith("ssh:") else None
    if isinstance(machine, Ssh):
        done = machine.install() if install else []
        cure = f"tflite-edge doctor --on {shlex.quote(machine.name)} --install"
        points = look_there(machine.probe, cure, machine.address.python)
    elif on != "local" or install:
        raise UsageError(
            "--install is for a board over SSH" if install else f"doctor does not look at {on}",
            do="tflite-edge doctor --on ssh://USER@HOST, or tflite-edge emulator status for emulated boards",
        )
    else:
        done, points = [], [*look_here(), *emulators()]
    bad = [point for point in points if point.ok is False]
    rows = [[point.what, {True: "ok", False: "mend", None: "-"}[point.ok], point.found] for point in points]
    cures = [f"{point.what}: {point.do}" for point in points if point.do]
    document = {"on": on, "installed": done, "points": [to_plain(point) for point in points]}
    sink.result("doctor", DEGRADED if bad else OK, document, Table(["what ", "state ", "found "], rows), *cures)
    return 1 if bad else 0
