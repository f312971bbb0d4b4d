"""Options that several commands have."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import click

from tflite_edge.records.conversion import IO_TYPES, QUANTIZERS
from tflite_edge.records.job import RUNTIMES
from tflite_edge.records.preprocess import NORMALIZATIONS
from tflite_edge.records.recipe import TASKS, WEIGHTS

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

LONGEST_S = 365 * 86400

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
    """`--deadline`: seconds, above 0 and at most a year."""
    seconds = click.FloatRange(0, LONGEST_S, min_open=True)
    return click.option("--deadline", type=seconds, default=600.0, show_default=True, callback=_number, help=text)


def _number(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if math.isnan(value):  # which is outside of no range
        raise click.BadParameter("nan is no number")
    return value


def words(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if value is not None else None


def _sizes(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    try:
        return tuple(int(word) for word in value.replace("x", ",").split(",")) if value is not None else None
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not HEIGHT,WIDTH,CHANNELS") from error


# Those that change a recipe are called after the key that they change: TABLE__KEY.
data_option: Decorator = click.option(
    "--data", "data__source", metavar="DATA", help="digits, mnist, fashion_mnist, cifar10, cifar100, a folder or .npz."
)
task_option: Decorator = click.option(
    "--task", "data__task", type=click.Choice(TASKS), help="anomaly: label 1 is what the model cannot rebuild."
)
quantizer_option: Decorator = click.option(
    "--quantizer",
    "convert__quantizer",
    type=click.Choice(QUANTIZERS),
    help="TensorFlow's converter, or LiteRT Quantizer on its float file.  [default: converter]",
)
io_option: Decorator = click.option(
    "--io", "convert__io", type=click.Choice(IO_TYPES), help="Input and output type of the int8 model."
)
bake_option: Decorator = click.option(
    "--bake",
    "convert__bake",
    is_flag=True,
    default=None,
    help="Put the normalisation inside: the board feeds raw bytes.",
)
calibration_samples_option: Decorator = click.option(
    "--calibration-samples", "data__calibration_samples", type=int, help="Size of the representative dataset."
)
normalize_option: Decorator = click.option(
    "--normalize",
    "data__normalize",
    type=click.Choice(["auto", *NORMALIZATIONS]),
    help="What the model was trained with.",
)
weights_option: Decorator = click.option(
    "--weights", "model__weights", type=click.Choice(WEIGHTS), help="Where a zoo model's weights come from."
)
alpha_option: Decorator = click.option("--alpha", "model__alpha", type=float, help="Width multiplier of a zoo model.")
input_option: Decorator = click.option(
    "--input",
    "model__input",
    callback=_sizes,
    metavar="H,W,C",
    help="Input size of a zoo model; by default the data's channels.",
)
allow_code_option: Decorator = click.option(
    "--allow-code", "model__allow_code", is_flag=True, default=None, help="Load a file that runs its maker's code."
)
representative_option: Decorator = click.option(
    "--representative",
    "data__representative",
    metavar="DATA",
    help="A representative dataset of its own, as --data.  [default: drawn from --data]",
)
