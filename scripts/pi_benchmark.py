#!/usr/bin/env python3
"""Time and score .tflite files on the machine this runs on, made for a Raspberry Pi.

It needs Python 3.9, NumPy and a TFLite runtime, and nothing installed from this project: a clone or a
copy of `tflite_edge/` and `scripts/` will do. Each model runs in a process of its own, because a broken
one kills the process.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Optional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tflite_edge.records.errors import (
    EXIT_GATE,
    EXIT_INTERRUPTED,
    EXIT_OK,
    DataError,
    EdgeError,
    MissingError,
    ModelError,
)
from tflite_edge.records.job import RUNTIMES, SCHEMA, BenchResult, Job, ScoreResult, cores
from tflite_edge.records.plain import from_plain
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.targets.local import Local

EPILOG = """examples:
  python3 scripts/pi_benchmark.py build/mobilenet
  python3 scripts/pi_benchmark.py build/mobilenet --threads 4 --json pi4.json
  python3 scripts/pi_benchmark.py a.tflite b.tflite --runtime tflite-runtime --runs 200

Where a model's folder holds samples.npz and the manifest.json that tells its preprocessing, the model is
scored as well: top-1 against the labels, agreement with the float Keras model.

exit status: 0 all models ran; 1 some did; if none did, 3 bad model or data, 4 no runtime, 5 crash or timeout
"""
SAMPLES, MANIFEST = "samples.npz", "manifest.json"
# https://developer.arm.com, Main ID Register: the part numbers of the Pi 3 and Zero 2, 4 and 5.
CPU_PARTS = {"0xd03": "Cortex-A53", "0xd08": "Cortex-A72", "0xd0b": "Cortex-A76"}


@dataclass
class Row:
    """What was found out about one model; `notes` say why something is missing or not to be trusted."""

    file: str
    bytes: int
    bench: Optional[BenchResult] = None
    score: Optional[ScoreResult] = None
    error: Optional[EdgeError] = None
    notes: List[str] = field(default_factory=list)


def main(argv: Optional[List[str]] = None) -> int:
    options = parser().parse_args(argv)
    try:
        return run(options)
    except EdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("paths", nargs="+", type=Path, metavar="PATH", help="a .tflite file, or a folder of them")
    add("--runtime", choices=("auto", *RUNTIMES), default="auto", help="default: %(default)s")
    add("--threads", type=count, default=1, help="of the interpreter, default: %(default)s")
    add("--workers", type=count, default=cores(), help="to score with, default: all cores")
    add("--runs", type=count, default=50, help="timed runs at least, default: %(default)s")
    add("--deadline", type=count, default=600, metavar="S", help="seconds per model, default: %(default)s")
    add("--json", type=Path, metavar="FILE", help="write everything measured, raw samples included")
    return made


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {number}")
    return number


def run(options: argparse.Namespace) -> int:
    models = find(options.paths)
    if options.json:
        write(options.json, {"schema": SCHEMA, "models": []})  # better now than after all the measuring
    facts = board()
    for key, value in facts.items():
        print(f"{key:<10} {value if value is not None else 'not told by this system'}")
    rows = []
    for model in models:
        print(f"measuring {model} ...", file=sys.stderr)
        rows.append(measure(model, options))
    after = throttled()
    if after != facts["throttled"]:
        print(f"warning: throttling changed from {facts['throttled']} to {after}: do not trust these figures")
    runtimes = sorted({row.bench.runtime.why for row in rows if row.bench})
    print("\n".join(["", *(f"runtime    {why}" for why in runtimes), "", *table(rows)]))
    if options.json:
        facts["throttled_after"] = after
        write(options.json, {"schema": SCHEMA, "board": facts, "models": [plain(row) for row in rows]})
    codes = [row.error.exit_code for row in rows if row.error]
    if len(codes) == len(rows):
        return max(codes)
    return EXIT_GATE if codes else EXIT_OK


def find(paths: List[Path]) -> List[Path]:
    """The files, and the .tflite files of the folders. Raises ModelError when there is nothing to measure."""
    models: List[Path] = []
    for path in paths:
        found = sorted(path.glob("*.tflite")) if path.is_dir() else [path]
        if not found or not found[0].is_file():
            raise ModelError(f"no .tflite file at {path}", do="give a folder made by tflite-edge convert")
        models += found
    return models


def measure(model: Path, options: argparse.Namespace) -> Row:
    """Bench and, where there are samples, score. An error is kept in the row: the next model still runs."""
    row = Row(str(model), model.stat().st_size)
    job = Job("bench", str(model), options.runtime, options.threads, runs=options.runs)
    try:
        row.bench = Local().bench(job, deadline_s=options.deadline)
        if not row.bench.stable:
            row.notes.append(row.bench.stability)
        samples = model.parent / SAMPLES
        if not samples.is_file():
            row.notes.append(f"not scored: no {SAMPLES} beside it")
            return row
        record = preprocessing(model)
        if record is None:
            row.notes.append(f"not scored: no {MANIFEST} beside it that was made with it")
            return row
        # One thread per interpreter: the workers already keep every core busy.
        job = replace(job, threads=1, workers=options.workers, pack=str(samples), preprocess=record)
        row.score = Local().score(job, deadline_s=options.deadline)
    except EdgeError as error:
        row.error = error
    return row


def preprocessing(model: Path) -> Optional[Preprocess]:
    """What the manifest beside `model` says its input needs; None where it does not say. Raises DataError."""
    manifest = model.parent / MANIFEST
    if not manifest.is_file():
        return None
    try:
        told = json.loads(manifest.read_text(encoding="utf-8"))
        baked = {entry["sha256"]: entry["baked"] for entry in told["models"]}
        digest = sha256(model)
        if digest not in baked or told["samples_sha256"] != sha256(model.parent / SAMPLES):
            return None
        return Preprocess() if baked[digest] else from_plain(Preprocess, told["preprocess"], "preprocess")
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise DataError(f"{manifest} is not a manifest of tflite-edge", evidence=repr(error)) from error


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def board() -> Dict[str, Optional[str]]:
    """What the figures depend on besides the model; None where the system does not tell."""
    system = pairs("/etc/os-release", "=").get("PRETTY_NAME", platform.system()).strip('"')
    told = pairs("/proc/cpuinfo", ":")
    cpu = CPU_PARTS.get(told.get("CPU part", "")) or told.get("model name", platform.machine())
    return {
        "board": read("/proc/device-tree/model"),
        "cpu": f"{os.cpu_count()} x {cpu}",
        "os": f"{system}, {platform.machine()}, kernel {platform.release()}",
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "throttled": throttled(),
    }


def read(path: str) -> Optional[str]:
    """A small system file without its trailing NUL and newline, or None."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return None


