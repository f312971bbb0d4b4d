"""Which types each runtime's kernels take, as scripts/probe_kernels.py found by running them: kernels.json.

A version of an operator stands for the types that came with it, yet a kernel may refuse some of them, when it is
prepared or when it is run. What was not asked is neither taken nor refused.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from tflite_edge.flatbuffer.graph import Operator

TABLE = Path(__file__).with_name("kernels.json")
INDICES = frozenset({"int32", "int64", "bool"})  # shapes, positions, answers of comparisons, biases


def types(operator: Operator) -> str:
    """Its types, each named once a side: "int16,float32>bool"."""
    sides = operator.inputs, operator.outputs
    return ">".join(",".join(dict.fromkeys(tensor.dtype for tensor in side)) for side in sides)


def asked(name: str, version: str) -> dict[str, dict[str, str]]:
    """What that version of the runtime `name` answered: operator -> "takes" and "refuses" -> types with blanks between.
    Empty where it was not asked."""
    operators: dict[str, dict[str, str]] = _table().get(name, {}).get(version, {}).get("operators", {})
    return operators


def refuses(name: str, version: str, operator: Operator) -> bool:
    return types(operator) in asked(name, version).get(operator.name, {}).get("refuses", "").split()


def takes(name: str, version: str, operator: Operator) -> bool:
    return types(operator) in asked(name, version).get(operator.name, {}).get("takes", "").split()


def modes(name: str, version: str, operator: str) -> set[str]:
    """Of int8 and float32 those in which the operator was run with no other type of values."""
    ran = asked(name, version).get(operator, {}).get("takes", "").split()
    values = [set(one.replace(">", ",").split(",")) - INDICES for one in ran]
    return {next(iter(one)) for one in values if len(one) == 1} & {"int8", "float32"}


@functools.cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table
