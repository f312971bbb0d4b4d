#!/usr/bin/env python3
"""Write tflite_edge/flatbuffer/fields.py: every table of the .tflite format, from ai-edge-litert's generated schema.

Run it when ai-edge-litert brings a newer schema; a test compares the two.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

PATH = Path(__file__).resolve().parent.parent / "tflite_edge" / "flatbuffer" / "fields.py"
UNIONS = {
    "builtin_options": "BuiltinOptions",
    "builtin_options_2": "BuiltinOptions2",
    "details": "QuantizationDetails",
    "array_segments": "SparseIndexVector",
    "array_indices": "SparseIndexVector",
}
HEAD = '''"""Every table of the .tflite format: its fields in the order of their slots, as NAME=TYPE.

Written by scripts/write_fields.py from ai-edge-litert {version}. A type is a scalar, string, another table, a
[vector] of these, or <union>, whose own type number is the field before it. `-` is a slot that is no more in use.
A line that begins with spaces goes on from the one before.
"""

from __future__ import annotations

'''


def tables() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """(table -> fields in slot order, union -> its tables in the order of their numbers)."""
    from ai_edge_litert import schema_py_generated as schema

    source = Path(schema.__file__).read_text(encoding="utf-8")
    classes = dict(re.findall(r"^class (\w+)\(object\):\n(.*?)(?=^class |\Z)", source, re.MULTILINE | re.DOTALL))
    unions = {name: _members(classes[name]) for name in sorted(set(UNIONS.values()))}
    return {name: fields for name, body in classes.items() if (fields := _fields(body)) is not None}, unions


def _members(body: str) -> list[str]:
    return [name for name, number in re.findall(r"^    (\w+) = (\d+)", body, re.MULTILINE)]


def _fields(body: str) -> list[str] | None:
    if "_tab.Pos" not in body and "self._tab" not in body:
        return None
    slots: dict[int, str] = {}
    for name, method in re.findall(
        r"^    def (\w+)\(self(?:, j)?\):\n(.*?)(?=^    def |^    @|^def |\Z)", body, re.MULTILINE | re.DOTALL
    ):
        offset = re.search(r"_tab\.Offset\((\d+)\)", method)
        if offset and not name.endswith(("Length", "IsNone", "AsNumpy")):
            slots[(int(offset[1]) - 4) // 2] = f"{_snake(name)}={_type(_snake(name), method)}"
    return [slots.get(slot, "-") for slot in range(max(slots, default=-1) + 1)]


def _type(name: str, method: str) -> str:
    if "_tab.Union" in method:
        return f"<{UNIONS[name]}>"
    if "_tab.String" in method:
        kind = "string"
    elif made := re.search(r"obj = (\w+)\(\)", method):
        kind = made[1]
    else:
        found = re.search(r"number_types\.(\w+)Flags, (?:a|o)", method)
        assert found, method
        kind = found[1].lower()
    return f"[{kind}]" if "_tab.Vector(o)" in method else kind


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[a-z])(?=\d+$)", "_", name).lower()


def text() -> str:
    from importlib.metadata import version

    found, unions = tables()
    lines = [HEAD.format(version=version("ai-edge-litert")) + 'TABLES = """']
    lines += [_wrapped(name, fields) for name, fields in sorted(found.items())]
    lines += ['"""', "", 'UNIONS = """']
    lines += [_wrapped(name, members) for name, members in unions.items()]
    return "\n".join([*lines, '"""', ""])


def _wrapped(name: str, words: list[str]) -> str:
    return textwrap.fill(f"{name}: {' '.join(words)}".rstrip(), 118, subsequent_indent="    ", break_on_hyphens=False)


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
    print(f"wrote {PATH.name}")
