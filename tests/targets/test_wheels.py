from __future__ import annotations

import pytest

from tflite_edge.targets.wheels import Place, fitting, no_runtime

LITERT, LITE = "ai-edge-litert", "tflite-runtime"


@pytest.mark.parametrize(
    ("machine", "python", "glibc", "runtimes"),
    [
        ("aarch64", (3, 11), (2, 36), {LITERT: "2.3.0", LITE: "2.14.0"}),  # Bookworm
        ("aarch64", (3, 13), (2, 41), {LITERT: "2.3.0"}),  # Trixie
        ("armv7l", (3, 11), (2, 36), {LITE: "2.14.0"}),
        ("armv7l", (3, 13), (2, 41), {}),
        ("aarch64", (3, 9), (2, 31), {LITERT: "2.1.0", LITE: "2.13.0"}),  # Bullseye
        ("armv7l", (3, 9), (2, 31), {LITE: "2.13.0"}),
        ("armv6l", (3, 11), (2, 36), {}),
        ("aarch64", (3, 12), (0, 0), {}),  # musl
        ("x86_64", (3, 11), (2, 36), {LITERT: "2.3.0", LITE: "2.14.0"}),
    ],
)
def test_what_fits(machine, python, glibc, runtimes):
    wheels = fitting(Place(machine, python, glibc))
    assert wheels.runtimes == runtimes
    assert bool(wheels.commands) == bool(runtimes)


def test_a_32_bit_board_takes_numpy_from_debian():
    commands = "\n".join(fitting(Place("armv7l", (3, 11), (2, 36))).commands)
    assert "apt install -y python3-numpy" in commands
    assert "--system-site-packages" in commands
    assert "pip install tflite-runtime==2.14.0" in commands


def test_the_error_has_the_command_or_the_way_out():
    assert "pip install ai-edge-litert==2.3.0" in no_runtime("pi", Place("aarch64", (3, 11), (2, 36)), "X").do
    assert "64-bit" in no_runtime("pi", Place("armv7l", (3, 13), (2, 41)), "X").evidence
