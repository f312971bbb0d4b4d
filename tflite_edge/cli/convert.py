"""`tflite-edge convert`: the main job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from tflite_edge.cli import show
from tflite_edge.cli.options import on_option
from tflite_edge.cli.sink import Sink, format_option
from tflite_edge.records.conversion import IO_TYPES, QUANTIZERS
from tflite_edge.records.preprocess import NORMALIZATIONS
from tflite_edge.records.recipe import TASKS, WEIGHTS
from tflite_edge.records.verdict import FAILED, OK


def _words(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if value is not None else None


def _sizes(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    try:
        return tuple(int(word) for word in value.replace("x", ",").split(",")) if value is not None else None
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not HEIGHT,WIDTH,CHANNELS") from error


@click.command()
@click.argument("source")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Output folder.  [default: build/NAME]")
@click.option(
    "--data", "data__source", metavar="DATA", help="digits, mnist, fashion_mnist, cifar10, cifar100, a folder or .npz."
)
@click.option(
    "--task", "data__task", type=click.Choice(TASKS), help="anomaly: label 1 is what the model cannot rebuild."
)
@click.option(
    "--quantize", "convert__quantize", callback=_words, metavar="MODES", help="float32,float16,dynamic,int8,int16x8."
)
@click.option(
    "--quantizer",
    "convert__quantizer",
    type=click.Choice(QUANTIZERS),
    help="TensorFlow's converter, or LiteRT Quantizer on its float file.  [default: converter]",
)
@click.option(
    "--optimize", "optimize", metavar="STEPS", help="channels=0.5,prune=0.5,cluster=16,distill=MODEL,qat; or none."
)
@click.option("--tune-epochs", "tune__epochs", type=int, help="Epochs of fine-tuning in each of these steps.")
@click.option("--io", "convert__io", type=click.Choice(IO_TYPES), help="Input and output type of the int8 model.")
@click.option(
    "--bake",
    "convert__bake",
    is_flag=True,
    default=None,
    help="Put the normalisation inside: the board feeds raw bytes.",
)
@click.option(
    "--flex",
    "convert__flex",
    is_flag=True,
    default=None,
    help="Allow TensorFlow operators (no small runtime has them).",
)
@click.option(
    "--sparse", "convert__sparse", is_flag=True, default=None, help="Store pruned kernels without their zeros."
)
@click.option(
    "--trainable",
    "convert__trainable",
    is_flag=True,
    default=None,
    help="Also make files whose head learns on the board ([head] in the recipe says how).",
)
@click.option(
    "--calibration-samples", "data__calibration_samples", type=int, help="Size of the representative dataset."
)
@click.option(
    "--normalize",
    "data__normalize",
    type=click.Choice(["auto", *NORMALIZATIONS]),
    help="What the model was trained with.",
)
@click.option("--weights", "model__weights", type=click.Choice(WEIGHTS), help="Where a zoo model's weights come from.")
@click.option("--alpha", "model__alpha", type=float, help="Width multiplier of a zoo model.")
@click.option(
    "--input",
    "model__input",
    callback=_sizes,
    metavar="H,W,C",
    help="Input size of a zoo model; by default the data's channels.",
)
@click.option(
    "--allow-code", "model__allow_code", is_flag=True, default=None, help="Load a file that runs its maker's code."
)
@on_option("target__on", default=None)
@click.option(
    "--runtime",
    "target__runtime",
    metavar="NAME[==VERSION]",
    help="What the files must load on, and what proves it: tflite-runtime==2.14.",
)
@click.option("--threads", "target__threads", type=int, help="Threads of the timed interpreter.")
@click.option(
    "--samples",
    "target__samples",
    type=click.IntRange(1),
    help="Most test samples that are scored.  [default: all, 200 on an emulated board]",
)
@click.option("--max-drop", "gates__max_drop", type=float, help="Points of accuracy that may be lost.")
@click.option("--accept-degraded", is_flag=True, help="Exit 0 although a promise was broken.")
@format_option
def command(source: str, out: Path | None, sink: Sink, accept_degraded: bool, **changes: Any) -> int:
    """Make flatbuffers from a Keras model and prove them on a TFLite runtime.

    SOURCE is a zoo name, a model file (.h5, .keras, SavedModel folder), a recipe (.toml), or
    the manifest.json of an earlier run, which is then made again.

    \b
    tflite-edge convert mobilenet
    tflite-edge convert models/mobilenet.toml --quantize int8,int16x8 --format json
    tflite-edge convert my_model.h5 --data my_images/ --quantize int8 -o out/
    tflite-edge convert mobilenet --on emulator:pi4
    """
    from tflite_edge.pipeline import convert
    from tflite_edge.records.plain import to_plain
    from tflite_edge.records.recipe import recipe_for

    recipe = recipe_for(source, {name.replace("__", "."): value for name, value in changes.items()})
    out = out or Path("build") / recipe.name
    with sink.listening() as listen:
        manifest = convert(recipe, out, listen=listen, argv=sys.argv[1:])
    document = to_plain(manifest)
    sink.result("convert", document.pop("verdict"), {"out": str(out), **document}, *show.conversion(manifest, out))
    codes = [finding.exit_code for model in manifest.models for finding in model.findings]
    accepted = manifest.verdict == OK or (accept_degraded and manifest.verdict != FAILED)
    return 0 if accepted else max(codes)
