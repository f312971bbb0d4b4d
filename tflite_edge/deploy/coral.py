"""A bundle for a Coral USB Accelerator on a board: with the compiled model where the compiler is installed, else ready
for it. On the board the runner loads the delegate and says so when it answers on the CPU instead (runner/delegate.py).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from tflite_edge.deploy.accelerator import Accelerator, Contents, placed, table
from tflite_edge.deploy.build import Build
from tflite_edge.deploy.bundle import ForDelegate, board_bundle
from tflite_edge.deploy.template import filled
from tflite_edge.records.board import BOARDS
from tflite_edge.records.event import Event, Listener
from tflite_edge.targets import compilers

CORAL = "coral-usb"
BOARD = "pi4"  # the accelerator hangs on a board, whose wheels the bundle brings: coral-usb@BOARD is on another
CORALS = (CORAL, *(f"{CORAL}@{name}" for name in BOARDS))


def coral_files(
    build: Build, target: str, runtime: str, listen: Listener, *, accept_degraded: bool = False
) -> Contents:
    """The bundle for `target`, of CORALS, and what was found. Raises ModelError for a model of which the Edge TPU takes
    nothing, and as `board_bundle` does."""
    found = placed(build.model, CORAL, accept_degraded=accept_degraded)
    name = Path(build.variant.file).name
    compiled_name = f"{Path(name).stem}_edgetpu.tflite"
    listen(Event("package", f"{name} for the Edge TPU"))
    content, compiler = compilers.edgetpu(build.model)
    digest = hashlib.sha256(content).hexdigest() if content else ""
    command = f"edgetpu_compiler --show_operations {name}"
    accelerator = Accelerator(found, compiler.said, compiled_name if content else "", command)
    compiled = ForDelegate(
        "edgetpu",
        compiled_name,
        digest,
        {"CORAL.md": _read_me(build, accelerator, compiled_name, digest).encode()}
        | ({compiled_name: content} if content else {}),
    )
    board = BOARDS[target.partition("@")[2] or BOARD]
    files = board_bundle(build, board, runtime, listen, compiled)
    notes = [f"for a Coral on a {board.title} ({CORAL}@BOARD for another)"]
    if not content:
        notes.append(f"to use the Edge TPU: {command} on x86-64 Debian, and put {compiled_name} beside {name}")
    return Contents(files, tuple(notes), found.findings, accelerator)


def _read_me(build: Build, accelerator: Accelerator, compiled: str, digest: str) -> str:
    words = {
        "NAME": build.manifest.name,
        "TABLE": table(accelerator.placement),
        "SAID": accelerator.compiler,
        "COMMAND": accelerator.command,
    }
    made = f"`{compiled}` is in the bundle (SHA-256 `{digest}`): {accelerator.compiler}.\n"
    if not digest:
        made = filled("coral_compile.md", {**words, "COMPILED": compiled})
    return filled("coral.md", {**words, "COMPILED": made})
