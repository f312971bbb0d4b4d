"""The wheels that a user of the board would install, from the machine's own package index by pip."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tflite_edge.records.errors import MissingError
from tflite_edge.records.event import Event, Listener
from tflite_edge.records.python import running
from tflite_edge.targets.emulator.apt import Part, refuse_other_bytes, run, whole

# As PyPI has them. The board's numbers were compared with these versions: a newer one is a change to be measured.
WHEELS: dict[str, tuple[Part, ...]] = {
    "arm64": (
        Part(
            "ai-edge-litert",
            "2.3.0",
            "ai_edge_litert-2.3.0-cp311-cp311-manylinux_2_27_aarch64.whl",
            "853fc608f96da87bd5f3458465dfb9abbf18d5ae6b94eceacead407146f175ae",
        ),
        Part(
            "tflite-runtime",
            "2.14.0",
            "tflite_runtime-2.14.0-cp311-cp311-manylinux_2_34_aarch64.whl",
            "ce9fa5d770a9725c746dcbf6f59f3178233b3759f09982e8b2db8d2234c333b0",
        ),
        Part(
            "numpy",
            "1.26.4",
            "numpy-1.26.4-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
            "7ab55401287bfec946ced39700c053796e7cc0e3acbef09993a9ad2adba6ca6e",
        ),
    ),
    "armhf": (  # NumPy has no wheel for armv7l: there it is Debian's
        Part(
            "tflite-runtime",
            "2.14.0",
            "tflite_runtime-2.14.0-cp311-cp311-manylinux_2_34_armv7l.whl",
            "c4e66a74165b18089c86788400af19fa551768ac782d231a9beae2f6434f7949",
        ),
    ),
}


def fetch(parts: Sequence[Part], folder: Path, listen: Listener) -> list[Path]:
    """The wheels as files in `folder`, those that are already there whole included. Raises MissingError."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [part for part in parts if not whole(folder / part.file, part.sha256)]
    for number, part in enumerate(wanted):
        listen(Event("wheels", f"{part.name} {part.version}", number, len(wanted)))
        (folder / part.file).unlink(missing_ok=True)
        _download(part, folder)
        refuse_other_bytes(folder / part.file, part.sha256)
    listen(Event("wheels", ", ".join(f"{part.name} {part.version}" for part in parts), len(wanted), len(wanted)))
    return [folder / part.file for part in parts]


def _download(part: Part, folder: Path) -> None:
    python, _, platforms = part.file.removesuffix(".whl").split("-")[-3:]
    demand = folder / "demand.txt"
    demand.write_text(f"{part.name}=={part.version} --hash=sha256:{part.sha256}\n")
    board = [
        "--python-version", python[2:], "--implementation", "cp", "--abi", python,
        *(word for platform in platforms.split(".") for word in ("--platform", platform)),
    ]  # fmt: skip
    command = [
        *running("pip"), "--disable-pip-version-check", "download", "--no-deps", "--only-binary=:all:",
        "--require-hashes", *([] if platforms == "any" else board), "--dest", str(folder), "--requirement", str(demand),
    ]  # fmt: skip
    try:
        done = run(command, folder)
        talk, failed = done.stderr, done.returncode != 0
    except subprocess.TimeoutExpired as error:
        talk, failed = str(error), True
    if not failed:
        return
    evidence = "\n".join(line for line in talk.splitlines() if line.startswith(("ERROR", "error")))[-1500:]
    do = "check the network and pip's own settings (pip config list), then run it again"
    if "No module named pip" in talk:
        do = f"{Path(sys.executable).name} -m ensurepip"
    elif "No space left" in talk:
        do = "free 500 MB, or set TFLITE_EDGE_CACHE to a folder with room"
    raise MissingError(f"pip cannot get {part.file}", evidence=evidence or talk.strip()[-1500:], do=do)
