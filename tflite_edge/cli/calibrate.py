"""`tflite-edge calibrate`: is the representative dataset representative?"""

from __future__ import annotations

from typing import Any

import click

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
from tflite_edge.records.errors import UsageError
from tflite_edge.records.verdict import OK


@click.command()
@click.argument("source")
@data_option
@representative_option
@task_option
@click.option(
    "--quantize",
    "convert__quantize",
    callback=words,
    metavar="MODE",
    help="int8 or int16x8: the file that is measured.  [default: int8]",
)
@quantizer_option
@io_option
@bake_option
@calibration_samples_option
@normalize_option
@weights_option
@alpha_option
@input_option
@allow_code_option
@on_option("target__on", default=None)
@click.option("--runtime", "target__runtime", metavar="NAME[==VERSION]", help="What scores the files.")
@click.option(
    "--samples",
    "target__samples",
    type=click.IntRange(1),
    help="Most training samples that are scored.  [default: 500, 200 on an emulated board]",
)
@format_option
def command(source: str, sink: Sink, **changes: Any) -> int:
    """Tell whether the representative dataset, which sets the ranges of an int8 file, is representative.

    SOURCE is what convert takes. The samples that convert would calibrate with, or those of
    --representative, are held against other training samples: ranges, clipped values, outliers,
    classes, normalisation, number. What would mend a finding is done, and its effect measured with
    the converted file on the target's runtime. The test samples are never looked at.

    \b
    tflite-edge calibrate mobilenet
    tflite-edge calibrate my_model.h5 --data my_images/ --representative calibration.npz
    tflite-edge calibrate my_model.h5 --data my_images/ --normalize=0..1 --format json
    """
    from tflite_edge.calibration.advice import diagnose
    from tflite_edge.cli import show_calibration
    from tflite_edge.records.conversion import STATIC
    from tflite_edge.records.plain import to_plain
    from tflite_edge.records.recipe import recipe_for

    mode = changes.pop("convert__quantize") or ("int8",)
    if len(mode) != 1 or mode[0] not in STATIC:
        raise UsageError(f"calibrate measures one of {' or '.join(STATIC)}, not {', '.join(mode)}")
    named = {name.replace("__", "."): value for name, value in changes.items()}
    recipe = recipe_for(source, {**named, "convert.quantize": mode, "optimize": "none"})
    with sink.listening() as listen:
        found = diagnose(recipe, listen=listen)
    document = {"source": source, **to_plain(found)}
    sink.result("calibrate", found.verdict, document, *show_calibration.calibration(found))
    return 0 if found.verdict == OK else max(finding.exit_code for finding in found.costly)
