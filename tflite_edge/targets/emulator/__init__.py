"""Emulated boards: a Raspberry Pi's userland, kept in the user's cache and run by QEMU without root."""

from tflite_edge.targets.emulator.installation import Status, install, open_board, remove, status
from tflite_edge.targets.emulator.machine import Emulated

__all__ = ["Emulated", "Status", "install", "open_board", "remove", "status"]
