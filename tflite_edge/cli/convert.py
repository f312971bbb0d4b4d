"""`tflite-edge convert`: the main job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from tflite_edge.cli import show
from tflite_edge.cli.options import (
    allow_code_option,
    alpha_option,
    bake_option,
    calibration_samples_option,
    data_option,
    input_option,
    io_option,
    normalize_option,
    on_option,
    quantizer_option,
    representative_option,
    task_option,
    weights_option,
    words,
)
from tflite_edge.cli.sink import Sink, format_option
from tflite_edge.records.verdict import FAILED, OK


@click.command()
@click.argument("source")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Output folder.  [default: build/NAME]")
@data_option
@task_option
@click.option(
    "--quantize", "convert__quantize", callback=words, metavar="MODES", help="float32,float16,dynamic,int8,int16x8."
)
@quantizer_option
@click.option(
    "--optimize", "optimize", metavar="STEPS", help="channels=0.5,prune=0.5,cluster=16,distill=MODEL,qat; or none."
)
@click.option("--tune-epochs", "tune__epochs", type=int, help="Epochs of fine-tuning in each of these steps.")
@io_option
@bake_option
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
@calibration_samples_option
@representative_option
@normalize_option
@weights_option
@alpha_option
@input_option
@allow_code_option
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
@click.option(
    "--max-drop", "gates__max_drop", type=float, help="Points of accuracy that may be lost; an int8 file is repaired."
)
@click.option(
    "--repair/--no-repair", "convert__repair", default=None, help="Whether it is.  [default: with --max-drop]"
)
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
    tflite-edge convert my_model.h5 --data my_images/ --max-drop 0.5
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
