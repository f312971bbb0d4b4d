"""How long the command line takes before it does anything, and to read a model's bytes."""

from __future__ import annotations

import re
import sys
from statistics import median

from benchmarks.fixture import zoo_files
from benchmarks.process import ENTRY_POINT, alternate, run
from benchmarks.row import Row, seconds

HELP_S, INSPECT_S = 0.3, 1.0
HEAVY = ("tensorflow", "tf_keras", "keras", "numpy", "PIL", "sklearn", "ai_edge_litert", "tflite_runtime")
LOOKED_FOR = "looked for: " + ", ".join(HEAVY)
# In the child itself: what wait4 reports includes the parent's memory from before the exec.
PEAK = """
import sys
from tflite_edge.cli import main
code = main()
status = open("/proc/self/status").read()
print(status.split("VmHWM:")[1].split()[0], file=sys.stderr)
sys.exit(code)
"""


def startup(*, quick: bool) -> list[Row]:
    """`tflite-edge --help` and `tflite-edge inspect` of a 14 MB model, each in a fresh process."""
    return [*_help(3 if quick else 10), *_inspect(2 if quick else 5)]


def _help(times: int) -> list[Row]:
    shown, floor = alternate(
        times,
        lambda: run(ENTRY_POINT, "--help").seconds,
        lambda: run(sys.executable, "-c", "pass").seconds,
    )
    imports = _imports("--help")
    heavy = [name for name in HEAVY if name in imports]
    costly = sorted(imports.items(), key=lambda item: -item[1])[:5]
    notes = (
        f"{times} fresh processes in turn with `python -c pass`, which takes {seconds(floor)}",
        "most costly packages: " + ", ".join(f"{name} {1e-3 * cost:.0f} ms" for name, cost in costly),
    )
    return [
        Row("`tflite-edge --help`", seconds(shown), f"<= {HELP_S} s", median(shown) <= HELP_S, notes),
        Row("  heavy packages it loads", ", ".join(heavy) or "none", "none", not heavy, (LOOKED_FOR,)),
    ]


def _inspect(times: int) -> list[Row]:
    made = zoo_files("mobilenet_v2", alpha=1.0, size=224, classes=1000, modes=("float32",), images=0)
    model = made / "float32.tflite"
    took = [run(ENTRY_POINT, "inspect", model).seconds for _ in range(times)]
    peaks = [int(run(sys.executable, "-c", PEAK, "inspect", model).stderr.split()[-1]) * 1024e-6 for _ in range(times)]
    imports = _imports("inspect", str(model))
    heavy = [name for name in HEAVY if name in imports]
    what = f"`inspect` of MobileNetV2, {model.stat().st_size / 1e6:.1f} MB"
    notes = (f"{times} fresh processes; MobileNetV2 1.0, 224x224x3, 1,000 classes, float32, random weights",)
    return [
        Row(what, seconds(took), f"<= {INSPECT_S:g} s", median(took) <= INSPECT_S, notes),
        Row("  heavy packages it loads", ", ".join(heavy) or "none", "no tensorflow", "tensorflow" not in heavy),
        Row("  its peak memory", f"{median(peaks):.1f} MB ({min(peaks):.1f}-{max(peaks):.1f})"),
    ]


def _imports(*arguments: str) -> dict[str, int]:
    """Microseconds that importing each top-level package cost, what it imports itself included."""
    talk = run(ENTRY_POINT, *arguments, environment={"PYTHONPROFILEIMPORTTIME": "1"}).stderr
    lines = re.findall(r"import time:\s+\d+ \|\s+(\d+) \|\s*(\S+)", talk)
    return {name: int(cost) for cost, name in lines if "." not in name}
