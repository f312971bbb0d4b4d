"""Durations as people write them: 33ms, 60s, 2m."""

from __future__ import annotations

import math
import re
from typing import Any

import click

UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click only
    """A length of time with its unit; the value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-z]+)", str(value).strip())
        if match is None or match[2] not in UNITS_S:
            self.fail(f"{value!r} is no duration: a number and one of {', '.join(UNITS_S)}, such as 33ms or 60s")
        seconds = float(match[1]) * UNITS_S[match[2]]
        if seconds <= 0:
            self.fail(f"{value!r} is no time at all")
        if seconds == math.inf:
            self.fail(f"{value[:40]}... is longer than any number")
        return seconds


class Counts(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click only
    """Whole numbers of 1 and more, with commas between them: 1,2,4."""

    name = "counts"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        if isinstance(value, list):
            return value
        texts = str(value).split(",")
        if not all(text.strip().isdecimal() and int(text) >= 1 for text in texts):
            self.fail(f"{value!r}: whole numbers of 1 and more, such as 1,2,4")
        return list(dict.fromkeys(int(text) for text in texts))
