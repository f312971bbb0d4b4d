"""Which QEMU is taken, without any emulation."""

from __future__ import annotations

from tflite_edge.records.board import BOARDS
from tflite_edge.targets.emulator import qemu


def test_a_downloaded_qemu_without_its_loader_is_none(tmp_path):
    program = tmp_path / "root" / "usr" / "bin" / "qemu-aarch64"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho qemu-aarch64 version 7.2.1 -plugin\n")
    program.chmod(0o755)
    assert qemu.find(BOARDS["pi4"], tmp_path) is None