def pairs(path: str, separator: str) -> Dict[str, str]:
    """The `key separator value` lines of a system file; of equal keys the last."""
    split = [line.partition(separator) for line in (read(path) or "").splitlines()]
    return {key.strip(): value.strip() for key, _, value in split}


def throttled() -> Optional[str]:
    """The firmware's flags, such as "0x50000"; 0x0 is good: neither under-voltage nor heat since boot."""
    if not shutil.which("vcgencmd"):
        return None
    told = subprocess.run(["vcgencmd", "get_throttled"], capture_output=True, text=True, check=False)
    return told.stdout.strip().partition("=")[2] or None


def table(rows: List[Row]) -> List[str]:
    """Lines of at most 100 columns, the notes and errors of each model below them."""
    times = f"{'median ms':>11}{'p90 ms':>9}{'first ms':>10}"
    lines = [f"{'model':<35}{'bytes':>10}{times}{'peak MB':>9}{'top-1':>8}{'agree':>8}"]
    below = [""]
    for row in rows:
        name = Path(row.file).name
        short = name if len(name) < 35 else name[:15] + "..." + name[-16:]
        lines.append(f"{short:<35}{row.bytes:>10}{_figures(row)}")
        below += [f"{name}: {note}" for note in row.notes]
        if row.error:
            below += f"{name}: error: {row.error}".splitlines()
    return lines + below


def _figures(row: Row) -> str:
    if row.bench is None:
        return f"{'-':>11}{'-':>9}{'-':>10}{'-':>9}{'-':>8}{'-':>8}"
    peak = row.bench.peak_rss_bytes
    memory = "-" if peak is None else f"{peak / 1e6:.1f}"
    times = f"{row.bench.median_s * 1e3:>11.3f}{row.bench.p90_s * 1e3:>9.3f}{row.bench.first_s * 1e3:>10.3f}"
    top1, agreement = (row.score.top1, row.score.agreement) if row.score else (None, None)
    return f"{times}{memory:>9}" + "".join(
        f"{'-':>8}" if share is None else f"{share:>8.2%}" for share in (top1, agreement)
    )


def plain(row: Row) -> Dict[str, Any]:
    values = asdict(replace(row, error=None))
    if row.error:
        error = row.error
        values["error"] = {
            "what": error.what,
            "evidence": error.evidence,
            "do": error.do,
            "exit_code": error.exit_code,
        }
    return values


def write(path: Path, document: Dict[str, Any]) -> None:
    """The JSON file, whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise MissingError(f"cannot write {path}", evidence=str(error), do="give another file to --json") from error


if __name__ == "__main__":
    sys.exit(main())
