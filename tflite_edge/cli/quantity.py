"""Sizes and latencies as people write them: 200k, 1.5M, 10ms@pi4."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import click

from tflite_edge.cli.duration import Duration

MOST = 2**53
UNITS_BYTES = {"": 1, "b": 1, "k": 1000, "kb": 1000, "kib": 1024, "m": 10**6, "mb": 10**6, "mib": 1 << 20}


class Bytes(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click only
    """A number of bytes, with or without a unit: k is 1,000, KiB is 1,024."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-z]*)", str(value).strip())
        if match is None or match[2].lower() not in UNITS_BYTES:
            self.fail(f"{value!r} is no size: a number of bytes, such as 200000, 200k or 195KiB")
        found = int(Decimal(match[1]) * UNITS_BYTES[match[2].lower()])
        if not 1 <= found <= MOST:
            self.fail(f"{value!r} is no size that a file has")
        return found


class Latency(click.ParamType):  # type: ignore[type-arg]
    """A duration and where it holds: 10ms@pi4; (seconds, "" where no place is named)."""

    name = "latency"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, str]:
        if isinstance(value, tuple):
            return value
        duration, _, where = str(value).partition("@")
        return Duration().convert(duration, param, ctx), where.strip().removeprefix("emulator:")
