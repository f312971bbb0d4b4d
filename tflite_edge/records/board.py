"""The boards that can be emulated: what their processor, their operating system and their wheels are.

Sources: Arm's Main ID Register for part numbers, `/proc/cpuinfo` of the boards under Raspberry Pi OS Bookworm (Debian
12), the wheels on PyPI. Only what the processor models of QEMU can do is among the features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

from tflite_edge.records.errors import UsageError
from tflite_edge.records.plain import nearest

CORES = 4  # every Raspberry Pi since the 2


@dataclass(frozen=True)
class Board:
    """A Raspberry Pi with its operating system.

    machine: what `uname -m` says there. architecture: Debian's name of it. cpu: QEMU's model of the processor.
    part, variant, revision: of the Main ID Register. features: as the kernel writes them into /proc/cpuinfo, by which
    the runtimes choose their kernels. code, model: the board's revision code and name. runtimes: the default one first.
    memory_mib: of the smallest board of that name, except pi4 and pi5, of which 4 GiB is the usual one.
    glibc, python: of its operating system.
    """

    name: str
    title: str
    machine: str
    cpu: str
    part: str
    variant: str
    revision: int
    bogomips: str
    features: str
    code: str
    model: str
    memory_mib: int
    runtimes: Tuple[str, ...]
    system: str = "Raspberry Pi OS Bookworm"
    suite: str = "bookworm"
    glibc: str = "2.36"
    python: str = "3.11"

    @property
    def architecture(self) -> str:
        return {"aarch64": "arm64", "armv7l": "armhf"}[self.machine]

    @property
    def default_runtime(self) -> str:
        return self.runtimes[0]

    @property
    def cpuinfo(self) -> str:
        """The text of /proc/cpuinfo."""
        old = self.machine == "armv7l"  # a 32-bit kernel has one line more, and older words
        name = f"model name\t: ARMv7 Processor rev {self.revision} (v7l)\n" if old else ""
        cores = [
            f"processor\t: {number}\n{name}BogoMIPS\t: {self.bogomips}\nFeatures\t: {self.features}\n"
            f"CPU implementer\t: 0x41\nCPU architecture: {7 if old else 8}\nCPU variant\t: {self.variant}\n"
            f"CPU part\t: {self.part}\nCPU revision\t: {self.revision}\n\n"
            for number in range(CORES)
        ]
        hardware = "Hardware\t: BCM2835\n" if old else ""
        return "".join(cores) + f"{hardware}Revision\t: {self.code}\nModel\t\t: {self.model}\n"


BOTH = ("ai-edge-litert", "tflite-runtime")
ONLY_TFLITE = ("tflite-runtime",)  # ai-edge-litert has no wheel for armv7l
ARMV8 = "fp asimd evtstrm crc32 cpuid"
ARMV82 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
# Without crc32, which a Cortex-A53 and A72 have and QEMU's 32-bit Cortex-A15 has not: TFLite uses none.
ARMV7 = "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm"

_A53 = ("cortex-a53", "0xd03", "0x0", 4, "38.40", ARMV8)
_A72 = ("cortex-a72", "0xd08", "0x0", 3, "108.00", ARMV8)
_A76 = ("cortex-a76", "0xd0b", "0x4", 1, "108.00", ARMV82)
_A53_32 = ("cortex-a15", "0xd03", "0x0", 4, "38.40", ARMV7)
_A72_32 = ("cortex-a15", "0xd08", "0x0", 3, "108.00", ARMV7)

BOARDS: Dict[str, Board] = {
    board.name: board
    for board in (
        Board(
            "pi3", "Raspberry Pi 3", "aarch64", *_A53, "a020d3", "Raspberry Pi 3 Model B Plus Rev 1.3", 1024, BOTH
        ),
        Board(
            "pi-zero2w", "Raspberry Pi Zero 2 W", "aarch64", *_A53, "902120", "Raspberry Pi Zero 2 W Rev 1.0", 512, BOTH
        ),
        Board("pi4", "Raspberry Pi 4", "aarch64", *_A72, "c03114", "Raspberry Pi 4 Model B Rev 1.4", 4096, BOTH),
        Board("pi5", "Raspberry Pi 5", "aarch64", *_A76, "c04170", "Raspberry Pi 5 Model B Rev 1.0", 4096, BOTH),
        Board(
            "pi3-32", "Raspberry Pi 3, 32-bit OS", "armv7l", *_A53_32,
            "a020d3", "Raspberry Pi 3 Model B Plus Rev 1.3", 1024, ONLY_TFLITE,
        ),
        Board(
            "pi4-32", "Raspberry Pi 4, 32-bit OS", "armv7l", *_A72_32,
            "c03114", "Raspberry Pi 4 Model B Rev 1.4", 4096, ONLY_TFLITE,
        ),
    )
}  # fmt: skip


def board_named(name: str) -> Board:
    """Raises UsageError with the nearest name."""
    if name not in BOARDS:
        raise UsageError(f"no board {name!r}", evidence="boards: " + ", ".join(BOARDS), do=nearest(name, BOARDS))
    return BOARDS[name]
