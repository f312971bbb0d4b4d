"""What each runtime knows, as scripts/probe_runtimes.py found by asking it: runtimes.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflite_edge.records.errors import UsageError
from tflite_edge.records.plain import nearest

TABLE = Path(__file__).with_name("runtimes.json")
# As its users report: none of it was run here.
EDGETPU = (
    "It is a delegate, and what it leaves runs on the runtime that loads it. Coral's own 16.0 crashes under\n"
    "tflite-runtime 2.12 and later, for which others build it; under ai-edge-litert it is unproven."
)
UNPROBED = dict.fromkeys(("libedgetpu", "edgetpu", "pycoral"), EDGETPU)


@dataclass(frozen=True)
class RuntimeTable:
    """One probed version. operators: name -> versions such as "1-7".

    TFLite Micro has "any": its resolver "explicitly removes support for op versions" and disregards the number
    (tensorflow/lite/micro/micro_op_resolver.h of tflite-micro, commit 054bea0f). What a newer version stands for, a
    type or an option, its kernels may still refuse when they are prepared: rules/micro.py.
    """

    name: str
    version: str
    probed: str
    operators: dict[str, str]

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"

    def knows(self, operator: str, version: int) -> bool:
        versions = self.operators.get(operator, "")
        if versions == "any":
            return True
        if "-" in versions:
            first, last = versions.split("-")
            return int(first) <= version <= int(last)
        return str(version) in versions.split(",")


def split(spec: str) -> tuple[str, str]:
    """("tflite-runtime", "2.14") of "tflite-runtime==2.14"; the version is "" where none is named."""
    name, _, version = spec.partition("==")
    return name.strip(), version.strip()


def find(spec: str) -> tuple[RuntimeTable, str]:
    """(the table of NAME or NAME==VERSION, why this one). 2.14 stands for 2.14.0, a bare name for the latest.

    Raises UsageError for what was not probed, with the nearest that was.
    """
    tables, (name, version) = _tables(), split(spec)
    if name in UNPROBED:
        raise UsageError(
            f"{name} was not probed", evidence=UNPROBED[name], do="--target coral-usb for what the Edge TPU maps"
        )
    if name not in tables:
        raise UsageError(f"unknown runtime {name!r}", do=nearest(name, tables))
    known = sorted(tables[name], key=_key)
    fit = [one for one in known if not version or one == version or one.startswith(f"{version}.")]
    if not fit:
        older = [one for one in known if _key(one) <= _key(version)]
        raise UsageError(
            f"{name} {version} was not probed",
            evidence=f"probed: {', '.join(known)}",
            do=f"the nearest is {name}=={older[-1] if older else known[0]}, "
            "or probe yours with scripts/probe_runtimes.py",
        )
    entry = tables[name][fit[-1]]
    why = f"by the table of {name} {fit[-1]}, probed {entry['probed']}"
    return RuntimeTable(name, fit[-1], entry["probed"], entry["operators"]), why


def knowing(operator: str, version: int) -> list[str]:
    """The runtimes for boards whose latest probed version knows that version of the operator, such as "ai-edge-litert
    2.3.0"."""
    tables = [latest(name) for name in _tables() if name != "tflite-micro"]
    return [table.title for table in tables if table.knows(operator, version)]


def latest(name: str) -> RuntimeTable:
    return find(name)[0]


def known() -> dict[str, list[str]]:
    """Runtime -> the versions that were probed, oldest first."""
    return {name: sorted(versions, key=_key) for name, versions in _tables().items()}


def _tables() -> dict[str, Any]:
    tables: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return tables


def _key(version: str) -> list[int]:
    return [int("".join(filter(str.isdigit, part)) or 0) for part in version.split(".")]
