"""How long `tflite-edge inspect` takes for a file of 25 MB, and how much memory: `python -m benchmarks.inspect`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks import results
from benchmarks.fixture import zoo_files
from benchmarks.process import ENTRY_POINT, run
from benchmarks.row import Row, seconds
from benchmarks.startup import PEAK
from tflite_edge.cli.sink import markdown

MOST_S, MOST_MB = 1.0, 200.0
ABOUT = "ResNet50, 224x224x3, 1,000 classes, random weights"


def inspect(*, quick: bool) -> list[Row]:
    """Fresh processes: the int8 file, the same as pruning and clustering leave it (slower to gzip), and both."""
    made = zoo_files("resnet50", alpha=0, size=224, classes=1000, modes=("int8",), images=0) / "int8.tflite"
    times = 3 if quick else 9
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as folder:
        packed = Path(folder) / "packed.tflite"
        packed.write_bytes(pruned(made.read_bytes()))
        return [
            *_measure("`inspect`, int8", times, "inspect", made),
            *_measure("`inspect`, int8 with zeros and few values", times, "inspect", packed),
            *_measure("`inspect` of both: what changed", times, "inspect", made, packed, target=False),
        ]


def pruned(data: bytes) -> bytes:
    """The model with its large kernels as pruning and clustering leave them: half zeros, 16 values."""
    import numpy as np

    from tflite_edge.flatbuffer.edit import dump, load

    tree = load(data)
    for buffer in tree["buffers"]:
        if len(buffer.get("data", b"")) > 4096:
            values = np.frombuffer(buffer["data"], np.int8)
            buffer["data"] = np.where(np.abs(values) < np.median(np.abs(values)), 0, values // 16 * 16).tobytes()
    return dump(tree)


def _measure(what: str, times: int, *argv: str | Path, target: bool = True) -> list[Row]:
    took = [run(ENTRY_POINT, *argv).seconds for _ in range(times)]
    peaks = [int(run(sys.executable, "-c", PEAK, *argv).stderr.split()[-1]) * 1024e-6 for _ in range(times)]
    size = sum(Path(word).stat().st_size for word in argv if isinstance(word, Path)) / 1e6
    notes = (f"{times} fresh processes; {ABOUT}",)
    peak = f"{median(peaks):.0f} MB ({min(peaks):.0f}-{max(peaks):.0f})"
    limits = (f"<= {MOST_S:g} s", f"<= {MOST_MB:g} MB") if target else ("", "")
    met = (median(took) <= MOST_S, median(peaks) <= MOST_MB) if target else (None, None)
    return [
        Row(f"{what}, {size:.1f} MB", seconds(took), limits[0], met[0], notes),
        Row("  its peak memory", peak, limits[1], met[1]),
    ]


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inspect", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--save", action="store_true", help="rewrite the part `inspect` of RESULTS.md")
    options = parser.parse_args(argv)
    found = {"inspect": inspect(quick=options.quick)}
    results.show(results.table(found))
    if options.save and not options.quick:
        results.save(
            "inspect", "python -m benchmarks.inspect --save", markdown(results.table(found)), results.notes(found)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
