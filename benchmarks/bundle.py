"""What a bundle weighs, how long it takes to install, and its first answer: `python -m benchmarks.bundle [--save]`.

MobileNet for the digits in int8 is packed for a 64-bit and a 32-bit Raspberry Pi, as a tar.gz and as a Debian package,
installed on both emulated boards by its own script, and asked for one image by a fresh process, in turn with a script
that one would write by hand (bare/classify.py) in the same environment. An emulated second is no board's second: what
carries over is the ratio. Needs the emulated boards: tflite-edge emulator install pi4, and pi3-32.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import results
from benchmarks.process import ENTRY_POINT, HERE, alternate, run
from benchmarks.row import ratio, seconds
from tests.deploy.board import Home
from tflite_edge import __version__
from tflite_edge.artifact import cache_folder, cached, key_of
from tflite_edge.cli.sink import Table, markdown
from tflite_edge.deploy.build import open_build
from tflite_edge.deploy.bundle import own_files
from tflite_edge.deploy.package import Packed, package
from tflite_edge.records.board import BOARDS

TARGETS = ("pi4", "pi3-32")
INSTALLS, ANSWERS = 3, 5
MODEL = ("mobilenet", "--optimize", "none", "--quantize", "int8")
PARTS = {"wheels": "wheels and packages", "debs": "wheels and packages", "app.pyz": "program"}
ABOUT = (
    "MB of 10^6 bytes. Installed: the release on the board, virtual environment and model. Seconds: median of "
    f"{INSTALLS} installations and {ANSWERS} first answers (least-greatest), each a fresh process, the runner "
    "and the bare script in turn, on the same Python, NumPy, Pillow and runtime; the ratio is of medians (of single "
    "pairs). An emulated second is no board's second."
)


@dataclass(frozen=True)
class Took:
    """Seconds of whole processes. install_s: none on this machine, where nothing is installed."""

    install_s: list[float]
    runner_s: list[float]
    bare_s: list[float]
    installed_bytes: int = 0


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bundle", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one board, once")
    parser.add_argument("--save", action="store_true", help="rewrite its part of RESULTS.md")
    options = parser.parse_args(argv)
    if options.save and options.quick:
        parser.error("--save keeps a full run: it does not go with --quick")
    installs, answers = (1, 1) if options.quick else (INSTALLS, ANSWERS)
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as work:
        folder = Path(work)
        sizes, times = [], [_times("this machine", "ai-edge-litert", here(folder, answers))]
        for board in TARGETS[: 1 if options.quick else None]:
            print(f"{board} ...", file=sys.stderr, flush=True)
            packed = package(made(), board, folder / "dist")
            deb = package(made(), board, folder / "dist", deb=True)
            took = on(board, Path(packed.path), folder / board, installs, answers)
            sizes.append(_sizes(packed, deb, took.installed_bytes))
            times.append(_times(board, BOARDS[board].default_runtime, took))
    tables = (
        Table(
            ["board ", "tar.gz MB", "deb MB", *dict.fromkeys(PARTS.values()), "model", "the rest", "installed"], sizes
        ),
        Table(["where ", "runtime ", "install.sh", "classify IMAGE", "bare script", "classify / bare"], times),
    )
    for table in tables:
        results.show(table)
    if options.save:
        results.save("bundle", "python -m benchmarks.bundle --save", *(markdown(table) for table in tables), ABOUT)
    return 0


def made() -> Path:
    """The folder of the converted model."""

    def convert(folder: Path) -> None:
        run(ENTRY_POINT, "convert", *MODEL, "-o", folder / "made")

    return cached("benchmark-bundle", key_of(MODEL, __version__), convert) / "made"


def digit(folder: Path) -> Path:
    """A file of one of the model's test images."""
    with np.load(made() / "samples.npz") as arrays:
        image = arrays["x"][0]
    path = folder / "digit.png"
    Image.fromarray(image.squeeze()).save(path)
    return path


def here(folder: Path, answers: int) -> Took:
    """The bundle's program and the bare script on this machine's own runtime."""
    build = open_build(made())
    place = folder / "here"
    place.mkdir()
    for name, content in own_files(build, BOARDS["pi4"], "ai-edge-litert")[1].items():
        (place / name).write_bytes(content)
    image = digit(folder)
    bare = [sys.executable, HERE / "bare" / "classify.py", "ai-edge-litert"]
    return Took(
        [],
        *_answers(
            answers,
            [sys.executable, "-I", place / "app.pyz", "--bundle", place, image],
            [*bare, build.model, place / "labels.txt", image],
            run,
        ),
    )


def on(board: str, bundle: Path, folder: Path, installs: int, answers: int) -> Took:
    """Installed and asked on an emulated board."""
    home = Home(folder, board, cache_folder())
    image = digit(folder)
    _ran(home, "tar", "xzf", bundle)
    script = folder / bundle.name.removesuffix(".tar.gz") / "install.sh"
    prefix = folder / ".local/share/tflite-edge/mobilenet"
    install_s = []
    for _ in range(installs):
        shutil.rmtree(prefix, ignore_errors=True)
        install_s.append(_ran(home, script).seconds)
    release = (prefix / "current").resolve()
    # The bare script in the bundle's own environment: its launcher, with another program in it.
    launcher = (release / "bin" / "classify").read_text().replace("bin/classify", "bin/bare")
    (release / "bin" / "bare").write_text(launcher.replace("$home/bundle/app.pyz", "$home/bare.py"))
    (release / "bin" / "bare").chmod(0o755)
    shutil.copy(HERE / "bare" / "classify.py", release / "bare.py")
    card = json.loads((release / "bundle" / "bundle.json").read_text())
    model, labels = release / "bundle" / card["model"], release / "bundle" / "labels.txt"
    runner_s, bare_s = _answers(
        answers,
        ["classify", image],
        [release / "bin" / "bare", card["runtime"], model, labels, image],
        lambda *words: _ran(home, *words),
    )
    return Took(install_s, runner_s, bare_s, _weight(release))


@dataclass(frozen=True)
class Answered:
    seconds: float
    stdout: str


def _ran(home: Home, *words: str | Path) -> Answered:
    began = perf_counter()
    done = home(*words)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, [str(word) for word in words], done.stdout, done.stderr)
    return Answered(perf_counter() - began, done.stdout)


def _answers(
    times: int, runner: Sequence[str | Path], bare: Sequence[str | Path], start: Callable[..., Any]
) -> list[list[float]]:
    """Seconds of both sides, in turn, once both have answered and said the same."""
    said = json.loads(start(*runner).stdout)["label"], start(*bare).stdout.strip()
    assert said[0] == said[1], said
    return alternate(times, lambda: start(*runner).seconds, lambda: start(*bare).seconds)


def _weight(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def _sizes(packed: Packed, deb: Packed, installed: int) -> list[str]:
    parts = dict.fromkeys([*PARTS.values(), "model", "the rest"], 0)
    for name, size in packed.files.items():
        kind = "model" if name == packed.model else PARTS.get(name.partition("/")[0], "the rest")
        parts[kind] += size
    return [packed.target, *(f"{size / 1e6:.2f}" for size in (packed.bytes, deb.bytes, *parts.values(), installed))]


def _times(where: str, runtime: str, took: Took) -> list[str]:
    install = seconds(took.install_s) if took.install_s else "-"
    return [where, runtime, install, seconds(took.runner_s), seconds(took.bare_s), ratio(took.runner_s, took.bare_s)[1]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
