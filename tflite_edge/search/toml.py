"""A recipe as TOML, so that people can read it, and `convert` makes the same again."""

from __future__ import annotations

import json
import math
from typing import Any

from tflite_edge.records.plain import to_plain
from tflite_edge.records.recipe import ModelSource, Recipe

_KEPT = ("model", "data")  # tables that are written whole; of others only what is not the default


def recipe_text(recipe: Recipe, head: str) -> str:
    """`recipe` as TOML under the comment `head`. Keys outside of [model] and [data] that have their defaults are left
    out."""
    plain, usual = to_plain(recipe), to_plain(Recipe(ModelSource("mobilenet")))
    parts = ["\n".join(f"# {_printable(line)}".rstrip() for line in head.splitlines())]
    for table, values in plain.items():
        if values is None:
            continue
        if table == "optimize":
            parts += [_table(f"[[{table}]]", step) for step in values]
        else:
            default = {} if table in _KEPT else usual[table] or {}
            said = {key: value for key, value in values.items() if value is not None and value != default.get(key)}
            parts += [_table(f"[{table}]", {key: value for key, value in said.items() if value != ""})] if said else []
    return "\n\n".join(parts) + "\n"


def _printable(line: str) -> str:
    """A comment takes no control characters, and has no way to write them."""
    return "".join(one if one.isprintable() else "?" for one in line)


def _table(head: str, values: dict[str, Any]) -> str:
    return "\n".join([head, *(f"{key} = {_value(value)}" for key, value in values.items() if value is not None)])


def _value(value: Any) -> str:
    """JSON's spelling is TOML's for texts, whole numbers and lists of them; not for infinity."""
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):
        return "inf" if value == math.inf else repr(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # the one that JSON has and TOML has not
