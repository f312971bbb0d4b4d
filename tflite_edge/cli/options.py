"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from tflite_edge.records.job import RUNTIMES

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

runtime_option: Decorator = click.option(
    "--runtime", type=click.Choice(["auto", *RUNTIMES]), default="auto", show_default=True
)


def on_option(name: str = "on", default: str | None = "local") -> Decorator:
    """`--on`: where the harness runs."""
    return click.option(
        "--on", name, default=default, metavar="TARGET", show_default=True,
        help="Where it runs: local, emulator:BOARD (such as pi4) or ssh://USER@HOST[:PORT].",
    )  # fmt: skip


def deadline_option(text: str = "Longest time in seconds.") -> Decorator:
    """`--deadline`: seconds, above 0."""
    seconds = click.FloatRange(0, min_open=True)
    return click.option("--deadline", type=seconds, default=600.0, show_default=True, help=text)
